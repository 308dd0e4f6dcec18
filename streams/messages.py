"""What travels through Kafka: one frozen Struct per topic, so that bounds live in the type and nowhere else.

The bounds are part of the contract, not politeness: an integer such as 10^23 decodes well and overflows an
int64 three rooms later, and an id of ten kilobytes is stored by every index. Unknown fields are tolerated (a
newer producer may send more), missing required ones are refused, and a `schema_version` this build does not
know is refused as a whole.

All times are int64 milliseconds UTC (`*_ts`, `ts_ms`, `*_at_ms`); durations say their unit in the name.
Optional fields that hold their default are left out of the JSON, `schema_version` never is.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from dyngraph.events import MAX_ID_BYTES, MAX_TS_MS

SCHEMA_VERSION = 1
MAX_OFFSET = 2**63 - 1


def _version() -> int:
    # A factory, because msgspec leaves plain defaults out and a reader in another language wants to see the
    # version.
    return SCHEMA_VERSION


Version = Annotated[int, Meta(ge=1, le=SCHEMA_VERSION, extra_json_schema={"default": SCHEMA_VERSION})]
Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES, description="1 to 256 bytes of UTF-8")]
TsMs = Annotated[int, Meta(ge=0, lt=MAX_TS_MS, description="milliseconds since 1970-01-01T00:00:00Z, before 2100")]
Offset = Annotated[int, Meta(ge=-1, le=MAX_OFFSET, description="Kafka offset; -1: before the first record")]
Partition = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Number = Annotated[float, Meta(ge=-1e12, le=1e12, description="finite, magnitude at most 10^12")]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(max_length=4_000)]
Scalar = Annotated[str, Meta(max_length=1_000)] | Number | bool | None
Attributes = Annotated[dict[Name, Scalar], Meta(max_length=64)]
Names = Annotated[tuple[Name, ...], Meta(max_length=64)]
Ids = Annotated[tuple[Id, ...], Meta(max_length=1_000)]

EventName = Literal["view", "click", "cart", "purchase", "rating", "like", "dislike", "remove", "impression"]
KeptEventName = Literal["view", "click", "cart", "purchase", "rating", "like", "dislike", "remove"]


def within_bytes(**ids: str | None) -> None:
    """Hold ids to 256 bytes: Meta counts characters, stores and keys count bytes."""
    for name, text in ids.items():
        if text is not None and len(text) > MAX_ID_BYTES // 4 and not text.isascii():
            size = len(text.encode("utf-8", "surrogatepass"))
            if size > MAX_ID_BYTES:
                raise ValueError(f"`{name}` is {size} bytes of UTF-8, more than {MAX_ID_BYTES}")


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What all records share."""

    schema_version: Version = msgspec.field(default_factory=_version)


class Horizon(msgspec.Struct, frozen=True, kw_only=True):
    """The last event that could have influenced something: its event time, and its place in the log."""

    ts_ms: TsMs
    offset: Offset
    partition: Partition = 0


# --- from producers -----------------------------------------------------------------------------------------


class InteractionMessage(Message, frozen=True, kw_only=True, gc=False):
    """Topic `interactions`, key `user_id`: one thing a user did to (or was shown of) an item."""

    user_id: Id
    item_id: Id
    event_type: EventName
    ts_ms: TsMs
    event_id: Id | None = None
    value: Number | None = None
    list_id: Id | None = None
    rank: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    context: Attributes | None = None

    def __post_init__(self) -> None:
        # Every event passes here and ASCII characters are one byte each, so the usual case must cost nothing.
        if self.user_id.isascii() and self.item_id.isascii() and self.event_id is None and self.list_id is None:
            return
        within_bytes(user_id=self.user_id, item_id=self.item_id, event_id=self.event_id, list_id=self.list_id)


class ItemMessage(Message, frozen=True, kw_only=True):
    """Topic `items`, key `item_id`: the catalogue. A null value takes the item out of it."""

    item_id: Id
    title: Text = ""
    description: Annotated[str, Meta(max_length=20_000)] | None = None
    brand: Annotated[str, Meta(max_length=200)] | None = None
    categories: Names = ()
    price: Number | None = None
    available: bool = True
    attributes: Attributes = {}

    def __post_init__(self) -> None:
        within_bytes(item_id=self.item_id)


