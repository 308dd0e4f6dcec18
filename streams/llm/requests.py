"""What jobs ask for, in words: a job with the texts of its items, and all jobs that are out or would have been."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from dyngraph.events import Item
from dyngraph.profiles import FACETS, UserProfile
from dyngraph.refreshing import Wanted
from dyngraph.shard import LogRecord, ShardConfig
from evaluation.readers.log import InteractionLog
from llm_workers.producers.statistical import StatisticalProfiles
from llm_workers.protocols import PastItem, ProfileRequest
from models.system import open_shard
from streams.codec import BadMessage, decode
from streams.consumer import latest_by_key, read_to_end
from streams.messages import HALF, ItemMessage, LlmJob
from streams.settings import Settings
from streams.system import refresh_policy, system_config
from streams.topics import MIB

STEP = 256


def request_of(job: LlmJob, items: Mapping[str, Item]) -> ProfileRequest:
    """The job with the texts of its items; of an unknown item there is none."""
    past = tuple(_past_item(items, entry.item_id, entry.ts_ms, entry.weight) for entry in job.past)
    return ProfileRequest(job.entity_id, job.horizon.ts_ms, job.horizon.offset, job.events, past)


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
    return [request_of(job, items) for job in newest.values()]


def replayed_requests(
    log: InteractionLog, settings: Settings, progress: Callable[[int], None] = lambda events: None
) -> Iterator[ProfileRequest]:
    """What a worker would have asked for along a log, had every answer come at once (by counting); in its order.

    No request holds anything later than its horizon, so that recorded answers can serve a replay without leakage.
    """
    items = {item.item_id: item for item in log.items}
    counting = StatisticalProfiles()
    with tempfile.TemporaryDirectory(prefix="evergraph-jobs-") as folder:
        config = ShardConfig(Path(folder), learn=False, snapshot_events=2**31, snapshot_seconds=1e9)
        shard = open_shard(config, 0, system_config(settings), partial(refresh_policy, settings.refresh))
        shard.put_items(log.items)
        shard.start_new_log(f"file:{log.name}")
        width = shard.engine.graph.profiles.width
        for begin in range(0, len(log), STEP):
            events = list(log.interactions(begin, min(begin + STEP, len(log))))
            result = shard.apply([LogRecord(begin + place, event.ts, event) for place, event in enumerate(events)])
            requests = [_request(wanted, items) for wanted in result.wanted]
            shard.offer_profiles([_answer(counting, request, width) for request in requests])
            yield from requests
            progress(len(events))
        shard.close()


def _request(wanted: Wanted, items: Mapping[str, Item]) -> ProfileRequest:
    past = tuple(_past_item(items, *entry) for entry in wanted.past)
    return ProfileRequest(wanted.user_id, wanted.ts, wanted.offset, wanted.events, past)


def _past_item(items: Mapping[str, Item], item_id: str, ts: int, weight: float) -> PastItem:
    item = items.get(item_id)
    if item is None:
        return PastItem(item_id, ts, weight)
    return PastItem(item_id, ts, weight, item.title, item.brand or "", tuple(item.categories))


def _answer(counting: StatisticalProfiles, request: ProfileRequest, width: int) -> UserProfile:
    facets = counting.facets(request.past, request.events)
    return UserProfile(
        user_id=request.user_id,
        ts=request.ts,
        offset=request.offset,
        events=request.events,
        facets=tuple(getattr(facets, name) for name in FACETS),
        vectors=bytes(len(FACETS) * HALF * width),
        producer=counting.name,
    )
