"""What another policy would have earned, from what one policy showed: inverse propensity scoring and its kin.

A logged action says what was shown, with which chance, and what came of it. Weighing each by how much likelier the
other policy would have shown it makes up for what the log shows too often or too seldom, as long as the log could have
shown everything that the other policy may show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from evaluation.intervals import Interval

Floats = NDArray[np.float64]


class OffPolicyError(ValueError):
    """Raised for a log that no estimate can be made from; names the rule and the fix."""


@dataclass(frozen=True)
class Logged:
    """N logged actions. Make it with :func:`logged`, which checks them."""

    propensity: Floats
    """``[N]`` chance with which the logging policy took the action, in (0, 1]."""
    reward: Floats
    """``[N]`` what came of it."""
    target: Floats
    """``[N]`` chance with which the policy in question takes the same action in the same situation."""
    clusters: NDArray[np.int64]
    """``[N]`` whose action it was, numbered from 0: resampled as a whole."""

    def __len__(self) -> int:
        return len(self.reward)

    @property
    def weights(self) -> Floats:
        """``[N]`` importance weights, target over propensity."""
        return self.target / self.propensity

    @property
    def effective_size(self) -> float:
        """``(Σ w)² / Σ w²``: how many actions of equal weight would say as much (Kish 1965)."""
        return _effective(self.weights)


@dataclass(frozen=True)
class Estimate:
    """A policy's mean reward per action."""

    name: str
    value: Interval
    effective_size: float
    """Effective number of actions behind it; an estimate from fewer than some hundred is a guess."""


def logged(propensity: ArrayLike, reward: ArrayLike, target: ArrayLike, users: ArrayLike | None = None) -> Logged:
    """Checked actions, all ``[N]``; without ``users`` each action stands for itself.

    Raises :class:`OffPolicyError` for nothing at all, unequal lengths, a propensity that is missing, 0, or no chance, a
    reward that is not finite, a target that is no chance.
    """
    chances, rewards, targets = (np.asarray(column, dtype=np.float64) for column in (propensity, reward, target))
    whose = np.arange(len(rewards)) if users is None else pl.Series(np.asarray(users)).rank("dense").to_numpy() - 1
    if not chances.shape == rewards.shape == targets.shape == whose.shape or rewards.ndim != 1:
        shapes = ", ".join(str(column.shape) for column in (chances, rewards, targets, whose))
        raise OffPolicyError(f"propensity, reward, target and users must be [N] alike, not {shapes}")
    if not len(rewards):
        raise OffPolicyError("no logged action: only exploration slots log a probability; set explore slots to 1")
    _refuse(~(chances > 0), "a propensity of 0 or none", "leave out what was not shown at random, or log its chance")
    _refuse(chances > 1, "a propensity above 1", "log the chance of showing the item, from 0 to 1")
    _refuse(~np.isfinite(rewards), "a reward that is not finite", "use 0 where nothing came of it")
    _refuse(~((targets >= 0) & (targets <= 1)), "a target chance outside 0 to 1", "give the policy's own chances")
    return Logged(chances, rewards, targets, whose.astype(np.int64))


def ips(actions: Logged, *, clip: float | None = None, resamples: int = 1_000, seed: int = 0) -> Estimate:
    """Inverse propensity score ``mean(w r)`` (Horvitz and Thompson 1952), with a 95 % bootstrap interval over users.

    Unbiased, and of large variance where weights are large. ``clip`` bounds weights from above, which trades variance
    for a bias towards 0 (Ionides 2008). Raises ValueError for a ``clip`` that is not positive.
    """
    if clip is not None and not clip > 0:
        raise ValueError(f"clip = {clip} is no bound for weights; use a positive number, or None for no bound")
    weights = actions.weights if clip is None else np.minimum(actions.weights, clip)
    value = _ratio(actions, weights * actions.reward, np.ones(len(actions)), resamples, seed)
    return Estimate("ips" if clip is None else f"ips, weights up to {clip:g}", value, _effective(weights))


def snips(actions: Logged, *, resamples: int = 1_000, seed: int = 0) -> Estimate:
    """Self-normalised IPS ``Σ w r / Σ w`` (Swaminathan and Joachims 2015), with a 95 % bootstrap interval over users.

    Slightly biased and much steadier; never outside the range of the rewards. Raises :class:`OffPolicyError` where the
    policy would have taken none of the logged actions.
    """
    if not actions.weights.any():
        raise OffPolicyError(
            "the policy takes none of the logged actions, so the log says nothing about it; compare policies that show "
            "what was explored"
        )
    value = _ratio(actions, actions.weights * actions.reward, actions.weights, resamples, seed)
    return Estimate("snips", value, actions.effective_size)


def doubly_robust(
    actions: Logged, predicted: ArrayLike, expected: ArrayLike, *, resamples: int = 1_000, seed: int = 0
) -> Estimate:
    """``mean(expected + w (r - predicted))`` (Dudík, Langford and Li 2011), with a 95 % bootstrap interval over users.

    ``predicted [N]`` is a model's reward for the logged action, ``expected [N]`` its mean over the actions of the
    policy in question, in the same situation. Right if either the propensities or the model are; the model must not
    have been fitted to these rewards. Raises :class:`OffPolicyError` for arrays of another length or numbers that are
    not finite.
    """
    model, mean = np.asarray(predicted, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if not model.shape == mean.shape == actions.reward.shape:
        raise OffPolicyError(f"predicted and expected must be [{len(actions)}], not {model.shape} and {mean.shape}")
    _refuse(~(np.isfinite(model) & np.isfinite(mean)), "a prediction that is not finite", "predict a number for all")
    corrected = mean + actions.weights * (actions.reward - model)
    value = _ratio(actions, corrected, np.ones(len(actions)), resamples, seed)
    return Estimate("doubly robust", value, actions.effective_size)


def _refuse(wrong: NDArray[np.bool_], what: str, fix: str) -> None:
    if wrong.any():
        raise OffPolicyError(
            f"{int(wrong.sum())} of {len(wrong)} logged actions have {what} (the first at {int(wrong.argmax())}); {fix}"
        )


def _effective(weights: Floats) -> float:
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def _ratio(actions: Logged, above: Floats, below: Floats, resamples: int, seed: int) -> Interval:
    """``Σ above / Σ below`` with a percentile bootstrap over clusters (Efron 1979)."""
    tops, bottoms = (np.bincount(actions.clusters, weights=column) for column in (above, below))
    rng = np.random.default_rng(seed)
    n = len(tops)
    made: list[float] = []
    for _ in range(resamples):
        times: NDArray[Any] = np.bincount(rng.integers(n, size=n), minlength=n)
        bottom = float(times @ bottoms)
        if bottom:  # no drawn cluster says anything about the policy
            made.append(float(times @ tops) / bottom)
    low, high = np.quantile(made, (0.025, 0.975)) if made else (np.nan, np.nan)
    return Interval(float(above.sum() / below.sum()), float(low), float(high))
