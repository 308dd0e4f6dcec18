"""What travels between graph workers and LLM workers: jobs, and the artefacts that are made from them.

The rules are those of :mod:`streams.messages`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from streams.messages import (
    Count,
    Horizon,
    Id,
    Ids,
    Message,
    Name,
    Names,
    Number,
    Offset,
    Share,
    Text,
    TsMs,
    within_bytes,
)

MAX_PAST = 64
MAX_RELATED = 1_024
MAX_NAME = 200
MAX_STEPS = 64
MAX_IMAGINED = 32
MAX_VECTOR_WIDTH = 4_096
HALF = 2  # bytes of a float16

Vectors = Annotated[bytes, Meta(max_length=4 * HALF * MAX_VECTOR_WIDTH)]
Label = Annotated[str, Meta(max_length=200)]
Score = Annotated[float, Meta(ge=0.0, le=100.0)]

ArtefactKind = Literal["profile", "relations", "reasoning", "index"]


class PastEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An item of a user's past: the user's last event with it, and the decayed count of all of them."""

    item_id: Id
    ts_ms: TsMs
    weight: Number = 1.0


class RelatedEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the graph knew of two items: `relation` is `together`, `follows` or a latent relation's name."""

    item_id: Id
    other_id: Id
    relation: Name
    strength: Share


class ReasoningStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An item of the user's past, and why it came: behind the step at place `came_from`, or as the start of a chain.

    `score` is that of its verification, 0 to 100.
    """

    item_id: Id
    ts_ms: TsMs
    came_from: Annotated[int, Meta(ge=-1, lt=MAX_STEPS)] = -1
    relation: Label = ""
    concept: Label = ""
    reason: Text = ""
    score: Score = 0.0


class ImaginedItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What could come after a step: a name, and the item of the catalogue it was matched to, where there is one."""

    step: Annotated[int, Meta(ge=0, lt=MAX_STEPS)]
    name: Text
    item_id: str = ""
    similarity: Annotated[float, Meta(ge=-1.001, le=1.001)] = 0.0
    relation: Label = ""
    reason: Text = ""
    score: Score = 0.0

    def __post_init__(self) -> None:
        within_bytes(item_id=self.item_id)


