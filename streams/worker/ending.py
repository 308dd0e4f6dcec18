"""Ending a Kafka client whose broker may be gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer


@asynccontextmanager
async def ending(consumer: AIOKafkaConsumer | None) -> AsyncIterator[None]:
    """Around what stops `consumer`: goes on to the end where the client gives up half way.

    The client cancels its fetches and awaits them. One that was resting after an error, as all are while no broker
    answers, hands the cancellation back as if it were the caller's: a worker asked to stop would break off there.
    """
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if consumer is None or (task is not None and task.cancelling()):
            raise
        await consumer._client.close()
