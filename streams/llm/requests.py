"""What jobs ask for: each with the texts of its items, and all that are out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from dyngraph.events import Item
from dyngraph.refreshing import Related
from llm_workers.protocols import ProfileRequest
from llm_workers.reasoning.request import ReasoningRequest
from llm_workers.requests import past_item
from streams.artefact_messages import ItemVector, LlmJob
from streams.artefacts import graph_of
from streams.codec import BadMessage, decode
from streams.consumer import Record, latest_by_key, read_to_end
from streams.messages import ItemMessage, Message
from streams.settings import Settings
from streams.topics import MIB

T = TypeVar("T", bound=Message)


def profile_request_of(job: LlmJob, items: Mapping[str, Item]) -> ProfileRequest:
    """The job with the texts of its items; of an unknown item there is none."""
    past = tuple(past_item(items.get, entry.item_id, entry.ts_ms, entry.weight) for entry in job.past)
    return ProfileRequest(job.entity_id, job.horizon.ts_ms, job.horizon.offset, job.events, past)


def reasoning_request_of(job: LlmJob, items: Mapping[str, Item]) -> ReasoningRequest:
    """The same of a job for reasoning."""
    previous = None
    if job.previous is not None:
        # Who made it does not matter to what goes on from it.
        previous = graph_of(
            job.previous.reasoning,
            user_id=job.entity_id,
            horizon=job.previous.horizon,
            events=job.previous.events,
            producer="statistical",
        )
    return ReasoningRequest(
        job.entity_id,
        job.horizon.ts_ms,
        job.horizon.offset,
        job.events,
        tuple(past_item(items.get, entry.item_id, entry.ts_ms, entry.weight) for entry in job.past),
        tuple(Related(one.item_id, one.other_id, one.relation, one.strength) for one in job.related),
        previous,
    )


class Pending(NamedTuple):
    """Jobs that wait to be done, and the catalogue that they are about."""

    jobs: list[LlmJob]
    """In the order of their newest records."""
    items: dict[str, Item]


def pending_jobs(broker: str, settings: Settings, kind: str) -> Pending:
    """The newest job of this kind of each user in `llm-jobs`, but for those of users who were erased since."""
    items = {}
    for key, message in _newest(broker, settings.topic("items"), ItemMessage):
        items[key] = Item(message.item_id, message.title, message.brand, tuple(message.categories))
    tombstones = {
        (record.key or b"").decode(errors="replace"): record.offset
        for record in read_to_end(broker, settings.topic("users"))
        if record.value is None
    }
    return Pending(newest_jobs(read_to_end(broker, settings.topic("llm-jobs")), kind, tombstones), items)


def newest_jobs(records: Iterable[Record], kind: str, tombstones: Mapping[str, int]) -> list[LlmJob]:
    """Of each user the job of this kind with the latest horizon; ``tombstones`` are the offsets of erasures.

    What is no job is left out: the workers tell of it.
    """
    newest: dict[str, LlmJob] = {}
    for record in records:
        try:
            job = decode(LlmJob, record.value, max_bytes=MIB)
        except BadMessage:
            continue
        known = newest.get(job.entity_id)
        if job.kind != kind or tombstones.get(job.entity_id, -1) > job.erasures:
            continue
        if known is None or job.horizon.ts_ms >= known.horizon.ts_ms:
            newest.pop(job.entity_id, None)
            newest[job.entity_id] = job
    return list(newest.values())


def item_vectors(broker: str, settings: Settings, model_id: str) -> dict[str, NDArray[np.float32]]:
    """The published text vectors of items that this model made, by item."""
    messages = _newest(broker, settings.topic("item-vectors"), ItemVector)
    return {
        key: np.frombuffer(message.vector, "<f2").astype(np.float32)
        for key, message in messages
        if message.model_id == model_id
    }


def _newest(broker: str, topic: str, form: type[T]) -> Iterator[tuple[str, T]]:
    """Keys and messages of a compact topic, unreadable ones left out: the workers tell of them."""
    for key, value in latest_by_key(read_to_end(broker, topic)).items():
        with suppress(BadMessage):
            yield key.decode(errors="replace"), decode(form, value, max_bytes=MIB)
