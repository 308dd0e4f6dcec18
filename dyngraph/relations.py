"""Latent relations as graph data: a version of what is known of each, for people and for whoever names them.

The network that finds relations learns all the time and may move a meaning to another slot; a table is its state at a
horizon, with slots in the order that meanings had before (``models.lrd.table.aligned``). So "relation 5" can be told
to somebody.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from dyngraph.state import State


class Pair(msgspec.Struct, frozen=True, array_like=True):
    """Two items that a relation leads between."""

    past: str
    """Item id of the one that was taken before."""
    candidate: str
    """Item id of the one that the relation then speaks for."""
    score: float
    """How surely it is this relation, 0 to 1."""


class RelationSlot(msgspec.Struct, frozen=True):
    """One latent relation."""

    embedding: bytes
    """Float16, little endian, ``[d]``."""
    usage: float
    """Share of the pairs looked at whose most probable relation it is."""
    pairs: tuple[Pair, ...] = ()
    """The strongest first."""
    name: str = ""
    """In words that can stand in quotes within a reason; empty while it has none."""


class TableMark(NamedTuple):
    """Tells a version of a shard's table from all others: a shard that lost its state counts versions from 1 again."""

    version: int
    ts: int
    offset: int


class RelationTable(msgspec.Struct, frozen=True):
    """One version of the K latent relations. Raises ValueError for slots that are none, or not alike in width."""

    version: int
    """Counts from 1; the larger one holds."""
    ts: int
    """Horizon: event time, ms, of the newest event that it was made from."""
    offset: int
    """Horizon: offset of that event in the log of its partition, -1 where there is no log."""
    slots: tuple[RelationSlot, ...]
    """``[K]``; a relation's number is its place, from 1."""
    producer: str
    """Who named the slots: ``endpoint``, ``embedded``, ``statistical``; empty before anybody did."""

    def __post_init__(self) -> None:
        if self.version < 1:
            raise ValueError(f"version {self.version} of a relation table: versions count from 1")
        widths = {len(slot.embedding) for slot in self.slots}
        if len(widths) > 1 or any(width % 2 for width in widths) or 0 in widths:
            raise ValueError(f"embeddings of {sorted(widths)} bytes; all slots need the same number of float16 values")
        for number, slot in enumerate(self.slots, 1):
            if not (math.isfinite(slot.usage) and slot.usage >= 0):
                raise ValueError(f"usage {slot.usage} of relation {number} is no share; give 0 or more")
            if not np.isfinite(np.frombuffer(slot.embedding, "<f2")).all():
                raise ValueError(f"the embedding of relation {number} holds a number that is not finite")

    @property
    def mark(self) -> TableMark:
        """What names of its relations must have been made for."""
        return TableMark(self.version, self.ts, self.offset)

    @property
    def dim(self) -> int:
        """d, 0 for a table without slots."""
        return len(self.slots[0].embedding) // 2 if self.slots else 0

    @property
    def usage(self) -> list[float]:
        """``[K]``"""
        return [slot.usage for slot in self.slots]

    def embeddings(self) -> NDArray[np.float32]:
        """``[K, d]``"""
        blob = b"".join(slot.embedding for slot in self.slots)
        return np.frombuffer(blob, "<f2").reshape(len(self.slots), self.dim).astype(np.float32)

    def label(self, number: int) -> str:
        """What to call a relation: its name, or its number where it has none.

        Raises ValueError for a number that is no slot's.
        """
        if not 1 <= number <= len(self.slots):
            raise ValueError(f"relation {number} is none of this table's; it has 1 to {len(self.slots)}")
        return self.slots[number - 1].name or f"latent relation {number}"


class RelationNames(msgspec.Struct, frozen=True):
    """What somebody outside calls the relations of one version of a shard's table."""

    partition: int
    """Whose table."""
    version: int
    names: tuple[str, ...]
    """``[K]`` by number, empty where the table's own name is as good."""
    producer: str = ""
    ts: int = -1
    """Horizon of that version, as :class:`RelationTable` has it. Names written down before this was part of them are
    those of no table."""
    offset: int = -1

    @property
    def made_for(self) -> TableMark:
        """Which table."""
        return TableMark(self.version, self.ts, self.offset)


_packer, _unpacker = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(RelationNames)


class GivenNames:
    """The names that a graph was given last. Whether they are those of the table in use is for its keeper to see."""

    def __init__(self) -> None:
        self.newest: RelationNames | None = None

    def put(self, names: RelationNames) -> None:
        """Take names in the place of those before."""
        self.newest = names

    def state(self) -> State:
        """Bytes of msgpack; nothing where there are no names."""
        if self.newest is None:
            return {}
        return {"newest": torch.from_numpy(np.frombuffer(_packer.encode(self.newest), np.uint8).copy())}

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        self.newest = _unpacker.decode(state["newest"].numpy().tobytes()) if state else None
