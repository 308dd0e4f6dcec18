"""A worker as one process, graph worker or trainer: what is started in which order, and how it ends.

Order of start: check the topics, read the compact topics whole, serve HTTP (not ready yet), join the group;
with each assignment the shards are opened and the place to read from is set. Order of the end: no further
step, snapshot, leave.

A trainer takes the same steps from the same log, as a group of its own with state of its own below
`<state_dir>/trainer`. It publishes nothing but weights.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from faust.types import TP

from dyngraph.admission import AdmissionConfig
from dyngraph.shard import ShardConfig
from dyngraph.snapshots import SnapshotError
from dyngraph.weights import WeightsError
from models.system import open_shard
from models.warming import warm_up
from streams.admin import check_topics
from streams.settings import Settings
from streams.system import refresh_of, system_config
from streams.worker.app import WorkerApp, build_app
from streams.worker.artefact_topics import ArtefactTopics
from streams.worker.background import Background
from streams.worker.counters import Counters
from streams.worker.exit_codes import ExitCode, StateError
from streams.worker.graph_agent import GraphAgent, Lane
from streams.worker.http_port import HttpPort
from streams.worker.jobs import JobMaker, NoJobs
from streams.worker.letters import Letters
from streams.worker.log_ends import LogEnds
from streams.worker.metrics import MetricPublisher
from streams.worker.note import withdraw_note, write_note
from streams.worker.reasoning import relation_table
from streams.worker.relations import RelationsPublisher
from streams.worker.requests import RequestsAgent
from streams.worker.scoring_agent import ListMaker
from streams.worker.shards import HostedShard, ShardHost
from streams.worker.silent import NoLists, UnsentLetters
from streams.worker.tables import CompactTopics
from streams.worker.view import WorkerView
from streams.worker.watchdog import Watchdog
from streams.worker.weights import HandingOver, TakingIn

log = logging.getLogger(__name__)

BEAT_S = 1.0
METRICS_EVERY_S = 5.0
TRAINER_NICENESS = 10


class Role(StrEnum):
    """What a worker process does."""

    GRAPH = "graph"
    TRAINER = "trainer"


class GraphWorker:
    """One worker process."""

    def __init__(self, settings: Settings, broker: str, *, role: Role = Role.GRAPH, supervised: bool = False) -> None:
        config = shard_config(settings, role)
        if role is Role.TRAINER:
            settings = trainer_settings(settings)
        self._role = role
        self._settings = settings
        self._supervised = supervised
        self._broker = broker
        self._topic = settings.topic("interactions")
        self._log_id = ""
        self._exit = ExitCode.STOPPED
        self._ending = asyncio.Event()
        self._background = Background(self.fail)
        self._lane_tasks: dict[int, list[asyncio.Task[None]]] = {}
        self._parent = os.getppid()
        self._joining = False
        self.counters = Counters()
        self.app = build_app(settings, broker)
        system = system_config(settings)
        self._takes = role is Role.GRAPH and settings.llm_layer
        refresh = refresh_of(settings) if role is Role.GRAPH else None
        self._asks = refresh is not None
        self._warm: asyncio.Task[Any] | None = None
        self.host = ShardHost(
            lambda partition: open_shard(config, partition, system, refresh),
            config.folder,
            settings.partitions,
            self._user_erased,
        )
        self.log_ends = LogEnds(broker)
        self.letters = Letters(self.app, settings) if role is Role.GRAPH else UnsentLetters(self.app, settings)
        self.graph = GraphAgent()
        self._makers: dict[int, ListMaker] = {}
        self._taking_in = TakingIn(self.graph)
        self._handing_over = HandingOver(self.app, settings)
        self.tables = CompactTopics(broker, settings, self.host, self.letters, self.log_ends, self._taking_in.announced)
        self.metrics = MetricPublisher(self.app, settings)
        self.relations = RelationsPublisher(self.app, settings)
        self.artefacts = ArtefactTopics(broker, settings, self.graph, self.host, self.letters)
        self.view = WorkerView(broker, self.graph, self.tables, self.artefacts, self.letters, self.counters)
        self.port = HttpPort(self.host, self.view)
        self._watchdog = Watchdog(settings.watchdog_s, self.view.pulse, self.view.plain)

    # -- the life of the process -------------------------------------------------------------------------------

    async def run(self) -> ExitCode:
        """Work until asked to stop or until something fails; the exit code says which."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        states = await asyncio.to_thread(check_topics, self._broker, self._settings.prefix, self._settings.partitions)
        log_ids = {state.spec.name: state.topic_id or "" for state in states}
        self._log_id, self.host.users_log_id = log_ids["interactions"], log_ids["users"]
        # The first engine of a process imports some nine hundred modules of torch, and the very first on a machine
        # compiles its loops: do it while the group is joined.
        self._warm = asyncio.create_task(asyncio.to_thread(warm_up))
        port = await self.port.start(self._settings.http_host, self._settings.http_port)
        try:
            write_note(self._settings, self._broker, port)
            await self.log_ends.start()
            await self.tables.load()
            self._attach()
            self._watchdog.start()
            self._background.spawn(self._heartbeat())
            # It returns with the first assignment only: somebody must be able to end the worker before.
            self._background.spawn(self._start_app())
            await self._ending.wait()
        finally:
            await self._stop()
        return self._exit

    async def _start_app(self) -> None:
        self._joining = True
        await self.app.start()
        self._background.spawn(self.tables.follow())
        if self._takes:
            self._background.spawn(self.artefacts.run())
        if self._role is Role.GRAPH:
            self._background.spawn(self._publish_metrics())
            if self._settings.learner == "trainer":
                self._background.spawn(self._taking_in.run())

    def fail(self, error: BaseException) -> None:
        """End the worker because of `error`."""
        if not self._ending.is_set():
            needs_a_person = isinstance(error, StateError | WeightsError | SnapshotError)
            self._exit = ExitCode.STATE if needs_a_person else ExitCode.FAILED
            log.error("the worker ends: %s: %s", type(error).__name__, error)
            self._ending.set()

    async def _stop(self) -> None:
        log.info("stopping")
        self._watchdog.stop()
        await self.port.stop()
        for lane in self.graph.lanes.values():
            await lane.stop()
        for task in [*self._background.tasks, *(task for tasks in self._lane_tasks.values() for task in tasks)]:
            task.cancel()
        if self._joining:
            await self.app.stop()
        for hosted in self.host:
            await self.host.close(hosted.partition)
        await self.tables.stop()
        await self.artefacts.stop()
        await self.log_ends.stop()
        withdraw_note(self._settings.state_dir)

    def _attach(self) -> None:
        interactions = self.app.topic(
            self._topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )
        self.app.agent(interactions, name="graph", isolated_partitions=True)(self.graph.consume)
        if self._role is Role.GRAPH:
            self._attach_requests()
        self.app.on_partitions_revoked.connect(self._on_revoked)
        self.app.on_rebalance_complete.connect(self._on_assigned)

    def _attach_requests(self) -> None:
        requests = self.app.topic(
            self._settings.topic("recommendation-requests"),
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
        )
        answering = RequestsAgent(self.host, self.graph, self._makers, self.letters, self.counters, self.fail)
        self.app.agent(requests, name="requests", isolated_partitions=True)(answering.consume)

    # -- assignments -------------------------------------------------------------------------------------------

    async def _on_revoked(self, app: WorkerApp, revoked: set[TP], **kwargs: Any) -> None:
        for tp in revoked:
            if tp.topic == self._topic and tp.partition in self.graph.lanes:
                self.graph.lanes[tp.partition].suspend()

    async def _on_assigned(self, app: WorkerApp, **kwargs: Any) -> None:
        try:
            mine = {tp.partition for tp in self.app.consumer.assignment() if tp.topic == self._topic}
            for partition in set(self.graph.lanes) - mine:
                await self._close_lane(partition)
            if self._warm is not None:
                await self._warm
            for partition in sorted(mine):
                await self._take_over(partition)
            self.view.assigned = True
        except Exception as error:
            log.exception("assignment failed")
            self.fail(error)

    async def _take_over(self, partition: int) -> None:
        """Open a shard if it is not, and say where its log is read from."""
        if partition not in self.graph.lanes:
            self._open_lane(await self.host.open(partition))
        lane = self.graph.lanes[partition]
        await lane.hosted.run(lambda shard: shard.start_new_log(self._log_id))
        tp = TP(self._topic, partition)
        first, end = (await self.log_ends.bounds(self._topic, [partition]))[partition]
        shard = lane.hosted.shard
        self._hold_log_to_state(partition, shard.applied_offset, first, end)
        commit = await lane.hosted.run(lambda shard: shard.commit_offset)
        start = max(commit, first)
        before = await self.app.start_at(tp, start)
        log.info(
            "partition %d: applied %d, log %d..%d, reading from %d (the group was at %s)",
            partition, shard.applied_offset, first, end, start, before,
        )  # fmt: skip
        lane.catch_up.begin(end)
        lane.caught_up_now()

    def _hold_log_to_state(self, partition: int, applied: int, first: int, end: int) -> None:
        """Raise `StateError` where going on would skip events: an instruction, since no program can mend it."""
        away = f"move {self._settings.state_dir} away"
        if end <= applied:
            raise StateError(
                f"partition {partition} ends at offset {end} and the state has applied up to {applied}: the log "
                f"has lost records. Restore it, or {away} to rebuild the state from what there is"
            )
        if applied >= 0 and first > applied + 1:
            raise StateError(
                f"partition {partition} begins at offset {first} and the state needs {applied + 1}: retention has "
                "passed it. Restore a newer snapshot, or load history with `evergraph replay FILE --snapshot "
                f"DIR`, or {away} to begin from what the log still holds"
            )

    def _open_lane(self, hosted: HostedShard) -> None:
        is_lost = partial(self.log_ends.holds_record, self._topic, hosted.partition)
        of = hosted, self.host.partitions, self._settings, self.letters
        if self._role is Role.TRAINER:
            lane = Lane(*of, NoLists(), NoJobs(), self.counters, is_lost, self._handing_over.after_step)
            work = [lane.run(self.fail)]
        else:
            maker = self._makers[hosted.partition] = ListMaker(hosted, self.app, self._settings, self.counters)
            jobs = JobMaker(hosted, self.app, self._settings, self.counters)
            lane = Lane(*of, maker, jobs, self.counters, is_lost)
            work = [
                lane.run(self.fail),
                self._background.guarded(maker.run()),
                self._background.guarded(jobs.run(lane.caught_up)),
            ]
        self.graph.lanes[hosted.partition] = lane
        self._lane_tasks[hosted.partition] = [asyncio.create_task(one) for one in work]
        self._taking_in.opened(hosted.partition)

    async def _user_erased(self, user_id: str) -> None:
        """Take back what is published of an erased user. The broker must have it before the erasure counts as done."""
        for name, made in (("profiles", self._settings.profiles), ("reasoning-graphs", self._settings.reasoning)):
            if self._asks and made:
                topic = self._settings.topic(name)
                await (await self.app.producer.send(topic, user_id.encode(), None, None, None, None))

    async def _close_lane(self, partition: int) -> None:
        lane = self.graph.lanes.pop(partition)
        self._makers.pop(partition, None)
        self.relations.left(partition)
        await lane.stop()
        for task in self._lane_tasks.pop(partition):
            task.cancel()
        await self.host.close(partition)

    # -- background --------------------------------------------------------------------------------------------

    async def _heartbeat(self) -> None:
        """Each second: show life, ask for log ends, see whether Faust or the supervisor died."""
        while True:
            await asyncio.sleep(BEAT_S)
            self.view.beats += 1
            if self.app.crashed:
                self.fail(self.app.crash_reason or RuntimeError("Faust crashed"))
            group_error = self.app.group_error()
            if group_error is not None:
                self.fail(group_error)
            if self._supervised and os.getppid() != self._parent:
                log.warning("the supervisor has gone: stopping")
                self._ending.set()
            try:
                self.view.log_ends = await self.log_ends.ends(self._topic, list(self.graph.lanes))
            except Exception as error:  # noqa: BLE001 - no answer is no lag known; the client goes on trying
                log.warning("log ends unknown: %s", error)
                self.view.log_ends = {}

    async def _publish_metrics(self) -> None:
        while True:
            await asyncio.sleep(METRICS_EVERY_S)
            for partition, lane in list(self.graph.lanes.items()):
                if lane.catch_up.done:
                    lately, offset = lane.metrics, lane.hosted.shard.applied_offset
                    await self.metrics.publish(partition, offset, lately.figures(), lately.targets(), lately.window)
                    await self.relations.publish(partition, relation_table(lane.hosted.shard))


