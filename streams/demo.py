"""The main job in one minute: a real log into Kafka, the graph live, one interaction, a changed list out of Kafka.

Nothing here is staged: the worker is a process of its own, the log goes through the broker, and the time from publish
to new list is read at a consumer of the `recommendations` topic.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec

from dyngraph.events import Interaction
from evaluation.readers.log import InteractionLog
from streams.cli.recommend import ask
from streams.codec import decode, to_message
from streams.consumer import tail
from streams.messages import RecommendationMessage
from streams.producer import Publisher, publish_log
from streams.settings import Settings

POLL_S = 0.2
STALLED_S = 60.0
LIST_WITHIN_S = 20.0
KNOWN_EVENTS = 8
"""The user shown has at least this many events, so that there is a list before to compare with."""


class DemoFailed(RuntimeError):
    """Raised when the worker stops making progress; the text says where to look."""


@dataclass(frozen=True)
class Progress:
    """How far the worker is, several times a second."""

    applied: int
    lag: int
    events_per_s: float
    lists_per_s: float
    figures: dict[str, dict[str, float]]
    """Rolling HR@10, NDCG@10 and MRR per model."""


class Figures(msgspec.Struct, rename={"ndcg": "ndcg@10", "hr": "hr@10"}):
    """What the demo measured; the keys stay as they are."""

    events: int
    events_per_s: float
    publish_to_list_ms: float
    before: list[dict[str, Any]]
    after: list[dict[str, Any]]
    ndcg: dict[str, float]
    hr: dict[str, float]
    user: str
    interaction: dict[str, Any]


def feed(log: InteractionLog, settings: Settings, broker: str, url: str) -> Iterator[Progress]:
    """Publish the whole log at full speed and report progress until the worker has applied it.

    Raises :class:`DemoFailed` if the worker stands still for a minute.
    """
    with ThreadPoolExecutor(1) as pool:
        publishing: Future[Any] = pool.submit(publish_log, log, broker, settings.prefix)
        begun = moved = time.monotonic()
        applied = -1
        while True:
            if publishing.done():
                publishing.result()
            # A worker that is busy with its first steps may take a while to say how far it is.
            state = ask(f"{url}/state", timeout_s=STALLED_S)
            shards = state["shards"]
            now_applied = sum(shard["applied_offset"] + 1 for shard in shards)
            now = time.monotonic()
            if now_applied > applied:
                applied, moved = now_applied, now
            elif now - moved > STALLED_S:
                raise DemoFailed(
                    f"the worker has applied {applied} of {len(log)} events and stands still; "
                    f"see {settings.state_dir / 'worker.log'}"
                )
            yield Progress(
                applied=applied,
                lag=len(log) - applied,
                events_per_s=applied / max(now - begun, 1e-6),
                lists_per_s=state["counters"]["lists_per_s"],
                figures=shards[0]["prequential"] if shards else {},
            )
            if applied >= len(log) and publishing.done():
                return
            time.sleep(POLL_S)


def next_interaction(log: InteractionLog, done: int) -> Interaction:
    """The first real event after row ``done`` in which a user with some past takes a known item for the first time.

    The log's own continuation: nothing is made up. Falls back to the last event's user at a later time if the log ends.
    """
    past = log.frame.head(done)
    counts = dict(past.group_by("user_id").len().iter_rows())
    items = set(past["item_id"].to_list())
    pairs = set(past.select("user_id", "item_id").iter_rows())
    for event in log.interactions(done):
        known = counts.get(event.user_id, 0) >= KNOWN_EVENTS and event.item_id in items
        if known and (event.user_id, event.item_id) not in pairs:
            return event
    last = next(log.interactions(done - 1, done))
    return msgspec.structs.replace(last, event_id=f"{last.event_id}-again", ts=last.ts + 60_000)


def publish_and_wait(event: Interaction, settings: Settings, broker: str) -> tuple[RecommendationMessage, float]:
    """Publish one interaction; the user's first list that has seen it, and the milliseconds from send to receipt.

    Raises :class:`DemoFailed` if none comes within twenty seconds.
    """
    user = event.user_id.encode()
    with Publisher(broker, settings.prefix) as publisher, tail(broker, settings.topic("recommendations")) as poll:
        publisher.prepare("interactions")
        begun = time.perf_counter()
        offset = publisher.wait(publisher.interaction(to_message(event))).offset
        while (waited := time.perf_counter() - begun) < LIST_WITHIN_S:
            for record in poll(20):
                if record.key != user or record.value is None:
                    continue
                made = decode(RecommendationMessage, record.value)
                if made.horizon.offset >= offset:
                    return made, (time.perf_counter() - begun) * 1000
    raise DemoFailed(
        f"no list of user {event.user_id} within {waited:.0f} s of its event at offset {offset}; "
        f"see {settings.state_dir / 'worker.log'}"
    )
