"""The Faust app, with every setting that matters set on purpose, and the two things Faust does not let one
set.

Faust is used for what it is good at: group membership, fetching, flow control and one actor per partition.
Its tables, stores, web server, model classes and delivery guarantee are left alone; state lives in shards.
"""

from __future__ import annotations

import inspect
import logging
from typing import Any

import faust
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.settings import Settings
from streams.topics import DEAD_LETTER_MAX_BYTES
from streams.worker.delivery import finished_at_once
from streams.worker.ending import ending

log = logging.getLogger(__name__)

FETCH_WAIT_MS = 10
"""How long the broker may hold an empty fetch. Faust fixes 1,500: Apache Kafka answers as soon as a record is
there, but the embedded broker answers only after about half of it, which alone made a median of 415 ms from
publish to agent (5 ms with 10). The price is a hundred empty fetches a second on an idle topic."""


class _ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = transport.app.fetch_wait_ms  # read once, when the consumer starts
        return consumer

    async def on_thread_stop(self) -> None:
        """As Faust's; broken off, the thread would never say that it ended, and the app would wait for it a minute."""
        async with ending(self._consumer):
            await super().on_thread_stop()

    def group_error(self) -> BaseException | None:
        coordinator = getattr(self._consumer, "_coordinator", None)
        task = getattr(coordinator, "_coordination_task", None)
        if task is not None and task.done() and not task.cancelled():
            error: BaseException | None = task.exception()
            return error
        # Kept for whoever polls next; Faust polls only what it was assigned.
        return getattr(coordinator, "_pending_exception", None)

    async def seek_to_committed(self) -> Any:
        """As Faust's, and also where nothing, or 0, is committed.

        There the client does not seek at all. But Faust seeks in order to get back what it fetched and threw
        away during a rebalance: without a seek those records were lost (seen as offsets 289 to 369 skipped).
        """
        return await self.call_thread(self._seek_everywhere)

    async def _seek_everywhere(self) -> Any:
        consumer = self._ensure_consumer()
        committed = await consumer.seek_to_committed()
        if unsought := [tp for tp, offset in committed.items() if not offset]:
            await consumer.seek_to_beginning(*unsought)
        return committed

    async def group_offset(self, tp: TP) -> int | None:
        committed = self._ensure_consumer().committed
        offset: int | None = await self.call_thread(committed, driver.ensure_aiokafka_TP(tp))
        return offset

    async def set_group_offset(self, tp: TP, offset: int) -> None:
        target = {driver.ensure_aiokafka_TP(tp): OffsetAndMetadata(offset, "")}
        await self.call_thread(self._ensure_consumer().commit, target)


class _Consumer(driver.Consumer):  # type: ignore[misc]
    async def wait_first(self, *coros: Any, timeout: Any = None) -> Any:
        """Deliver on the spot what need not wait; see `delivery`, short cut 1."""
        if len(coros) == 2 and self.flow_active and inspect.iscoroutine(coros[0]):
            rest = finished_at_once(coros[0])
            if rest is None:
                coros[1].close()
                return None
            coros = (rest, coros[1])
        return await super().wait_first(*coros, timeout=timeout)

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class _Transport(driver.Transport):  # type: ignore[misc]
    Consumer = _Consumer


class WorkerApp(faust.App):  # type: ignore[misc]
    """A Faust app that fetches promptly and can be told where a partition starts."""

    fetch_wait_ms = FETCH_WAIT_MS
    """How long the broker may hold an empty fetch; to be set before the app starts."""

    def _new_transport(self) -> _Transport:
        return _Transport(self.conf.broker_consumer, self)

    def group_error(self) -> BaseException | None:
        """Why this worker can no longer be in its group, None while it can.

        The client gives up for good on errors it calls fatal (a session timeout that the broker does not
        allow, a group that may not be used); Faust does not notice and would wait for partitions for ever.
        """
        error: BaseException | None = self.consumer._thread.group_error()
        return error

    async def start_at(self, tp: TP, offset: int) -> int | None:
        """Make `offset` the group's committed one; the one it replaces (None: there was none).

        Faust seeks to the committed offsets *after* `on_rebalance_complete` has been sent, so a seek of our
        own is overwritten: what is committed during that signal decides where reading starts.
        """
        thread = self.consumer._thread
        before: int | None = await thread.group_offset(tp)
        if before != offset and not (before is None and offset == 0):
            await thread.set_group_offset(tp, offset)
        return before


def build_app(settings: Settings, broker: str) -> WorkerApp:
    """The app of one graph worker; agents and signals are attached by the worker."""
    return WorkerApp(
        settings.consumer_group(),
        broker=[f"kafka://{address}" for address in broker.split(",")],
        # State lives in shards under the state directory; Faust keeps no tables, so nothing is ever stored
        # here.
        store="memory://",
        datadir=str(settings.state_dir / "faust"),
        # Raw bytes in and out: decoding thousands of Structs at once is 40 times cheaper than faust.Record
        # one by one.
        key_serializer="raw",
        value_serializer="raw",
        # A worker that died is noticed within the session; three missed heartbeats would be too few for a
        # busy machine.
        broker_session_timeout=settings.session_timeout_ms / 1000,
        broker_heartbeat_interval=settings.heartbeat_ms / 1000,
        broker_rebalance_timeout=settings.rebalance_timeout_ms / 1000,
        broker_commit_interval=settings.commit_interval_ms / 1000,
        # An event is acknowledged when a snapshot covers it, which may be long after: silence is not a
        # livelock here.
        broker_commit_livelock_soft_timeout=24 * 3600.0,
        # A worker without a committed offset must see the whole log, or its state would begin in the middle.
        consumer_auto_offset_reset="earliest",
        # One bad record of 8 MiB must be fetched (to be refused) and go out again, in base64, as a dead
        # letter.
        consumer_max_fetch_size=DEAD_LETTER_MAX_BYTES,
        producer_max_request_size=DEAD_LETTER_MAX_BYTES,
        # A dead letter or a list counts only when all replicas have it; batching happens by itself under
        # load.
        producer_acks=-1,
        producer_linger=0.0,
        producer_max_batch_size=DEAD_LETTER_MAX_BYTES,
        # Its own thread for the producer loses errors and hangs at shutdown (and would not be faster).
        producer_threaded=False,
        # How many events Faust may hold ready per actor before it stops fetching; one step takes a few
        # hundred.
        stream_buffer_maxsize=4096,
        # Waiting until every delivered event is acknowledged would wait for the next snapshot, so for ever.
        stream_wait_empty=False,
        # No pause after a rebalance: there are no tables to recover.
        stream_recovery_delay=0.0,
        # The compiled stream loop asks the queue first and the event loop second, as its Python twin does.
        cython_optimizations=True,
        # Partitions of equal number (interactions, requests) must be assigned together; Faust's own assignor
        # does that, and it is used only while standby replicas are not switched off.
        table_standby_replicas=1,
        # Topics are created explicitly, with known partition counts; a worker that creates one hides a
        # mistake.
        topic_allow_declare=False,
        topic_disable_leader=True,
        # Its web server binds port 6066, where the second worker of a machine fails; reads have their own
        # port.
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