def trainer_settings(settings: Settings) -> Settings:
    """What a trainer that belongs to a graph worker of these settings runs with."""
    return msgspec.structs.replace(
        settings,
        state_dir=trainer_dir(settings),
        weights_dir=settings.weights_folder,
        group_id=f"{settings.group_id}-trainer"[:200],
        http_port=0,
        linger_ms=settings.trainer_linger_ms,
    )


def trainer_dir(settings: Settings) -> Path:
    """Where a trainer of these settings keeps its own state."""
    return settings.state_dir / "trainer"


def shard_config(settings: Settings, role: Role = Role.GRAPH) -> ShardConfig:
    """The part of the settings that a worker's shards need."""
    trains = role is Role.TRAINER
    return ShardConfig(
        state_dir=trainer_dir(settings) if trains else settings.state_dir,
        learn_encoder=trains or settings.learner == "inline",
        weights_dir=settings.weights_folder,
        weights_every=settings.weights_every_events if trains else 0,
        keep_weights=0 if trains else settings.keep_weights,
        batching=settings.batching,
        max_batch=settings.max_batch,
        learn=settings.learn,
        snapshot_events=settings.snapshot_events,
        snapshot_seconds=settings.snapshot_interval_s,
        keep_snapshots=settings.keep_snapshots,
        admission=AdmissionConfig(
            allowed_lateness_ms=settings.allowed_lateness_ms,
            allowed_lead_ms=settings.future_tolerance_ms,
            dedupe_window=settings.dedupe_window,
        ),
        clock=settings.clock,
    )


async def _main(settings: Settings, broker: str, role: Role, supervised: bool) -> ExitCode:
    return await GraphWorker(settings, broker, role=role, supervised=supervised).run()


def run_worker(settings: Settings, broker: str, *, role: Role = Role.GRAPH, supervised: bool = False) -> ExitCode:
    """Run a worker to its end; `supervised`: end also when the parent process does.

    Raises `BrokerError`, `ValueError` for what a person has to mend.
    """
    if role is Role.TRAINER and hasattr(os, "nice"):
        # Lists are waited for and weights are not: where both want the same core, serving goes first.
        os.nice(TRAINER_NICENESS)
    return asyncio.run(_main(settings, broker, role, supervised))
