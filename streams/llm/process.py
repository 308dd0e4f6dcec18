"""An LLM worker as one process: what is started in which order, what becomes of a job, and how it ends.

Order of start: check the topics, read the compact topics whole, serve HTTP, join the group of LLM workers. It keeps no
state that matters: answers are cached in a file, and jobs that were open when it died come again.

It runs with low priority. Where it shares a machine with a graph worker, lists are waited for and profiles are not.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from functools import partial
from typing import Any

from faust.types import TP

from dyngraph.events import Item
from dyngraph.profiles import UserProfile
from dyngraph.reasoning import ReasoningGraph
from llm_workers.producers.terms import Terms
from llm_workers.protocols import LlmError, ProfileRequest
from llm_workers.reasoning.request import ReasoningRequest
from llm_workers.work import Job, Outcome, Workbench, WorkConfig
from llm_workers.work.making import profile_maker
from streams.admin import check_topics
from streams.artefact_messages import LlmJob
from streams.llm.benches import Benches, Kind
from streams.llm.erasing import Erasing
from streams.llm.graphs import GraphMaker
from streams.llm.http_port import LlmPort
from streams.llm.item_vectors import ItemVectorMaker
from streams.llm.jobs_agent import JobsAgent
from streams.llm.known import Known
from streams.llm.meter import Meter
from streams.llm.outbox import Outbox, told
from streams.llm.parts import MOST_OPEN, Parts, build_parts, llm_config, llm_settings, work_config
from streams.llm.relation_names import RelationNaming, namer_of
from streams.llm.requests import profile_request_of, reasoning_request_of
from streams.llm.unfinished import Unfinished
from streams.settings import Settings
from streams.worker.app import WorkerApp, build_app
from streams.worker.background import Background
from streams.worker.exit_codes import ExitCode
from streams.worker.letters import Letters, Origin
from streams.worker.log_ends import LogEnds
from streams.worker.note import withdraw_note, write_note

log = logging.getLogger(__name__)

BEAT_S = 1.0
COUNT_TERMS_EVERY_S = 30.0
NICENESS = 10
FETCH_WAIT_MS = 500
"""Nobody waits for a profile: asking a hundred times a second, as for events, would only take the broker's time."""


