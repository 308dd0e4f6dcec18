"""The rows of LLMRG's ablation: what is fused with the base model in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from evaluation.coded import CodedLog
from evaluation.reasoning.held_out import HeldOutHistories
from llm_workers.reasoning.settings import ReasoningSettings
from models.llmrg.chains import PlacedChains, sequence_chains
from models.llmrg.fusion import Divergence, FusionConfig

THRESHOLD = ReasoningSettings().threshold


class ChainBuilding(Protocol):
    """Who makes the reasoning graphs of a log's users."""

    def __call__(self, log: CodedLog, data: HeldOutHistories, threshold: float | None) -> PlacedChains:
        """Chains along ``data.histories``: steps for every event and imagined items for every place that is learned,
        validated or tested, each made from what its user did before and from what others did, never from the user's
        own later events. Below ``threshold`` (0 to 100) nothing is taken; None: everything, without verification."""


@dataclass(frozen=True)
class Row:
    """One row: which chains are read, and how."""

    name: str
    chains: Literal["nothing", "sequence", "reasons"] = "reasons"
    reasoning: bool = True
    divergence: Divergence = "graph"
    threshold: float | None = THRESHOLD
    """τ of the verification; None for none."""
    upon: str | None = None
    """A row that is only ranked anew, imagined items added by name (:mod:`evaluation.reasoning.by_name`): this one."""

    def fusion(self, dim: int, text_dim: int, seed: int) -> FusionConfig:
        """The fusion that reads the row's chains."""
        return FusionConfig(dim=dim, text_dim=text_dim, reasoning=self.reasoning, divergence=self.divergence, seed=seed)

    def of(self, log: CodedLog, data: HeldOutHistories, build: ChainBuilding | None) -> PlacedChains:
        """The row's chains. Raises ValueError where it needs a builder and there is none."""
        if self.chains == "sequence":
            return sequence_chains(data.histories)
        if build is None:
            raise ValueError(f"row {self.name!r} reads reasoning graphs; name who builds them")
        return build(log, data, self.threshold)


BASE = "base"
TRAINED_ON = Row("base, trained on", chains="nothing")
"""The control for the epochs that the other rows add to their base model."""
SEQUENCE = Row("sequence graph", chains="sequence", divergence="off")
"""SR-GNN over the plain sequence: the control for having a graph at all."""

ROWS = (
    TRAINED_ON,
    SEQUENCE,
    Row("imagined items without a graph", reasoning=False, divergence="pooled"),
    Row("reasoning"),
    Row("no divergence", divergence="off"),
    Row("no verification", threshold=None),
    Row("base, imagined items by name", upon=BASE),
    Row("reasoning, imagined items by name", upon="reasoning"),
    Row("no verification, imagined items by name", threshold=None, upon="no verification"),
)


def row_named(name: str) -> Row:
    """One of :data:`ROWS`, or ``threshold = τ`` for a number from 0 to 100. Raises ValueError for another name."""
    for row in ROWS:
        if row.name == name:
            return row
    word, _, number = (part.strip() for part in name.partition("="))
    try:
        threshold = float(number)
    except ValueError:
        threshold = -1.0
    if word != "threshold" or not 0 <= threshold <= 100:
        known = " | ".join([BASE, *(row.name for row in ROWS), "threshold = 0 to 100"])
        raise ValueError(f"row {name!r} is unknown; use some of: {known}")
    return Row(f"threshold = {threshold:g}", threshold=threshold)
