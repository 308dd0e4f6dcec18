"""Evergraph: recommendations that stay fresh as the graph evolves.

This is the front door: the names a user of the library needs, each loaded when it is first used, so that
importing the package costs nothing and `evergraph --help` is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from evergraph.version import __version__

if TYPE_CHECKING:
    from dyngraph.events import EventType, Interaction, Item
    from evaluation.readers import InteractionLog, read_log, validate_log
    from streams.broker import EmbeddedBroker
    from streams.consumer import read, read_to_end
    from streams.messages import InteractionMessage, RecommendationMessage, RecommendationRequest
    from streams.producer import Publisher, publish_log, publish_one
    from streams.settings import Settings, load_settings

_HOME = {
    "EventType": "dyngraph.events",
    "Interaction": "dyngraph.events",
    "Item": "dyngraph.events",
    "InteractionLog": "evaluation.readers",
    "read_log": "evaluation.readers",
    "validate_log": "evaluation.readers",
    "EmbeddedBroker": "streams.broker",
    "read": "streams.consumer",
    "read_to_end": "streams.consumer",
    "InteractionMessage": "streams.messages",
    "RecommendationMessage": "streams.messages",
    "RecommendationRequest": "streams.messages",
    "Publisher": "streams.producer",
    "publish_log": "streams.producer",
    "publish_one": "streams.producer",
    "Settings": "streams.settings",
    "load_settings": "streams.settings",
}

__all__ = [
    "EmbeddedBroker",
    "EventType",
    "Interaction",
    "InteractionLog",
    "InteractionMessage",
    "Item",
    "Publisher",
    "RecommendationMessage",
    "RecommendationRequest",
    "Settings",
    "__version__",
    "load_settings",
    "publish_log",
    "publish_one",
    "read",
    "read_log",
    "read_to_end",
    "validate_log",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'evergraph' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
