"""How sure is a figure: bootstrap intervals over users.

Events of one user resemble each other, so resampling events would pretend to know more than the data say;
users are what is drawn independently. Two models see the same events, so their difference is resampled as
pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

CHUNK_DRAWS = 4_000_000
"""So many random indices are held at a time: 32 MB."""


@dataclass(frozen=True)
class Interval:
    """A mean with its percentile bootstrap interval ``[low, high]``."""

    mean: float
    low: float
    high: float

    def apart(self, other: Interval) -> bool:
        """Whether the two intervals share no point."""
        return self.low > other.high or self.high < other.low


@dataclass(frozen=True)
class Difference(Interval):
    """A mean difference with its interval, and how sure its sign is."""

    p: float
    """Two-sided bootstrap p-value of "no difference": twice the share of draws on the other side of 0, at most 1."""


def user_interval(
    values: npt.ArrayLike,
    users: npt.ArrayLike,
    *,
    resamples: int = 1_000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Interval of the mean of a per-event metric ``[N]`` when users are drawn anew (Efron 1979).

    ``users`` ``[N]`` (text or numbers) says whose event each is. NaN values are no targets and are left out;
    every event weighs the same, so a user who acts more counts more, as in the mean itself. All-NaN gives
    NaN. Raises ValueError for unequal lengths, ``resamples`` below 1 or a ``level`` outside (0, 1).

    >>> user_interval([0.0, 1.0, 1.0, np.nan], ["ann", "ann", "bob", "bob"]).mean
    0.6666666666666666
    """
    return _bootstrap(np.asarray(values, dtype=np.float64), np.asarray(users), resamples, seed, level)[0]


def paired_difference(
    values: npt.ArrayLike,
    others: npt.ArrayLike,
    users: npt.ArrayLike,
    *,
    resamples: int = 1_000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """Interval and p-value of ``mean(values - others)``, both ``[N]`` on the same events, over users.

    An event where either is NaN is left out. An interval that does not hold 0 tells the models apart. ``p`` counts the
    observed difference as one draw more (Davison and Hinkley 1997), so it is never 0. Raises as :func:`user_interval`.

    >>> paired_difference([1.0, 1.0, 0.0], [0.0, 0.0, 0.0], ["ann", "bob", "cem"]).mean
    0.6666666666666666
    """
    first = np.asarray(values, dtype=np.float64)
    second = np.asarray(others, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"paired values must be of the same events, not {first.shape} and {second.shape}")
    # inf - inf has no meaning and per-event metrics hold no inf, so the plain difference is right.
    interval, means = _bootstrap(first - second, np.asarray(users), resamples, seed, level)
    # Either side counts a draw of exactly 0, so that equal models have p = 1.
    beyond = min((means <= 0).sum(), (means >= 0).sum())
    p = min(1.0, 2 * (1 + float(beyond)) / (1 + len(means))) if len(means) else float("nan")
    return Difference(interval.mean, interval.low, interval.high, p)


def _bootstrap(
    values: npt.NDArray[np.float64], users: npt.NDArray[Any], resamples: int, seed: int, level: float
) -> tuple[Interval, npt.NDArray[np.float64]]:
    """The interval, and the resampled means ``[resamples]`` (none if there is no value)."""
    if values.shape != users.shape or values.ndim != 1:
        raise ValueError(f"values and users must be [N] alike, not {values.shape} and {users.shape}")
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"resamples = {resamples} must be 1 or more, level = {level} between 0 and 1")
    there = ~np.isnan(values)
    if not there.any():
        return Interval(float("nan"), float("nan"), float("nan")), np.zeros(0)
    means = _resampled_means(values[there], _codes(users[there]), resamples, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values[there].mean()), float(low), float(high)), means


def _codes(users: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Users as ``0 … U-1``. polars ranks text several times faster than numpy sorts objects."""
    return pl.Series(users).rank("dense").cast(pl.Int64).to_numpy() - 1


def _resampled_means(
    values: npt.NDArray[np.float64], users: npt.NDArray[np.int64], resamples: int, seed: int
) -> npt.NDArray[np.float64]:
    """Means ``[resamples]``: a draw of users needs only each user's sum and count."""
    sums, counts = np.bincount(users, weights=values), np.bincount(users).astype(np.float64)
    n_users = len(sums)
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK_DRAWS // n_users)
    means = []
    for start in range(0, resamples, step):
        drawn = rng.integers(n_users, size=(min(step, resamples - start), n_users))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    return np.concatenate(means)
