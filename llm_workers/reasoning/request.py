"""What a reasoning graph is made from: a job, with the texts of the catalogue."""

from __future__ import annotations

import msgspec

from dyngraph.reasoning import ReasoningGraph
from dyngraph.refreshing import Related, Wanted
from llm_workers.protocols import PastItem
from llm_workers.requests import Texts, past_item


class ReasoningRequest(msgspec.Struct, frozen=True):
    """Make a graph of this user from this past, and nothing else.

    All that was counted comes with it: whoever reasons keeps no counts of its own, so that a graph is a function of
    the request, the catalogue and the answers, and never of when it was made.
    """

    user_id: str
    ts: int
    """Horizon: event time, ms, of the newest event in ``past``."""
    offset: int
    """Horizon: its offset in the log of the user's partition, -1 where there is no log."""
    events: int
    """The user's events up to the horizon; ``past`` may hold fewer items."""
    past: tuple[PastItem, ...]
    """Recent items, oldest first, bounded."""
    neighbours: tuple[Related, ...] = ()
    """Relation neighbours of the recent items as of the horizon: which other item is near, by what, how strongly."""
    previous: ReasoningGraph | None = None
    """The version that is to be extended."""
    attributes: tuple[tuple[str, str], ...] = ()
    """What the user has said of themselves, name and value; quoted to a language model."""


def reasoning_request(wanted: Wanted, texts: Texts) -> ReasoningRequest:
    """The request of a job."""
    past = tuple(past_item(texts, *entry) for entry in wanted.past)
    return ReasoningRequest(
        wanted.user_id, wanted.ts, wanted.offset, wanted.events, past, wanted.related, wanted.previous
    )
