"""Logs with a pattern in them that popularity cannot see, and how well a recommender finds it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from models.baselines.recommender import Basket, Recommender

HOUR = 3_600_000
START = 1_700_000_000_000


def basket(user: int, items: Sequence[int], ts: int = START, sign: int = 1) -> Basket:
    return Basket(user, ts, np.array(items, np.int64), np.full(len(items), sign, np.int8))


def cycles(events: int, users: int = 30, items: int = 20, seed: int = 0) -> Iterator[Basket]:
    """Whoever took item i takes i + 1 next, and 1 after the last: all items are equally popular."""
    rng = np.random.default_rng(seed)
    at = rng.integers(0, items, users)
    known = _Rows()
    for n in range(events):
        user = int(rng.integers(users))
        at[user] = (at[user] + 1) % items
        yield basket(known.user(user), [known.item(at[user])], START + n * HOUR)


def tastes(events: int, groups: int = 4, users: int = 40, items: int = 40, seed: int = 0) -> Iterator[Basket]:
    """Users of a group take the group's items alone, each at random: again all are equally popular."""
    rng = np.random.default_rng(seed)
    known = _Rows()
    for n in range(events):
        user = int(rng.integers(users))
        item = int(rng.integers(items // groups)) * groups + user % groups
        yield basket(known.user(user), [known.item(item)], START + n * HOUR)


def mean_reciprocal_rank(model: Recommender, log: Sequence[Basket], warmup: int) -> float:
    """Prequential, from basket ``warmup`` on, with middle ranks; unseen items count as never found."""
    found: list[float] = []
    for number, event in enumerate(log):
        if number >= warmup:
            scores = model.scores(event.user, event.ts)
            for item in event.items:
                others = np.delete(scores, [0, item]) if item < len(scores) else np.array([])
                rank = 1 + (others > scores[item]).sum() + (others == scores[item]).sum() / 2 if len(others) else np.inf
                found.append(float(1 / rank))
        model.learn(event)
    return float(np.mean(found))


class _Rows:
    """Rows by order of first appearance, from 1, as a log is coded."""

    def __init__(self) -> None:
        self._users: dict[int, int] = {}
        self._items: dict[int, int] = {}

    def user(self, user: int) -> int:
        return self._users.setdefault(user, len(self._users) + 1)

    def item(self, item: int) -> int:
        return self._items.setdefault(int(item), len(self._items) + 1)
