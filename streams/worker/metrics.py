"""Rolling prequential figures out of the worker: how well the ranking before each event foresaw it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import faust

from streams.codec import encode
from streams.messages import MetricPoint
from streams.settings import Settings


class MetricPublisher:
    """Writes a shard's rolling figures to `metrics`, only when there is something new to say."""

    def __init__(self, app: faust.App, settings: Settings) -> None:
        self._app = app
        self._topic = settings.topic("metrics")
        self._published: dict[int, int] = {}

    async def publish(
        self,
        partition: int,
        offset: int,
        figures: Mapping[str, Mapping[str, float]],
        targets: Mapping[str, int],
        window: int,
    ) -> None:
        """Send a point per model and figure of a shard: the newest `window` targets up to `offset`."""
        if offset == self._published.get(partition):
            return
        self._published[partition] = offset
        now = int(time.time() * 1000)
        for model, values in figures.items():
            for series, value in values.items():
                if not math.isfinite(value):
                    continue
                point = MetricPoint(
                    series=series,
                    ts_ms=now,
                    value=value,
                    model=model,
                    window_events=min(targets[model], window),
                    offset=offset,
                    labels={"partition": str(partition)},
                )
                await self._app.producer.send(self._topic, series.encode(), encode(point), None, None, None)
