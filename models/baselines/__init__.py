"""Baselines, each honest and tuned: what any recommender has to beat, behind one interface."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from models.baselines.recommender import Basket, Recommender, Setting

_CLASSES = {
    "popularity": "models.baselines.popularity:Popularity",
    "decayed-popularity": "models.baselines.popularity:DecayedPopularity",
    "own": "models.baselines.own:Own",
    "cooccurrence": "models.baselines.cooccurrence:Cooccurrence",
    "markov": "models.baselines.markov:Markov",
    "blend": "models.baselines.blend:Blend",
    "bpr": "models.baselines.bpr:BPR",
    "river-reco": "models.baselines.river_reco:RiverMF",
    "sasrec": "models.baselines.sasrec:SASRec",
    "gconvgru": "models.baselines.gconvgru:SnapshotGraph",
}
"""Name to ``module:class``; a module is imported when its baseline is built, so that torch stays away until needed."""


def baseline_names() -> tuple[str, ...]:
    """Every registered baseline, the simplest first."""
    return tuple(_CLASSES)


def build_baseline(name: str, **settings: Setting) -> Recommender:
    """A fresh baseline that has learned nothing.

    Raises ValueError for an unknown name or setting, naming the known ones, and for values that the baseline refuses.
    """
    build = _class(name)
    known = inspect.signature(build).parameters
    if wrong := [setting for setting in settings if setting not in known]:
        raise ValueError(f"baseline {name!r} has no setting {wrong[0]!r}; it has: {', '.join(known) or 'none'}")
    recommender: Recommender = build(**settings)
    return recommender


def search_space(name: str) -> dict[str, tuple[Setting, ...]]:
    """Setting to the values that tuning tries, from the baseline's class attribute ``space``; empty where there is
    none. Raises ValueError for an unknown name.
    """
    return dict(getattr(_class(name), "space", {}))


def _class(name: str) -> Callable[..., Any]:
    if name not in _CLASSES:
        raise ValueError(f"baseline {name!r} is unknown; use one of: {', '.join(_CLASSES)}")
    module, _, kind = _CLASSES[name].partition(":")
    build: Callable[..., Any] = getattr(importlib.import_module(module), kind)
    return build


__all__ = ["Basket", "Recommender", "Setting", "baseline_names", "build_baseline", "search_space"]
