"""The graph itself: who is in it, what each node remembers, and how far it has seen."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from dyngraph.arrays import NUMPY, Arrays
from dyngraph.batch import Columns, EventBatch
from dyngraph.catalogue import Catalogue
from dyngraph.ids import IdTable
from dyngraph.nodes import NodeStore
from dyngraph.order import BEGINNING, Moment
from dyngraph.profiles import ProfileStore
from dyngraph.reasoning_store import ReasoningStore
from dyngraph.relations import GivenNames
from dyngraph.state import State, Stateful, gather, scatter
from dyngraph.texts import TextVectors


class DynamicGraph:
    """Users, items, their stores and the horizon; changed by the engine's commit and by nothing else."""

    def __init__(
        self,
        dim: int,
        k: int,
        *,
        message: int = 0,
        edge_dim: int = 0,
        user_dim: int = 0,
        item_dim: int = 0,
        profile_dim: int = 0,
        text_dim: int = 0,
        concept_dim: int = 0,
        arrays: Arrays = NUMPY,
        device: torch.device | str = "cpu",
    ) -> None:
        """Of memory width ``dim`` with ``k`` neighbours; raw messages of width ``message``, as many edge features as
        ``edge_dim``, static vectors of widths ``user_dim`` and ``item_dim``, text vectors of widths ``profile_dim`` (of
        each facet of a user's profile), ``text_dim`` (of items) and ``concept_dim`` (of what reasoning graphs are
        about); held and computed on as ``arrays`` says.
        """
        self.dim, self.edge_dim, self.arrays = dim, edge_dim, arrays
        self.user_ids, self.item_ids = IdTable(), IdTable()
        self.users = NodeStore(
            dim, k, message=message, edge_dim=edge_dim, vector_dim=user_dim, arrays=arrays, device=device
        )
        self.items = NodeStore(
            dim, k, message=message, edge_dim=edge_dim, vector_dim=item_dim, arrays=arrays, device=device
        )
        self.catalogue = Catalogue(self.item_ids)
        self.texts = TextVectors(self.item_ids, text_dim)
        self.profiles = ProfileStore(self.user_ids, profile_dim)
        self.reasoning = ReasoningStore(self.user_ids, self.item_ids, self.users, concept_dim)
        self.relation_names = GivenNames()
        self.horizon = BEGINNING
        self.events = 0

    def find(self, columns: Columns) -> EventBatch:
        """The batch as the graph knows it now: newcomers have row 0."""
        return _batch(columns, self.user_ids.find(columns.users), self.item_ids.find(columns.items))

    def admit(self, columns: Columns) -> EventBatch:
        """Give rows to the batch's ids, growing where needed."""
        users, items = self.user_ids.add(columns.users), self.item_ids.add(columns.items)
        self.users.grow(len(self.user_ids))
        self.items.grow(len(self.item_ids))
        return _batch(columns, users, items)

    def sizes(self) -> tuple[int, int]:
        """Rows of users and of items, null rows included."""
        return len(self.user_ids), len(self.item_ids)

    def truncate(self, sizes: tuple[int, int]) -> None:
        """Undo growth beyond ``sizes`` (as :meth:`sizes` gave them)."""
        self.user_ids.truncate(sizes[0])
        self.item_ids.truncate(sizes[1])
        self.users.truncate(sizes[0])
        self.items.truncate(sizes[1])

    def advance(self, moments: Iterable[Moment]) -> None:
        """Move the horizon to the newest of ``moments`` and itself."""
        self.horizon = max(self.horizon, *moments)

    def forget_user(self, row: int) -> None:
        """Clear one user's row, and the user from the rings and the waiting messages of items.

        What items took into their memory from the user's visits stays.
        """
        self.users.forget(row)
        self.profiles.forget(row)
        self.reasoning.forget(row)
        self.items.settle(self.items.neighbours.holders(row))
        self.items.neighbours.forget_neighbour(row)
        self.user_ids.forget(row)

    def state(self) -> State:
        """Everything but the catalogue; of text vectors, profiles and reasoning graphs only what has a width."""
        clock = torch.tensor([*self.horizon, self.events], dtype=torch.int64)
        return {"clock": clock} | gather(self._parts())

    def load_state(self, state: State) -> None:
        """Inverse of :meth:`state`."""
        ts, seq, self.events = state["clock"].tolist()
        self.horizon = Moment(ts, seq)
        scatter(self._parts(), state)

    def _parts(self) -> dict[str, Stateful]:
        parts: dict[str, Stateful] = {
            "user_ids": self.user_ids,
            "item_ids": self.item_ids,
            "users": self.users,
            "items": self.items,
            "relation_names": self.relation_names,
        }
        given: dict[str, ProfileStore | ReasoningStore | TextVectors] = {
            "profiles": self.profiles,
            "reasoning": self.reasoning,
            "texts": self.texts,
        }
        return parts | {name: store for name, store in given.items() if store.width}


def _batch(columns: Columns, users: Tensor, items: Tensor) -> EventBatch:
    return EventBatch(users, items, columns.types, columns.values, columns.ts, columns.seq, columns.features)
