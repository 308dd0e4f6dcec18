"""When a profile is outdated, and how urgent that is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llm_workers.refresh.config import RefreshConfig

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

DAY_MS = 86_400_000

EVENTS, AGE, DRIFT = range(3)
"""Triggers, in the order of the rows of :func:`urgencies`."""


class Standing(NamedTuple):
    """How n users stand; all fields ``[n]``."""

    events: Ints
    """Of the user so far."""
    ts: Ints
    """Of the user's newest event, ms."""
    known_events: Ints
    """Up to the horizon of the newest profile, 0 where there is none."""
    known: Ints
    """That horizon, ms; -1 where there is none."""
    stale: Flags
    """Whether the hit rate of the profile's segment has fallen since."""
    distance: Floats
    """Between the latest items and those that the profile was made from; 0 where not looked at."""

    @property
    def new(self) -> Ints:
        """Events since the horizon."""
        return self.events - self.known_events


def urgencies(config: RefreshConfig, standing: Standing) -> Floats:
    """``[3, n]``: how far each trigger is towards its threshold; from 1 on it asks for a profile.

    All thresholds are half as high where the profile is stale. A user without a profile has only its events. Where no
    event is later than the horizon nothing asks: a new profile would have the same horizon, and be refused.
    """
    profiled = standing.known >= 0
    outdated = np.maximum(config.new_events, config.growth * standing.known_events)
    events = standing.new / np.where(profiled, outdated, config.min_events)
    age = np.where(profiled, (standing.ts - standing.known) / (config.max_age_days * DAY_MS), 0.0)
    drift = np.where(profiled, standing.distance / config.drift, 0.0)
    weight = np.where(standing.ts > standing.known, np.where(profiled & standing.stale, 2.0, 1.0), 0.0)
    return np.stack((events, age, drift)) * weight


def priorities(urgency: Floats, standing: Standing) -> Floats:
    """``[n]`` in (0, 1): by the ``urgency [n]`` of the strongest trigger, which counts twice without a profile, and by
    activity.
    """
    urgency = np.where(standing.known < 0, 2 * urgency, urgency)
    activity = np.minimum(np.log1p(standing.events) / np.log1p(1_000), 1.0)
    priority: Floats = np.round(0.7 * urgency / (1 + urgency) + 0.3 * activity, 4)
    return priority


def in_words(trigger: int, standing: Standing, place: int) -> str:
    """Why user ``place`` of ``standing`` is asked for."""
    new, known = int(standing.new[place]), int(standing.known[place])
    if known < 0:
        return f"first one, after {new} events"
    days = (int(standing.ts[place]) - known) // DAY_MS
    why = {EVENTS: f"{new} new events", AGE: f"{days} days old", DRIFT: "moved on to other items"}[trigger]
    return why + ("; its segment is hit less often" if standing.stale[place] else "")
