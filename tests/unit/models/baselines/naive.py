"""The simple baselines once more, with dictionaries and whole histories: slow, and plain to read."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

from models.baselines import Basket


class Naive:
    """Everything that was learned, in order; every score is worked out from it anew."""

    def __init__(self) -> None:
        self.events: list[tuple[int, int, int]] = []
        """(user, ts, item) of what was taken."""
        self.items = 0

    def learn(self, basket: Basket) -> None:
        self.items = max([self.items, *basket.items.tolist()])
        for item, sign in zip(basket.items.tolist(), basket.sign.tolist(), strict=True):
            if sign > 0:
                self.events.append((basket.user, basket.ts, item))

    def counts(self) -> Counter[int]:
        return Counter(item for _, _, item in self.events)

    def table(self, scores: dict[int, float]) -> list[float]:
        return [scores.get(item, 0.0) for item in range(self.items + 1)]

    def popularity(self) -> list[float]:
        return self.table(dict(self.counts()))

    def decayed(self, now: int, half_life: float) -> list[float]:
        scores: dict[int, float] = defaultdict(float)
        for _, ts, item in self.events:
            scores[item] += 2 ** (-(now - ts) / half_life)
        return self.table(scores)

    def cooccurrence(self, user: int, decay: float, window: int) -> list[float]:
        together: Counter[tuple[int, int]] = Counter()
        last: dict[int, list[int]] = defaultdict(list)
        for who, _, item in self.events:
            for other in last[who]:
                if other != item:
                    together[item, other] += 1
                    together[other, item] += 1
            last[who] = [item, *(other for other in last[who] if other != item)][:window]
        counts, scores = self.counts(), defaultdict(float)
        for place, item in enumerate(last[user]):
            for other in range(1, self.items + 1):
                if together[item, other]:
                    scores[other] += decay**place * together[item, other] / math.sqrt(counts[item] * counts[other])
        return self.table(scores)

    def markov(self, user: int) -> list[float]:
        follows: Counter[tuple[int, int]] = Counter()
        last: dict[int, int] = {}
        for who, _, item in self.events:
            if who in last:
                follows[last[who], item] += 1
            last[who] = item
        counts = self.counts()
        most = max(counts.values(), default=0)
        return self.table(
            {
                item: counts[item] / (2 * most + 2) + (follows[last[user], item] if user in last else 0)
                for item in range(1, self.items + 1)
            }
        )

    def own_before(self, user: int, now: int, half_life: float, one: int, two: int) -> bool:
        """Whether item ``one`` stands before ``two``: own first, by decayed count, then by popularity."""
        own = [
            sum(2 ** (-(now - ts) / half_life) for who, ts, item in self.events if (who, item) == (user, it))
            for it in (one, two)
        ]
        if not math.isclose(own[0], own[1], rel_tol=1e-9):
            return own[0] > own[1]
        counts = self.counts()
        return counts[one] > counts[two]