class LlmWorker:
    """One worker process."""

    def __init__(self, settings: Settings, broker: str, parts: Parts, *, supervised: bool = False) -> None:
        self._settings = settings
        self._broker = broker
        self._parts = parts
        self._supervised = supervised
        self._parent = os.getppid()
        self._topic = settings.topic("llm-jobs")
        self._exit = ExitCode.STOPPED
        self._ending = asyncio.Event()
        self._background = Background(self.fail)
        self._joining = self._assigned = False
        self._mine: frozenset[int] = frozenset()
        self._counted = -1
        self.app = build_app(settings, broker)
        self.app.fetch_wait_ms = FETCH_WAIT_MS
        self.log_ends = LogEnds(broker)
        self.letters = Letters(self.app, settings)
        self.outbox = Outbox(self.app, settings, self.letters)
        self.unfinished = Unfinished(MOST_OPEN)
        self.item_vectors = (
            ItemVectorMaker(parts.encoder, self.outbox, lambda: 0 in self._mine) if parts.encoder is not None else None
        )
        self._meter = Meter(parts)
        self._open: dict[str, tuple[LlmJob, Origin]] = {}
        items: dict[str, Item] = {}
        work = work_config(settings.llm)
        self.graphs = GraphMaker(parts, items, work.deadline_s)
        self.relation_names = RelationNaming(
            namer_of(parts), items, self.outbox, lambda: 0 in self._mine, work.deadline_s
        )
        self.benches = Benches(self._kinds(work), items)
        self.erasing = Erasing(self.benches, parts.cache, self.outbox)
        self.known = Known(
            broker,
            settings,
            self.letters,
            self.log_ends,
            items,
            erase=self.erasing.erase,
            changed=self._items_changed,
            user=self.graphs.put_user,
            vector=self.graphs.put_vector,
            relations=self.relation_names.heard,
        )
        self.agent = JobsAgent(self.known, self.outbox, self.unfinished, self._begin, self.fail)
        self.port = LlmPort(self.state, self.not_ready)

    def _kinds(self, work: WorkConfig) -> dict[str, Kind]:
        parts = self._parts
        profile = profile_maker(self._meter, parts.vectors if parts.encoder is not None else None, work.deadline_s)
        return {
            "profile": Kind(profile_request_of, Workbench(profile, self._publish_profile, self._bury, work)),
            "reasoning": Kind(reasoning_request_of, Workbench(self.graphs.make, self._publish_graph, self._bury, work)),
        }

    # -- the life of the process -------------------------------------------------------------------------------

    async def run(self) -> ExitCode:
        """Work until asked to stop or until something fails; the exit code says which."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        states = await asyncio.to_thread(check_topics, self._broker, self._settings.prefix, self._settings.partitions)
        users_log = next(state.topic_id for state in states if state.spec.name == "users")
        self.erasing.bind(self._settings.state_dir, users_log or "")
        port = await self.port.start(self._settings.http_host, self._settings.http_port)
        try:
            write_note(self._settings, self._broker, port)
            await self.log_ends.start()
            # Before jobs are taken, titles must be there, and it must be known who was erased.
            await self.known.load()
            self._attach()
            for work in (self._heartbeat(), self._start_app(), self._count_terms()):
                self._background.spawn(work)
            await self._ending.wait()
        finally:
            await self._stop()
        return self._exit

    def fail(self, error: BaseException) -> None:
        """End the worker because of `error`."""
        if not self._ending.is_set():
            self._exit = ExitCode.FAILED
            log.error("the worker ends: %s: %s", type(error).__name__, error)
            self._ending.set()

    async def _start_app(self) -> None:
        self._joining = True
        await self.app.start()
        await self.erasing.can_publish()
        self._background.spawn(self.known.follow())
        if self.item_vectors is not None:
            self._background.spawn(self.item_vectors.run(self.known))
        self._background.spawn(self.relation_names.run())

    async def _stop(self) -> None:
        log.info("stopping; %d open jobs come again", len(self.unfinished))
        await self.port.stop()
        await self.benches.close()
        for task in self._background.tasks:
            task.cancel()
        await asyncio.gather(*self._background.tasks, return_exceptions=True)
        if self._joining:
            await self.app.stop()
        await self.known.stop()
        await self.log_ends.stop()
        await self._parts.close()
        withdraw_note(self._settings.state_dir)

    def _attach(self) -> None:
        jobs = self.app.topic(
            self._topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )
        self.app.agent(jobs, name="llm", isolated_partitions=True)(self.agent.consume)
        self.app.on_partitions_revoked.connect(self._on_revoked)
        self.app.on_rebalance_complete.connect(self._on_assigned)

    async def _on_revoked(self, app: WorkerApp, revoked: set[TP], **kwargs: Any) -> None:
        self.unfinished.forget_records()

    async def _on_assigned(self, app: WorkerApp, **kwargs: Any) -> None:
        self._mine = frozenset(tp.partition for tp in self.app.consumer.assignment() if tp.topic == self._topic)
        self._assigned = True
        log.info("partitions of %s: %s", self._topic, sorted(self._mine) or "none, there are enough workers")

    # -- background --------------------------------------------------------------------------------------------

    async def _heartbeat(self) -> None:
        """Each second: see whether Faust, the group or the supervisor is gone."""
        while True:
            await asyncio.sleep(BEAT_S)
            if self.app.crashed:
                self.fail(self.app.crash_reason or RuntimeError("Faust crashed"))
            if self._joining and (error := self.app.group_error()) is not None:
                self.fail(error)
            if self._supervised and os.getppid() != self._parent:
                log.warning("the supervisor has gone: stopping")
                self._ending.set()

    async def _count_terms(self) -> None:
        """Keep count of which words of the catalogue are telling, once it has changed by a tenth."""
        while True:
            items = list(self.known.items.values())
            if abs(len(items) - self._counted) > self._counted / 10:
                terms = await asyncio.to_thread(Terms.of, items)
                self._parts.use_terms(terms)
                self.graphs.use_terms(terms)
                self._counted = len(items)
            await asyncio.sleep(COUNT_TERMS_EVERY_S)

    # -- jobs --------------------------------------------------------------------------------------------------

    def _begin(self, job: LlmJob, origin: Origin) -> None:
        """Put a job on the bench; its records are acknowledged when it is finished."""
        self._open[job.job_id] = job, origin
        ended = self.benches.put(job)
        ended.add_done_callback(partial(self._ended, job.job_id))

    def _ended(self, job_id: str, ended: asyncio.Future[Outcome]) -> None:
        self._open.pop(job_id, None)
        if ended.cancelled():
            return  # the worker stops: it comes again
        if (error := ended.exception()) is not None:
            self.fail(error)  # what was made could not be published: after a new start it comes again
            return
        self.unfinished.finish(job_id)

    async def _publish_profile(self, profile: UserProfile, made: Job[ProfileRequest]) -> None:
        job, _ = self._open[made.job_id]
        await self.outbox.profile(profile, job, self._vector_model(), self._meter.take(made.request))

    async def _publish_graph(self, graph: ReasoningGraph, made: Job[ReasoningRequest]) -> None:
        job, _ = self._open[made.job_id]
        await self.outbox.graph(graph, job, self._vector_model(), self.graphs.take(made.request))

    def _vector_model(self) -> str:
        return self._parts.encoder.model_id if self._parts.encoder is not None else ""

    async def _bury(self, made: Job[Any], error: LlmError) -> None:
        _, origin = self._open[made.job_id]
        await self.outbox.dead(origin, f"llm_{error.code}", told(error))

    def _items_changed(self, items: Sequence[Item]) -> None:
        if self.item_vectors is not None:
            self.item_vectors.changed(items)

    # -- what it shows -----------------------------------------------------------------------------------------

    def not_ready(self) -> str | None:
        """Why jobs are not done as they should be, None while they are."""
        if not self.known.ready:
            return "the compact topics `items`, `users` and `item-vectors` are being read"
        if not self._assigned:
            return "waiting for the consumer group to assign partitions"
        return self._parts.given_up()

    def state(self) -> dict[str, object]:
        """Everything worth watching, JSON-able."""
        return {
            "ready": self.not_ready() is None,
            "not_ready": self.not_ready(),
            "broker": self._broker,
            "partitions": sorted(self._mine),
            "jobs": self.benches.figures() | {"open": len(self.unfinished), "void": self.agent.void},
            "reasoning": self.graphs.figures(),
            "relation_names": self.relation_names.figures(),
            "published": {
                "profiles": self.outbox.profiles,
                "reasoning_graphs": self.outbox.graphs,
                "taken_back": self.outbox.taken_back,
                "item_vectors": self.outbox.item_vectors,
                "named_tables": self.outbox.named_tables,
            },
            "items": len(self.known.items),
            "item_texts_waiting": len(self.item_vectors) if self.item_vectors is not None else 0,
            "dead_letters": dict(self.letters.by_code),
            **self._parts.describe(),
        }


async def _main(settings: Settings, broker: str, supervised: bool) -> ExitCode:
    parts = await asyncio.to_thread(build_parts, llm_config(settings))
    return await LlmWorker(llm_settings(settings), broker, parts, supervised=supervised).run()


def run_llm_worker(settings: Settings, broker: str, *, supervised: bool = False) -> ExitCode:
    """Run an LLM worker to its end; `supervised`: end also when the parent process does.

    Raises `BrokerError`, `ValueError` for what a person has to mend.
    """
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    return asyncio.run(_main(settings, broker, supervised))
