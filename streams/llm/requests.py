"""What jobs ask for: each with the texts of its items, and all that are out."""

from __future__ import annotations

from collections.abc import Mapping

from dyngraph.events import Item
from dyngraph.refreshing import Related
from llm_workers.protocols import ProfileRequest
from llm_workers.reasoning.request import ReasoningRequest
from llm_workers.requests import past_item
from streams.artefact_messages import LlmJob
from streams.artefacts import graph_of
from streams.codec import BadMessage, decode
from streams.consumer import latest_by_key, read_to_end
from streams.messages import ItemMessage
from streams.settings import Settings
from streams.topics import MIB


def profile_request_of(job: LlmJob, items: Mapping[str, Item]) -> ProfileRequest:
    """The job with the texts of its items; of an unknown item there is none."""
    past = tuple(past_item(items.get, entry.item_id, entry.ts_ms, entry.weight) for entry in job.past)
    return ProfileRequest(job.entity_id, job.horizon.ts_ms, job.horizon.offset, job.events, past)


def reasoning_request_of(job: LlmJob, items: Mapping[str, Item]) -> ReasoningRequest:
    """The same of a job for reasoning."""
    previous = None
    if job.previous is not None:
        # What it was made of stands in its steps; who made it does not matter to what goes on from it.
        previous = graph_of(
            job.previous, user_id=job.entity_id, horizon=job.horizon, events=job.events, producer="statistical"
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


def pending_requests(broker: str, settings: Settings) -> list[ProfileRequest]:
    """The newest job of each user in `llm-jobs`, but for those of users who were erased since."""
    items = {}
    for key, value in latest_by_key(read_to_end(broker, settings.topic("items"))).items():
        try:
            message = decode(ItemMessage, value, max_bytes=MIB)
        except BadMessage:
            continue  # the workers tell of it
        items[key.decode(errors="replace")] = Item(
            message.item_id, message.title, message.brand, tuple(message.categories)
        )
    tombstones = {
        (record.key or b"").decode(errors="replace"): record.offset
        for record in read_to_end(broker, settings.topic("users"))
        if record.value is None
    }
    newest: dict[str, LlmJob] = {}
    for record in read_to_end(broker, settings.topic("llm-jobs")):
        try:
            job = decode(LlmJob, record.value, max_bytes=MIB)
        except BadMessage:
            continue
        if job.kind != "profile" or tombstones.get(job.entity_id, -1) > job.erasures:
            continue
        known = newest.get(job.entity_id)
        if known is None or job.horizon.ts_ms >= known.horizon.ts_ms:
            newest[job.entity_id] = job
    return [profile_request_of(job, items) for job in newest.values()]
