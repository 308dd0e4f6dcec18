"""The knowledge-graph task's triplets: two items and what relates them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.relations.attributes import Attributes
from evaluation.relations.links import Pairs

Rows = NDArray[np.int64]


class Triplets(NamedTuple):
    """n triplets, each with one end corrupted."""

    head: Rows
    relation: Rows
    value: Rows
    """Number of the attribute value that both ends have, 0 for a link."""
    tail: Rows
    wrong_head: Rows
    wrong_tail: Rows


class Knowledge:
    """Draws triplets: links as they are, and for an item with a value another item that has it too."""

    def __init__(self, links: tuple[Pairs, ...], attributes: Attributes, *, first_attribute: int) -> None:
        """``links`` are of the relations from 1 on, attributes of those from ``first_attribute`` on."""
        self._n_items = len(attributes.values) - 1
        self._values = attributes.values
        self._first_attribute = first_attribute
        bearer, column = np.nonzero(attributes.values)
        value = attributes.values[bearer, column]
        order = np.argsort(value, kind="stable")
        self._bearers = bearer[order]
        self._ends = np.searchsorted(value[order], np.arange(attributes.distinct + 2), side="left")
        shared = np.diff(self._ends)[value] > 1
        heads = [pairs[:, 0] for pairs in links] + [bearer[shared]]
        self._head = np.concatenate(heads)
        self._relation = np.concatenate(
            [np.full(len(pairs), at) for at, pairs in enumerate(links, 1)] + [first_attribute + column[shared]]
        )
        self._value = np.concatenate([np.zeros(sum(map(len, links)), dtype=np.int64), value[shared]])
        self._tail = np.concatenate([pairs[:, 1] for pairs in links] + [np.zeros(int(shared.sum()), dtype=np.int64)])
        linked = self._value == 0
        self._known = np.unique(self._key(self._head, self._relation, self._tail)[linked])

    def __len__(self) -> int:
        return len(self._head)

    def draw(self, count: int, rng: np.random.Generator) -> Triplets:
        """``count`` triplets, each for itself. Raises ValueError where there is none to draw."""
        if not len(self):
            raise ValueError("no two items are linked or share a value; set gamma to 0")
        which = rng.integers(len(self), size=count)
        head, relation, value, tail = (
            column[which] for column in (self._head, self._relation, self._value, self._tail)
        )
        tail = np.where(value > 0, self._other_bearer(head, value, rng), tail)
        at_head = rng.random(count) < 0.5
        wrong = rng.integers(1, self._n_items + 1, count)
        # An end that makes a true triplet is drawn anew; where nearly all are true, some remain and cost little.
        for _ in range(10):
            true = self._true(np.where(at_head, wrong, head), relation, value, np.where(at_head, tail, wrong))
            if not true.any():
                break
            wrong[true] = rng.integers(1, self._n_items + 1, int(true.sum()))
        return Triplets(head, relation, value, tail, np.where(at_head, wrong, head), np.where(at_head, tail, wrong))

    def _other_bearer(self, head: Rows, value: Rows, rng: np.random.Generator) -> Rows:
        """For each item another one with its value: drawn among the bearers but the last, who stands in for itself."""
        start, stop = self._ends[value], self._ends[value + 1]
        size = np.maximum(stop - start - 1, 1)
        at = start + (rng.random(len(head)) * size).astype(np.int64)
        drawn = self._bearers[at.clip(max=max(len(self._bearers) - 1, 0))]
        last: Rows = self._bearers[(stop - 1).clip(min=0)]
        return np.where(drawn == head, last, drawn)

    def _true(self, head: Rows, relation: Rows, value: Rows, tail: Rows) -> NDArray[np.bool_]:
        column = (relation - self._first_attribute).clip(min=0)
        if self._values.shape[1]:
            bears = (self._values[head, column] == value) & (self._values[tail, column] == value)
        else:
            bears = np.zeros(len(head), dtype=np.bool_)
        linked = np.isin(self._key(head, relation, tail), self._known)
        true: NDArray[np.bool_] = (head == tail) | np.where(value > 0, bears, linked)
        return true

    def _key(self, head: Rows, relation: Rows, tail: Rows) -> Rows:
        size = self._n_items + 1
        key: Rows = (relation * size + head) * size + tail
        return key
