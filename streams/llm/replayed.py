"""Jobs along a log of the past, for batches of answers that a replay can use without leakage."""

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
from llm_workers.protocols import ProfileRequest
from models.system import open_shard
from streams.llm.requests import past_item
from streams.messages import HALF
from streams.settings import Settings
from streams.system import refresh_policy, system_config

STEP = 256


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
    past = tuple(past_item(items, *entry) for entry in wanted.past)
    return ProfileRequest(wanted.user_id, wanted.ts, wanted.offset, wanted.events, past)


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
