"""Models over held-out histories, as a training and a ranking see them: by places."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from evaluation.reasoning.held_out import HeldOutHistories
from models.llmrg.chains import PlacedChains
from models.llmrg.fusion import FusionConfig, ReasoningFusion
from models.sequential.base import SequentialModel
from models.sequential.histories import Places, TrainingExamples
from models.sequential.objectives import softmax_loss


class BaseTraining:
    """A sequential base model alone."""

    def __init__(self, model: SequentialModel, data: HeldOutHistories) -> None:
        self.module = model
        self._examples = TrainingExamples(data.histories, data.learned, model.config.longest)

    @property
    def items(self) -> Tensor:
        """``[1 + n, d]`` item vectors."""
        return self.module.items

    def scores(self, places: Places) -> Tensor:
        """``[B, 1 + n]`` of all items."""
        return self.vectors(places) @ self.items.T

    def vectors(self, places: Places) -> Tensor:
        """``[B, d]`` encodings of the histories before the places."""
        sequences, lengths = self._examples.histories.before(places, self.module.config.longest)
        return self.module.encode(sequences.to(self.items.device), lengths.to(self.items.device))

    def loss(self, places: Places, rng: np.random.Generator) -> Tensor:
        """``[]`` the base model's objective."""
        return self.module.loss(self._examples.batch(places, rng).to(self.items.device))


class FusedTraining:
    """A base model with the graphs of each question's own moment; base and graph encoders learn together.

    The loss is the softmax over all items with the fused vector, and the base model's regulariser as it was.
    """

    def __init__(
        self, base: SequentialModel, fusion: FusionConfig, data: HeldOutHistories, chains: PlacedChains
    ) -> None:
        if chains.histories is not data.histories:
            raise ValueError("the chains lie along other histories; build them for those that are learned")
        self._base, self._fusion, self._chains = base, ReasoningFusion(fusion), chains
        self._examples = TrainingExamples(data.histories, data.learned, base.config.longest)
        self.module = nn.ModuleDict({"base": base, "fusion": self._fusion}).to(base.items.device)

    @property
    def items(self) -> Tensor:
        """``[1 + n, d]`` item vectors."""
        return self._base.items

    def scores(self, places: Places) -> Tensor:
        """``[B, 1 + n]`` of all items."""
        return self.vectors(places) @ self.items.T

    def vectors(self, places: Places) -> Tensor:
        """``[B, d]`` fused vectors of what is known before the places."""
        sequences, lengths = self._examples.histories.before(places, self._base.config.longest)
        states = self._base.encode(sequences.to(self.items.device), lengths.to(self.items.device))
        return self._fused(states, places)

    def loss(self, places: Places, rng: np.random.Generator) -> Tensor:
        """``[]`` of the examples at these training places."""
        batch = self._examples.batch(places, rng).to(self.items.device)
        learned = self._base.learned(batch)
        return softmax_loss(self._fused(learned.states, places), self.items, batch.targets) + learned.regulariser

    def _fused(self, states: Tensor, places: Places) -> Tensor:
        fused: Tensor = self._fusion(states, self._chains.at(places, self._base.config.longest), self.items)
        return fused
