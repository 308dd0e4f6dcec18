"""What the engine is handed: an encoder, candidate sources, a ranker, baselines.

The engine owns the order of operations and never looks inside these. Two rules hold for all of them: methods that
read (``embed``, ``propose``, ``features``, ``score``, ``plan``) change nothing, and everything that changes state
happens in ``commit``, ``observe`` and ``Update.apply`` after nothing can fail any more.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dyngraph.batch import EventBatch
from dyngraph.earlier import Earlier
from dyngraph.graph import DynamicGraph
from dyngraph.state import State, Stateful


@dataclass(frozen=True)
class Queries:
    """U read-only questions "what next for this user at this moment?"."""

    users: Tensor
    """``[U]`` int64 user rows, 0 for an unknown user."""
    ts: Tensor
    """``[U]`` int64 ms."""
    seq: Tensor
    """``[U]`` int64; only events strictly earlier than ``(ts, seq)`` may count."""
    vectors: Tensor
    """``[U, d]`` user embeddings at the query's moment."""
    earlier: Earlier | None = None
    """What the users did earlier in the batch that is being ranked; None between steps."""
    names: Sequence[str] = ()
    """``[U]`` the users' ids, those of unknown ones too."""
    memo: dict[str, Any] = field(default_factory=dict)
    """Scratch of the sources for this call, so that proposing and describing need not compute a thing twice."""

    def __len__(self) -> int:
        return int(self.users.shape[0])


class Sets(NamedTuple):
    """One set of item rows per query: set q is ``items[start[q]:start[q + 1]]``."""

    start: NDArray[np.int64]
    """``[U + 1]``"""
    items: NDArray[np.int64]
    """``[M]`` distinct within a set."""


class Signal(enum.Enum):
    """How a feature may move a score."""

    RAISES = "raises"
    """Learned weight that is never negative."""
    LEARNED = "learned"
    """Learned weight of either sign."""
    LOWERS = "lowers"
    """Fixed negative weight: what the user refused goes down, whatever else was learned."""


class Feature(NamedTuple):
    """One column of the ranker's input."""

    name: str
    signal: Signal


class Cause(NamedTuple):
    """What a reason is made from: one feature's real contribution to one item's score."""

    query: int
    """Place of the query in its :class:`Queries`."""
    item: int
    """Item row."""
    feature: str


class Update(Protocol):
    """A finished learning computation that waits to be written."""

    @property
    def loss(self) -> float:
        """The loss before the update."""
        ...

    def apply(self) -> None:
        """Write the new weights. Must not fail."""
        ...


class Encoder(Stateful, Protocol):
    """Turns graph state into vectors and events into new memory."""

    @property
    def version(self) -> int:
        """Number of learning updates written so far."""
        ...

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        ...

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        ...

    def embed(self, graph: DynamicGraph, users: Tensor, ts: Tensor, seq: Tensor) -> Tensor:
        """User embeddings ``[n, d]`` at the given moments; read-only."""
        ...

    @property
    def item_vectors(self) -> Tensor:
        """``[items, d]`` vectors of all items, each as of its last refresh: one rule for every candidate."""
        ...

    def plan(self, graph: DynamicGraph, batch: EventBatch, *, learn: bool, seed: int) -> EncoderPlan:
        """Apply waiting messages to the batch's nodes and, if learning, compute the weight update."""
        ...

    def commit(self, graph: DynamicGraph, batch: EventBatch, plan: EncoderPlan) -> None:
        """Write memory, store the batch's raw messages, insert edges."""
        ...

    def refresh(self, graph: DynamicGraph, batch: EventBatch, *, learned: bool) -> None:
        """Renew :attr:`item_vectors` after a commit, for the moment just after it; ``learned``: weights changed."""
        ...

    def described(self, graph: DynamicGraph, users: Tensor, items: Tensor) -> None:
        """Take notice of new static vectors of ``users [n]`` and ``items [m]``."""
        ...

    def weights(self) -> State:
        """All that was learned, and nothing of the graph."""
        ...

    def use_weights(self, graph: DynamicGraph, weights: State, version: int) -> None:
        """Take what :meth:`weights` gave elsewhere, and count as ``version`` from now on."""
        ...

    def forget_user(self, user: int) -> None:
        """Return what was learned for one user row to its start."""
        ...


@dataclass(frozen=True)
class EncoderPlan:
    """What an encoder computed for a batch and will write at commit; encoders add what they need."""

    update: Update | None
    """The weight update, if any was learned."""


class Source(Stateful, Protocol):
    """One way to find and describe candidates. Later systems plug in here and are ablated by name."""

    @property
    def name(self) -> str:
        """How the source is called in lists, reports and ablations."""
        ...

    @property
    def features(self) -> tuple[Feature, ...]:
        """The columns that :meth:`describe` gives."""
        ...

    def grow(self, users: int, items: int) -> None:
        """Make room for this many rows."""
        ...

    def truncate(self, users: int, items: int) -> None:
        """Undo growth."""
        ...

    def propose(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        """Item rows ``[U, m]``, 0 for an empty place."""
        ...

    def describe(self, graph: DynamicGraph, queries: Queries, items: Tensor) -> Tensor:
        """Feature values ``[U, C, F]`` of the candidate rows ``items [U, C]`` (0 rows may get anything finite)."""
        ...

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None:
        """Take in the batch that is being committed; ``graph`` still stands as it was before the batch."""
        ...

    def explain(self, graph: DynamicGraph, queries: Queries, causes: Sequence[Cause]) -> list[str]:
        """For each cause one plain sentence that names what made the feature what it is; empty for none."""
        ...

    def forget_user(self, user: int) -> None:
        """Drop what is kept of one user."""
        ...


@runtime_checkable
class Learner(Protocol):
    """A source with weights of its own, which learns from each batch beside encoder and ranker."""

    def lesson(
        self, graph: DynamicGraph, batch: EventBatch, queries: Queries, query: Tensor, *, learn: bool, seed: int
    ) -> Update:
        """What the batch will change, event e of which was ranked as ``queries[query[e]]`` just before; nothing is
        written. The graph has rows for the batch's newcomers, and is as it was before the batch otherwise.
        """
        ...


class Scorer(Protocol):
    """A model of its own that a report shows beside the engine: a score for every item and query."""

    @property
    def name(self) -> str:
        """How the scorer is called in reports."""
        ...

    def logits(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        """``[U, items]``; larger is better, and the null row counts for nothing."""
        ...


class Habits(Protocol):
    """What knows how its users go about things."""

    def habits(self, users: Tensor, earlier: Earlier | None = None) -> Tensor:
        """``[U, 2]`` float32: share of the user's events that were repeats, and log(1 + baskets) / 5."""
        ...


class Ranker(Stateful, Protocol):
    """Orders united candidates by ``score = Σ_f gate_f · feature_f``, so that a reason can be read off a score."""

    def gates(self, context: Tensor) -> Tensor:
        """Weights ``[U, F]`` of the features for queries in ``context [U, c]``."""
        ...

    def plan(self, features: Tensor, context: Tensor, scores: Tensor, query: Tensor, place: Tensor) -> Update | None:
        """Learn that event e of query ``query [E]`` chose candidate ``place [E]`` among ``features [U, C, F]``, scored
        ``scores [U, C]`` (-inf for none). Nothing is written.
        """
        ...


class Baseline(Protocol):
    """A scorer of all items that every report shows beside the engine."""

    @property
    def name(self) -> str:
        """How the baseline is called in reports."""
        ...

    def scores(self) -> Tensor:
        """``[items]`` float64; larger is better."""
        ...
