"""Both ends of learning beside serving: a trainer hands weights over and says so, a graph worker takes them in.

The folder that both see is what counts; the announcement on `weights` only saves looking into it all the time. All that
is slow (reading, checksums) happens in a thread of its own and outside the shard's turns; what is left for the border
is copying numbers.
"""

from __future__ import annotations

import asyncio
import logging

import faust

from dyngraph.shard import Shard
from dyngraph.switching import Place
from dyngraph.weights import LearnedWeights, WeightsError, WeightsManifest, WeightsStore
from streams.codec import encode
from streams.messages import Horizon, Weights
from streams.settings import Settings
from streams.worker.graph_agent import GraphAgent
from streams.worker.shards import HostedShard

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 0.5
"""While a version waits whose events this worker has not seen yet."""


class HandingOver:
    """The trainer's end: after a step that makes it due, a version is written and announced."""

    def __init__(self, app: faust.App, settings: Settings) -> None:
        self._app = app
        self._topic = settings.topic("weights")

    async def after_step(self, hosted: HostedShard) -> None:
        """Hand over if it is due. Raises OSError, and the client's error where the announcement was lost."""
        if not hosted.shard.weights_due:
            return
        manifest = await hosted.run(Shard.hand_over)
        log.info("partition %d: handed over %s, learned up to %d", hosted.partition, manifest.name, manifest.offset)
        name = f"encoder-{hosted.partition:05d}"
        value = encode(announcement(name, manifest, hosted.partition))
        sent = await self._app.producer.send(self._topic, name.encode(), value, None, None, None)
        await sent


def announcement(name: str, manifest: WeightsManifest, partition: int) -> Weights:
    """The record that says a version is there."""
    horizon = Horizon(ts_ms=max(manifest.horizon.ts, 0), offset=manifest.offset, partition=partition)
    return Weights(name=name, version=manifest.version, horizon=horizon, file=manifest.name, sha256=manifest.sha256)


class TakingIn:
    """The graph worker's end: offers each shard the newest version that may count for its next step."""

    def __init__(self, graph: GraphAgent) -> None:
        self._graph = graph
        self._news = asyncio.Event()
        self._offered: dict[int, str] = {}
        self._unfit: set[str] = set()

    def announced(self, message: Weights) -> None:
        """There is something new."""
        self._news.set()

    def opened(self, partition: int) -> None:
        """A shard has been opened: what was offered to it before, it may have lost."""
        self._offered.pop(partition, None)
        self._news.set()

    async def run(self) -> None:
        """Take in what comes, until cancelled."""
        while True:
            self._news.clear()
            ahead = False
            for lane in list(self._graph.lanes.values()):
                ahead |= await self._look(lane.hosted)
            try:
                await asyncio.wait_for(self._news.wait(), LOOK_AGAIN_S if ahead else None)
            except TimeoutError:
                continue

    async def _look(self, hosted: HostedShard) -> bool:
        """Offer what fits; whether a version waits for events that have yet to come."""
        shard = hosted.shard
        store = shard.weights.store
        if store is None:
            return False
        place = Place(shard.log_id, shard.applied_offset + 1, shard.horizon)
        current = shard.weights.current
        found, ahead = await asyncio.to_thread(self._newest, store, place, current, self._offered.get(hosted.partition))
        if found is not None:
            name = found.manifest.name
            self._offered[hosted.partition] = name
            try:
                await hosted.run(lambda shard: shard.offer_weights(found), size=1)
                log.info("partition %d: %s waits for the next border", hosted.partition, name)
            except WeightsError as error:
                self._unfit.add(name)
                log.error("partition %d: %s", hosted.partition, error)
        return ahead

    def _newest(
        self, store: WeightsStore, place: Place, current: WeightsManifest | None, offered: str | None
    ) -> tuple[LearnedWeights | None, bool]:
        """The newest version that may count at `place`, read and claimed; a broken one gives way to the one before."""
        ahead = False
        for manifest in reversed(store.manifests()):
            if not manifest.newer_than(current) or manifest.name == offered:
                break
            if not manifest.before(*place):
                ahead = True
                continue
            if manifest.name in self._unfit:
                continue
            try:
                found = store.load(manifest.name)
                store.claim(manifest.name)
            except (WeightsError, OSError) as error:
                self._unfit.add(manifest.name)
                log.error("%s; the version before it goes on serving", error)
                continue
            store.drop_passed_over(manifest)
            return found, ahead
        return None, ahead