class UserMessage(Message, frozen=True, kw_only=True):
    """Topic `users`, key `user_id`: attributes, or who an anonymous user proved to be. Null value: erase."""

    user_id: Id
    attributes: Attributes = {}
    merged_into: Id | None = None

    def __post_init__(self) -> None:
        within_bytes(user_id=self.user_id, merged_into=self.merged_into)


class Filters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a requested list may hold; an empty tuple or null does not restrict.

    `hide_after` leaves out items that the user had an event of one of these types with; impressions are not kept.
    """

    categories: Names = ()
    without_categories: Names = ()
    brands: Names = ()
    price_min: Number | None = None
    price_max: Number | None = None
    available_only: bool = True
    hide_after: Annotated[tuple[KeptEventName, ...], Meta(max_length=16)] = ()


class RecommendationRequest(Message, frozen=True, kw_only=True):
    """Topic `recommendation-requests`, key `user_id`: one list, please, now."""

    request_id: Id
    user_id: Id
    k: Annotated[int, Meta(ge=1, le=1_000)] = 10
    filters: Filters | None = None
    exclude: Ids = ()

    def __post_init__(self) -> None:
        within_bytes(request_id=self.request_id, user_id=self.user_id)


# --- from the graph worker ----------------------------------------------------------------------------------


class RecommendedItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One place of a list. `probability`, of exploration slots only, is that of being shown here."""

    item_id: Id
    score: float
    rank: Annotated[int, Meta(ge=1, le=10_000)]
    source: Name
    title: Text = ""
    probability: Share | None = None
    reasons: tuple[Text, ...] = ()


class RecommendationMessage(Message, frozen=True, kw_only=True):
    """Topic `recommendations`, key `user_id`: a fresh list, best first.

    `horizon` is the newest event the list has seen. `timings` are milliseconds by stage, each name ending in
    `_ms`.
    """

    list_id: Id
    user_id: Id
    variant: Name
    horizon: Horizon
    model_version: Name
    items: tuple[RecommendedItem, ...]
    request_id: Id | None = None
    timings: dict[str, float] = {}


class DeadLetter(Message, frozen=True, kw_only=True):
    """Topic `dead-letters`, key as the source's: a record that could not be used, its bytes in base64."""

    id: Name
    source_topic: Name
    source_partition: Partition
    source_offset: Offset
    code: Name
    message: Text
    ts_ms: TsMs
    key: bytes | None = None
    value: bytes | None = None


class MetricPoint(Message, frozen=True, kw_only=True):
    """Topic `metrics`, key `series`: one prequential figure over a window of events."""

    series: Name
    ts_ms: TsMs
    value: Number
    model: Name | None = None
    window_events: Count | None = None
    offset: Offset | None = None
    labels: dict[str, str] = {}


# --- internal: more than one shard --------------------------------------------------------------------------


class ItemSideMessage(Message, frozen=True, kw_only=True):
    """Topic `item-messages`, key `item_id`: an event's item half for its owner. `memory`: float32 LE."""

    item_id: Id
    user_id: Id
    event_type: EventName
    ts_ms: TsMs
    source_partition: Partition
    source_offset: Offset
    memory: bytes = b""


class ItemMemory(Message, frozen=True, kw_only=True):
    """Topic `item-memory`, key `item_id`: an item's new memory, for all. `memory`: float32, little endian."""

    item_id: Id
    horizon: Horizon
    memory: bytes


class Weights(Message, frozen=True, kw_only=True):
    """Topic `weights`, key `name`: a trainer has handed over a version.

    `file` is its folder below the place that trainer and workers share, `sha256` the digest of its tensors. `data`
    is for weights small enough to travel in the record, as safetensors bytes; today's trainer leaves it empty.
    """

    name: Name
    version: Count
    horizon: Horizon
    file: Annotated[str, Meta(max_length=200)] = ""
    sha256: Annotated[str, Meta(max_length=64, pattern="^[0-9a-f]*$")] = ""
    data: bytes = b""
