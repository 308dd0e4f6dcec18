"""All that the rows of one study share: the split, what is known of items, and what the true ones are ranked among."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.coded import CodedLog
from evaluation.profiles.stock import TextModel, TextStock
from evaluation.protocols.holdout import held_out
from evaluation.protocols.plan import Plan
from evaluation.relations.attributes import Attributes, attributes_of
from evaluation.relations.drawing import Unmet
from evaluation.relations.examples import Split, split_examples
from evaluation.relations.links import Pairs, links_of
from models.lrd.relations import COMPLEMENT, SUBSTITUTE, Relations

NEGATIVES = 99
FEWEST_LINKS = 0.1
"""Links per item that a relation needs; with fewer it is left out."""


def check_negatives(log: CodedLog, shuffle: int | None = None) -> None:
    """Raises ValueError for a log in which a user who is tested has fewer than :data:`NEGATIVES` items left: each true
    item is ranked among so many that its user has nothing with."""
    if log.n_items <= NEGATIVES:
        raise ValueError(
            f"{log.name} has {log.n_items} items, and a true item is ranked among {NEGATIVES} others; "
            f"take a log with {NEGATIVES + 1} items or more"
        )
    users = np.unique(log.users[held_out(log, _plan(shuffle)).tests])
    taken = np.bincount(np.unique(log.users * (log.n_items + 1) + log.items) // (log.n_items + 1))[users]
    if len(few := np.flatnonzero(log.n_items - taken < NEGATIVES)):
        user_id, own = log.user_ids[users[few[0]]], int(taken[few[0]])
        raise ValueError(
            f"{log.name}: user {user_id!r} has events with {own} of {log.n_items} items, which leaves "
            f"{log.n_items - own}, and their true item is ranked among {NEGATIVES} that they have nothing with "
            f"(such users: {len(few)}); leave them out of the log, or take one with more items"
        )


@dataclass(frozen=True)
class World:
    """A log, split; nothing but :attr:`everything` knows of validation and test events."""

    name: str
    n_users: int
    n_items: int
    split: Split
    learned: Unmet
    """What users have learned events with."""
    everything: Unmet
    """What users have events with at all: for drawing what a true item is ranked among."""
    attributes: Attributes
    links: dict[str, Pairs]
    """Pairs by relation; none where links are left out."""

    def relations(self, latent: int) -> Relations:
        """The relations there are, and ``latent`` more."""
        return Relations(tuple(self.links), self.attributes.names, latent)


def world_of(log: CodedLog, *, history: int = 20, links: bool = True, shuffle: int | None = None) -> World:
    """Split a log by leave-one-out; with ``shuffle``, a seed, a user's events of one moment change places before.

    On amazon-beauty, whose moments are days sorted by item id, the published order gives away which item is the last.
    Raises ValueError where no user has three events.
    """
    rows = held_out(log, _plan(shuffle))
    users, items = log.users[rows.learned], log.items[rows.learned]
    attributes = attributes_of(log.catalogue, log.n_items)
    found: dict[str, Pairs] = {}
    if links:
        kinds = attributes.values[:, 0] if "category" in attributes.names else np.zeros(log.n_items + 1, np.int64)
        pairs = links_of(users, items, log.ts[rows.learned], kinds)
        found = {
            name: of
            for name, of in zip((COMPLEMENT, SUBSTITUTE), pairs, strict=True)
            if FEWEST_LINKS * log.n_items <= len(of)
        }
    return World(
        name=log.name,
        n_users=log.n_users,
        n_items=log.n_items,
        split=split_examples(log, rows, history),
        learned=Unmet(users, items, log.n_items),
        everything=Unmet(log.users, log.items, log.n_items),
        attributes=attributes,
        links=found,
    )


def _plan(shuffle: int | None) -> Plan:
    return Plan("leave-one-out", shuffle_ties=shuffle is not None, seed=shuffle or 0)


def text_rows(log: CodedLog, model: TextModel) -> torch.Tensor:
    """``[1 + items, w]`` float32 text vectors by item row, zeros for an item without text."""
    stock = TextStock(model)
    vectors = stock.of_items(list(log.catalogue.values()))
    rows: NDArray[np.float32] = np.zeros((log.n_items + 1, stock.width), np.float32)
    for row, item in log.catalogue.items():
        if item.item_id in vectors:
            rows[row] = np.frombuffer(vectors[item.item_id], "<f2")
    return torch.from_numpy(rows)
