"""The relation table of a network that goes on learning: numbers and names that stay with what they were given to."""

from __future__ import annotations

import logging
from collections import Counter

import msgspec
import numpy as np
import torch
from torch import Tensor

from dyngraph.events import Item
from dyngraph.graph import DynamicGraph
from dyngraph.relations import Pair, RelationNames, RelationSlot, RelationTable
from dyngraph.state import State
from models.lrd.naming import named
from models.lrd.neighbours import RelationNeighbours
from models.lrd.online import OnlineRelations
from models.lrd.table import PER_ITEM, aligned, match_slots
from models.lrd.usage import collapsed, effective_slots

log = logging.getLogger(__name__)

MOST_PAIRS = 40
"""Strongest pairs of a relation that its name is read from."""
LOOKED_AT = 1_000
"""Items of the catalogue, evenly spread, whose pairs stand for pairs of no relation."""

_packer, _unpacker = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(RelationTable)


def _bytes(written: RelationTable | RelationNames | None) -> Tensor:
    packed = _packer.encode(written) if written is not None else b""
    return torch.from_numpy(np.frombuffer(packed, np.uint8).copy())


class LivingTable:
    """The newest version, which slot of the network each of its places is, and what somebody outside calls it."""

    def __init__(self, model: OnlineRelations, neighbours: RelationNeighbours) -> None:
        self.table: RelationTable | None = None
        self._model, self._neighbours = model, neighbours
        self._place_of = list(range(model.relations.latent))
        self.collapses = 0
        """Versions in which fewer than two slots were in effective use."""
        self.refused: Counter[str] = Counter()
        """Names from outside that were of no use when they came, by reason: ``another_k``, ``stale`` (of another
        version, or of one that the shard had before it lost its state)."""
        self._given: RelationNames | None = None

    def called(self, slot: int) -> str:
        """What reasons call a latent slot of the network (from 0)."""
        number = self._place_of[slot] + 1
        name = self._name(number)
        return f"‘{name}’ (latent relation {number})" if name else f"latent relation {number}"

    @property
    def shown(self) -> RelationTable | None:
        """The newest version as people see it: with the names from outside that were made for it."""
        if self.table is None:
            return None
        numbered = enumerate(self.table.slots, 1)
        slots = tuple(msgspec.structs.replace(slot, name=self._name(number)) for number, slot in numbered)
        return msgspec.structs.replace(self.table, slots=slots)

    def take(self, names: RelationNames | None) -> None:
        """Call relations what these names say, for as long as the version stands that they were made for."""
        if names is None or names == self._given:
            return
        self._given = names
        if fault := self._fault(names):
            self.refused[fault] += 1

    def _fault(self, names: RelationNames) -> str:
        if self.table is None or names.made_for != self.table.mark:
            return "stale"
        return "another_k" if len(names.names) != len(self.table.slots) else ""

    def _name(self, number: int) -> str:
        """The name from outside, else the counted one, empty where there is none."""
        if self.table is None:
            return ""
        given = "" if self._given is None or self._fault(self._given) else self._given.names[number - 1]
        return given or self.table.slots[number - 1].name

    def renew(self, graph: DynamicGraph, ts: int, seq: int) -> None:
        """Make the next version, as of an event at ``(ts, seq)``: slots in the order that meanings had before, each
        named by what its strongest pairs have in common. Within a step only.
        """
        latent = self._model.relations.latent
        usage = self._neighbours.usage().tolist()
        if not latent or not sum(usage):
            return
        pairs = [self._pairs(graph, slot) for slot in range(latent)]
        embeddings = self._model.network.relation.detach()[self._model.relations.latent_at :].numpy().astype("<f2")
        slots = tuple(
            RelationSlot(embeddings[slot].tobytes(), float(usage[slot]), pairs[slot]) for slot in range(latent)
        )
        version = self.table.version + 1 if self.table is not None else 1
        fresh = RelationTable(version, ts, seq, slots, "statistical")
        if collapsed(usage):
            self.collapses += 1
            log.warning("latent relations have collapsed: %.2f of %d in effective use", effective_slots(usage), latent)
        if self.table is not None:
            for place, slot in enumerate(match_slots(self.table, fresh)):
                self._place_of[slot] = place
            fresh = aligned(self.table, fresh)
        kept = [slot.name for slot in fresh.slots]
        fresh = named(fresh, self._described(graph, fresh))
        # A relation whose pairs say nothing now is still called what it was, unless another one is called that by now.
        borne = {slot.name for slot in fresh.slots}
        slots = tuple(
            slot if slot.name or name in borne else msgspec.structs.replace(slot, name=name)
            for slot, name in zip(fresh.slots, kept, strict=True)
        )
        self.table = msgspec.structs.replace(fresh, slots=slots)

    def _pairs(self, graph: DynamicGraph, slot: int) -> tuple[Pair, ...]:
        """The strongest kept pairs, each item in two of them at most."""
        kept: list[Pair] = []
        often: dict[int, int] = {}
        for past, candidate, score in self._neighbours.strongest(slot, 8 * MOST_PAIRS):
            if max(often.get(past, 0), often.get(candidate, 0)) < PER_ITEM and len(kept) < MOST_PAIRS:
                kept.append(Pair(graph.item_ids[past], graph.item_ids[candidate], score))
                often[past], often[candidate] = often.get(past, 0) + 1, often.get(candidate, 0) + 1
        return tuple(kept)

    @staticmethod
    def _described(graph: DynamicGraph, table: RelationTable) -> dict[str, Item]:
        """Catalogue entries of the pairs' items, and of some others."""
        count = graph.sizes()[1]
        rows = np.unique(np.linspace(1, count - 1, min(LOOKED_AT, count - 1)).astype(np.int64))
        ids = {graph.item_ids[row] for row in rows.tolist()}
        ids |= {item_id for slot in table.slots for pair in slot.pairs for item_id in (pair.past, pair.candidate)}
        found = ((item_id, graph.catalogue.get(item_id)) for item_id in sorted(ids))
        return {item_id: item for item_id, item in found if item is not None}

    def state(self) -> State:
        """Table and given names as bytes of msgpack, and the places."""
        return {
            "table": _bytes(self.table),
            "given": _bytes(self._given),
            "place_of": torch.tensor(self._place_of, dtype=torch.int64),
            "collapses": torch.tensor([self.collapses]),
        }

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        packed, given = (state[name].numpy().tobytes() for name in ("table", "given"))
        self.table = _unpacker.decode(packed) if packed else None
        self._given = msgspec.msgpack.decode(given, type=RelationNames) if given else None
        self._place_of = state["place_of"].tolist()
        self.collapses = int(state["collapses"])
