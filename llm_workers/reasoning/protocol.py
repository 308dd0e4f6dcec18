"""The four operations of reasoning, and what goes in and out of them. Who performs them is a setting.

After "Enhancing Recommendation with LLM Reasoning Graphs" (LLMRG): chained reasoning links an item to the chains,
divergent extension imagines what could come next, verification masks a part of a chain, fills it in and scores how
well that agrees with what was masked.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Literal, NamedTuple, Protocol

import msgspec

from dyngraph.reasoning import Step
from llm_workers.protocols import PastItem, ProducerName
from llm_workers.reasoning.facts import Facts

Part = Literal["item", "concept"]
"""What a mask may hide of a link."""


class Proposal(msgspec.Struct, frozen=True):
    """A link that an item could have."""

    came_from: int
    """Place of the step that it goes on from, -1 to open a chain. Not to be trusted: the builder looks."""
    relation: str
    concept: str
    reason: str


class Idea(msgspec.Struct, frozen=True):
    """An item that could come next."""

    name: str
    relation: str
    reason: str
    item_id: str = ""
    """Where an item of the catalogue is meant; empty for a name that is to be matched."""


class Masked(msgspec.Struct, frozen=True):
    """A chain with its last link partly hidden. Nothing in here tells what is hidden."""

    path: tuple[Step, ...]
    """The chain up to where the link starts, oldest first."""
    hides: Part
    relation: str
    concept: str
    """Of the link; empty if hidden."""
    item: PastItem | None
    """At the link's end; None if hidden."""
    among: tuple[str, ...]
    """Items of the user, the hidden one with them, that it may be; for an imagined item there are none."""
    barred: Set[str]
    """Items that it is not."""


class Filled(msgspec.Struct, frozen=True):
    """What somebody put in the place of the mask."""

    text: str
    item_id: str = ""
    """Where an item of the catalogue is meant."""
    ranked: tuple[str, ...] = ()
    """Items that were weighed, the best first, where that was done."""


class Original(msgspec.Struct, frozen=True):
    """What the mask hid."""

    text: str
    item_id: str = ""
    """Empty for a concept."""


class Reasoner(Protocol):
    """Performs the four operations; each raises :class:`~llm_workers.protocols.LlmError`."""

    @property
    def name(self) -> ProducerName:
        """How artefacts name it."""
        ...

    @property
    def model_id(self) -> str:
        """Which model."""
        ...

    @property
    def prompt_version(self) -> str:
        """Of its questions."""
        ...

    @property
    def hides(self) -> Sequence[Part]:
        """What may be masked for it."""
        ...

    @property
    def reads_words(self) -> bool:
        """Whether relations and concepts are words to it, so that those of a masked part must not be told."""
        ...

    async def link(self, facts: Facts, steps: Sequence[Step], item: PastItem) -> Sequence[Proposal]:
        """Why the user took ``item`` after ``steps``, the best proposal first; none if nothing connects them."""
        ...

    async def diverge(self, facts: Facts, chain: Sequence[Step], barred: Set[str]) -> Sequence[Idea]:
        """What could come after the chain, the likeliest first; no item of ``barred``."""
        ...

    async def fill(self, facts: Facts, masked: Masked) -> Filled:
        """Put something in the place of the mask."""
        ...

    async def score(self, facts: Facts, original: Original, filled: Filled) -> float:
        """How well the two agree, 0 to 100."""
        ...


class Match(NamedTuple):
    """An item of the catalogue that a name was matched to."""

    item_id: str
    similarity: float


class Matcher(Protocol):
    """Finds the item that a name means."""

    async def match(self, names: Sequence[str], barred: Set[str]) -> list[Match | None]:
        """For each name the item most like it that is not barred; None if none is like it enough."""
        ...
