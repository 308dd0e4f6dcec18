"""The jobs agent: records of `llm-jobs` become work, and are acknowledged when that is finished.

An LLM takes seconds where Kafka delivers thousands, so reading stops while too many jobs are open. Nothing may escape:
an agent that raises is restarted by Faust with the offset advanced, and its jobs would be lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from faust.types import EventT, StreamT

from streams.artefact_messages import LlmJob
from streams.codec import KEY_MISMATCH, BadMessage, decode
from streams.llm.known import Known
from streams.llm.outbox import Outbox
from streams.llm.unfinished import Unfinished
from streams.topics import MIB
from streams.worker.delivery import deliveries
from streams.worker.letters import Origin

log = logging.getLogger(__name__)

UNKNOWN_KIND = "unknown_kind"
KINDS = ("profile", "reasoning")

Begin = Callable[[LlmJob, Origin], None]


class JobsAgent:
    """Takes jobs; `begin` is told of each new one, and `Unfinished.finish` must follow."""

    def __init__(
        self,
        known: Known,
        outbox: Outbox,
        unfinished: Unfinished,
        begin: Begin,
        fail: Callable[[BaseException], None],
    ) -> None:
        self.void = 0
        """Jobs of users who were erased after they were asked for."""
        self._known = known
        self._outbox = outbox
        self._unfinished = unfinished
        self._begin = begin
        self._fail = fail

    async def consume(self, stream: StreamT) -> None:
        """Take what comes."""
        async for events in deliveries(stream):
            for event in events:
                try:
                    await self._take(event)
                except Exception as error:
                    log.exception("job at offset %d could not be taken", event.message.offset)
                    self._fail(error)
                    return

    async def _take(self, event: EventT) -> None:
        await self._unfinished.room()
        origin = Origin.of(event)
        try:
            job = read_job(origin)
        except BadMessage as bad:
            await self._outbox.dead(origin, bad.code, bad.message)
            event.ack()
            return
        if self._known.erased_since(job):
            self.void += 1
            event.ack()
        elif self._unfinished.take(job.job_id, event):
            self._begin(job, origin)


def read_job(origin: Origin) -> LlmJob:
    """The job in a record. Raises `BadMessage`."""
    job = decode(LlmJob, origin.value, max_bytes=MIB)
    if origin.key != job.entity_id.encode():
        raise BadMessage(KEY_MISMATCH, "the key is not the job's entity_id: set the record key to it (UTF-8 bytes)")
    if job.kind not in KINDS or job.entity != "user":
        message = f"a job for {job.kind} of a {job.entity}: this worker makes {' and '.join(KINDS)} of users"
        raise BadMessage(UNKNOWN_KIND, message)
    return job