class Reasoning(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reasoning graph as such. `vectors`: float16 LE, one row per concept."""

    steps: Annotated[tuple[ReasoningStep, ...], Meta(max_length=MAX_STEPS)] = ()
    imagined: Annotated[tuple[ImaginedItem, ...], Meta(max_length=MAX_IMAGINED)] = ()
    concepts: Annotated[tuple[Label, ...], Meta(max_length=2 * MAX_STEPS)] = ()
    vectors: Annotated[bytes, Meta(max_length=2 * MAX_STEPS * HALF * MAX_VECTOR_WIDTH)] = b""


class EarlierReasoning(msgspec.Struct, frozen=True, kw_only=True):
    """The version to go on from, made from so many `events` of the user up to its own horizon."""

    horizon: Horizon
    events: Count
    reasoning: Reasoning


class LlmJob(Message, frozen=True, kw_only=True):
    """Topic `llm-jobs`, key `entity_id`: a newer artefact is wanted. The id follows from what is asked.

    A job about a user carries what it is to be made from: `past`, oldest first, out of `events` up to the horizon.
    One for reasoning also carries what the graph knew of the newest items (`related`) and the graph to go on from.
    `erasures` is the newest tombstone (its offset in `users`) that the asking shard had honoured, so that a job from
    before an erasure is recognised after it.
    """

    job_id: Id
    kind: ArtefactKind
    entity_id: Id
    entity: Literal["user", "item", "segment", "catalogue"]
    horizon: Horizon
    priority: Share = 0.5
    reason: Text = ""
    events: Count = 0
    past: Annotated[tuple[PastEntry, ...], Meta(max_length=MAX_PAST)] = ()
    related: Annotated[tuple[RelatedEntry, ...], Meta(max_length=MAX_RELATED)] = ()
    previous: EarlierReasoning | None = None
    erasures: Offset = -1


class Cost(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an artefact took to make."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    seconds: Number = 0.0
    usd: Number = 0.0


class Artefact(Message, frozen=True, kw_only=True):
    """What all LLM artefacts share. It may be used for events strictly later than `horizon` only."""

    entity_id: Id
    version: Count
    horizon: Horizon
    producer: Literal["endpoint", "embedded", "statistical"]
    model_id: Name
    prompt_version: Name
    created_at_ms: TsMs
    cost: Cost = Cost()


class Profile(Artefact, frozen=True, kw_only=True):
    """Topic `profiles`: the four facets of a user, and the items they were read from. A null value takes it back.

    `events` counts the user's events up to the horizon, `erasures` is that of the job. `vectors` are float16, little
    endian, one row of `vector_width` per facet in the order below, made by `vector_model`; empty where there is no such
    model.
    """

    segment: Names = ()
    interests: Names = ()
    categories: Names = ()
    brands: Names = ()
    source_items: Ids = ()
    events: Count = 0
    erasures: Offset = -1
    vectors: Vectors = b""
    vector_model: Annotated[str, Meta(max_length=200)] = ""
    vector_width: Annotated[int, Meta(ge=0, le=MAX_VECTOR_WIDTH)] = 0

    def __post_init__(self) -> None:
        wanted = 4 * HALF * self.vector_width
        if len(self.vectors) != wanted:
            raise ValueError(f"`vectors` has {len(self.vectors)} bytes, four float16 rows of `vector_width` {wanted}")


class ItemVector(Message, frozen=True, kw_only=True):
    """Topic `item-vectors`, key `item_id`: a vector of an item's text, float16 LE. `text_hash` tells which text."""

    item_id: Id
    model_id: Name
    text_hash: Annotated[str, Meta(max_length=64, pattern="^[0-9a-f]*$")]
    vector: Annotated[bytes, Meta(max_length=HALF * MAX_VECTOR_WIDTH)]

    def __post_init__(self) -> None:
        within_bytes(item_id=self.item_id)
        if len(self.vector) % HALF:
            raise ValueError(f"`vector` has {len(self.vector)} bytes, which are no float16 numbers")


class Relation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A typed edge between two items."""

    head: Id
    tail: Id
    relation: Annotated[int, Meta(ge=0, le=10_000)]
    label: Text = ""
    strength: Share = 1.0


class Relations(Artefact, frozen=True, kw_only=True):
    """Topic `relations`: a version of the latent relations that a graph worker has found, key `shard-N`; under
    `names-N` what an LLM worker calls the relations of that version, then only `names` is filled.

    `relations` are the strongest pairs of each, by its number from 1; `names` are what reasons call them, empty where
    nothing stands out, and `usage` the share of pairs that each is the strongest relation of.
    """

    relations: Annotated[tuple[Relation, ...], Meta(max_length=10_000)] = ()
    names: Annotated[tuple[Label, ...], Meta(max_length=256)] = ()
    usage: Annotated[tuple[Share, ...], Meta(max_length=256)] = ()


class ReasoningChain(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A chain of items, why it was drawn, and the score it was verified with."""

    items: Ids
    verification: Share
    divergent: bool = False
    text: Text = ""


class ReasoningGraph(Artefact, frozen=True, kw_only=True):
    """Topic `reasoning-graphs`: the chains of a user. A null value takes it back.

    `chains` are its paths, for those who only want to read them; `reasoning` is the graph. `events` counts the user's
    events up to the horizon, `erasures` is that of the job.
    """

    chains: Annotated[tuple[ReasoningChain, ...], Meta(max_length=256)] = ()
    reasoning: Reasoning = Reasoning()
    events: Count = 0
    erasures: Offset = -1
    vector_model: Annotated[str, Meta(max_length=200)] = ""


class SemanticIndex(Artefact, frozen=True, kw_only=True):
    """Topic `indices`: the code tuple of a user or an item."""

    codes: Annotated[tuple[Annotated[int, Meta(ge=0, le=2**31 - 1)], ...], Meta(min_length=1, max_length=64)]
    codebook: Name
