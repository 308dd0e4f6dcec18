"""Training a row of the study, and ranking with it."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.metrics import gains, middle_rank
from evaluation.relations.drawing import Unmet
from evaluation.relations.examples import Examples
from evaluation.relations.gaps import gap_histograms
from evaluation.relations.knowledge import Knowledge
from evaluation.relations.model import TabledLrd
from evaluation.relations.world import NEGATIVES, World
from models.lrd.config import LrdConfig

Ranks = NDArray[np.float64]
Tell = Callable[[int, float], None]
"""Told the epochs done, and the last one's NDCG@5 on validation users."""

SCORED_AT_ONCE = 25_600
"""Most pairs of user and candidate that are scored together."""


@dataclass(frozen=True)
class Budget:
    """How much is learned; the same for all rows that are compared.

    The release takes 5 passes of self-attention, batches of 256, and up to 200 epochs of all events. On one core that
    would be days per table.
    """

    epochs: int = 30
    rows: int = 50_000
    """Examples per epoch, drawn anew for each without replacement; all where there are fewer."""
    batch: int = 512
    patience: int = 10
    """Epochs without a better one before it ends."""
    validated: int = 1_000
    """Validation users, drawn by the seed."""


class Trained(NamedTuple):
    """The best epoch's model, and how it came to be."""

    model: TabledLrd
    epoch: int
    """Which epoch was the best, from 1."""
    validation: list[float]
    """NDCG@5 after each epoch."""
    losses: dict[str, list[float]]
    """Mean over each epoch: ``ranking``, and where they are learned ``reconstruction``, ``knowledge``."""
    seconds: float


def silent(_epochs: int, _score: float) -> None:
    """Tell nobody."""


def train(config: LrdConfig, world: World, texts: torch.Tensor, budget: Budget, tell: Tell = silent) -> Trained:
    """Train with Adam until validation NDCG@5 (among 99 drawn items) has not risen for a while; keep the best epoch.

    Draws go by ``config.seed``. Raises ValueError for settings that do not fit the data.
    """
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    model = build(config, world, texts)
    relations = model.network.relations
    knowledge = Knowledge(tuple(world.links.values()), world.attributes, first_attribute=relations.attribute_at)
    learned = world.split.learned
    gamma = len(knowledge) / len(learned) if config.gamma is None else config.gamma
    validation = validated(world, budget.validated, config.seed)
    candidates = against(world.everything, validation, config.seed + 1)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.lr, weight_decay=config.l2, fused=True)
    history: list[float] = []
    losses: dict[str, list[float]] = {}
    best, weights = 0, copy.deepcopy(model.state_dict())
    begun = time.perf_counter()
    for epoch in range(1, budget.epochs + 1):
        chosen = learned.take(rng.permutation(len(learned))[: budget.rows])
        for name, value in _epoch(model, optimiser, chosen, world.learned, knowledge, gamma, budget.batch, rng).items():
            losses.setdefault(name, []).append(value)
        history.append(float(gains(ranks_among(model, validation, candidates), 5).mean()))
        tell(epoch, history[-1])
        if not best or history[-1] > history[best - 1]:
            best, weights = epoch, copy.deepcopy(model.state_dict())
        elif epoch - best >= budget.patience:
            break
    model.load_state_dict(weights)
    return Trained(model, best, history, losses, time.perf_counter() - begun)


def build(config: LrdConfig, world: World, texts: torch.Tensor) -> TabledLrd:
    """A model that has learned nothing yet. Raises ValueError for texts of another width than the settings say."""
    if texts.shape != (world.n_items + 1, config.text_dim):
        raise ValueError(
            f"texts {tuple(texts.shape)} must be [1 + items, text_dim] = [{world.n_items + 1}, {config.text_dim}]"
        )
    attributes, relations = world.attributes, world.relations(config.latent)
    model = TabledLrd(config, relations, world.n_users, attributes.values, attributes.distinct, texts)
    if model.network.decay is not None and config.decay_start == "gaps":
        model.network.decay.start_from(gap_histograms(world, relations, config.n_dft))
    return model


def _epoch(
    model: TabledLrd,
    optimiser: torch.optim.Optimizer,
    examples: Examples,
    learned: Unmet,
    knowledge: Knowledge,
    gamma: float,
    batch: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    """One pass over the examples; mean of each loss."""
    config = model.config
    sums: dict[str, float] = {}
    starts = range(0, len(examples), batch)
    for start in starts:
        some = examples.take(np.arange(start, min(start + batch, len(examples))))
        wrong = learned.draw(some.users, 1, rng)
        drawn = learned.draw(some.users, some.past.shape[1], rng) if config.lambda_ else None
        triplets = knowledge.draw(len(some), rng) if gamma else None
        ranking, reconstruction, graph = model.losses(some, wrong, drawn, triplets)
        parts = {
            "ranking": (1.0, ranking),
            "reconstruction": (config.lambda_, reconstruction),
            "knowledge": (gamma, graph),
        }
        there = {name: (weight, loss) for name, (weight, loss) in parts.items() if loss is not None}
        optimiser.zero_grad()
        total = torch.stack([weight * loss for weight, loss in there.values()]).sum()
        torch.autograd.backward(total)
        optimiser.step()
        for name, (_, loss) in there.items():
            sums[name] = sums.get(name, 0.0) + loss.item() / len(starts)
    return sums


def against(everything: Unmet, examples: Examples, seed: int) -> NDArray[np.int64]:
    """``[N, 100]`` each example's target, then 99 distinct items that its user never has anything with."""
    drawn = everything.draw_distinct(examples.users, NEGATIVES, np.random.default_rng(seed))
    return np.concatenate((examples.targets[:, None], drawn), axis=1)


@torch.no_grad()
def ranks_among(model: TabledLrd, examples: Examples, candidates: NDArray[np.int64]) -> Ranks:
    """Middle rank ``[N]`` of the first of the candidates ``[N, C]`` among them."""
    step = max(1, SCORED_AT_ONCE // candidates.shape[1])
    ranks = []
    for start in range(0, len(examples), step):
        which = np.arange(start, min(start + step, len(examples)))
        scores = model.scores(examples.take(which), candidates[which])
        ranks.append(middle_rank(scores.double().numpy(), np.zeros(len(which), dtype=np.int64)))
    return np.concatenate(ranks)


@torch.no_grad()
def ranks_of_all(model: TabledLrd, examples: Examples, everything: Unmet) -> Ranks:
    """Middle rank ``[N]`` of each target among all items that its user has nothing else with."""
    items = np.arange(1, model.n_items + 1)
    ranks = np.empty(len(examples))
    for place in range(len(examples)):
        one = examples.take(np.array([place]))
        met = everything.met(np.full(len(items), one.users[0]), items)
        kept = np.append(one.targets, items[~met])
        ranks[place] = ranks_among(model, one, kept[None, :])[0]
    return ranks


def validated(world: World, count: int, seed: int) -> Examples:
    """The validation events of ``count`` users drawn by the seed, or of all."""
    validation = world.split.validation
    chosen = np.random.default_rng(seed).permutation(len(validation))[:count]
    return validation.take(np.sort(chosen))
