"""No baseline sees the future or the label, and one that does is caught."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from small_coded import drawn

from evaluation.coded import CodedLog
from evaluation.leakage import LeakageError
from evaluation.recommender_leakage import check_recommender
from models.baselines import Basket, Setting, baseline_names, build_baseline
from models.baselines.popularity import Popularity

LOG = drawn(160)


EARLY: dict[str, dict[str, Setting]] = {
    "sasrec": {"first": 20, "interval": 0.5, "width": 8, "length": 8},
    "gconvgru": {"least": 10, "width": 4, "interval_days": 15.0, "unroll": 1, "updates": 1},
}
"""Settings with which a baseline that learns now and then does so on a log this small."""


@pytest.mark.parametrize("name", baseline_names())
def test_no_baseline_sees_the_future_or_the_label(name: str) -> None:
    assert check_recommender(lambda log: build_baseline(name, **EARLY.get(name, {})), LOG) > 100


class PeeksAtTheBasket(Popularity):
    """Holds the log and lifts the items that come next."""

    name = "peeks"

    def __init__(self, log: CodedLog) -> None:
        super().__init__()
        self._log, self._group = log, 0

    def scores(self, user: int, ts: int) -> NDArray[np.float64]:
        scores = super().scores(user, ts).copy()
        coming = self._log.basket(self._group).items
        scores[coming[coming < len(scores)]] += 0.5
        return scores

    def learn(self, basket: Basket) -> None:
        super().learn(basket)
        self._group += 1


class KnowsTheFuture(Popularity):
    """Counted the whole log before it began, as a model does that is trained on all of it."""

    name = "knows"

    def __init__(self, log: CodedLog) -> None:
        super().__init__()
        self._whole = np.bincount(log.items, minlength=10_000)

    def scores(self, user: int, ts: int) -> NDArray[np.float64]:
        return self._whole[: self.items + 1].astype(np.float64)


class CountsLooks(Popularity):
    """Being asked changes it."""

    name = "counts looks"

    def __init__(self, log: CodedLog) -> None:
        super().__init__()
        self._looks = 0

    def scores(self, user: int, ts: int) -> NDArray[np.float64]:
        self._looks += 1
        return super().scores(user, ts) * self._looks


class KnowsTheCatalogue(Popularity):
    """Scores items before anybody met them."""

    name = "knows the catalogue"

    def __init__(self, log: CodedLog) -> None:
        super().__init__()
        self._items = log.n_items

    def scores(self, user: int, ts: int) -> NDArray[np.float64]:
        return np.zeros(self._items + 1)


@pytest.mark.parametrize(
    ("leaking", "complaint"),
    [
        (PeeksAtTheBasket, "giving group .* other items changed the scores"),
        (KnowsTheFuture, "deleting everything after group .* changed the scores"),
        (CountsLooks, "scoring earlier groups changed the scores"),
        (KnowsTheCatalogue, "items had been seen"),
    ],
)
def test_a_leaking_recommender_is_caught(leaking: type[Popularity], complaint: str) -> None:
    with pytest.raises(LeakageError, match=complaint):
        check_recommender(leaking, LOG)  # type: ignore[arg-type]
