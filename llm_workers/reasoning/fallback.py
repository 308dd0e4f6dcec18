"""Who makes graphs, and who makes them instead."""

from __future__ import annotations

from typing import Protocol

from dyngraph.reasoning import ReasoningGraph
from llm_workers.protocols import LlmError
from llm_workers.reasoning.request import ReasoningRequest


class GraphProducer(Protocol):
    """Makes reasoning graphs: :class:`~llm_workers.reasoning.builder.ChainBuilder`."""

    async def graph(self, request: ReasoningRequest) -> ReasoningGraph:
        """Raises :class:`LlmError`."""
        ...


class WithFallback:
    """Asks ``first``; what never will work there is made by ``second``. What may work later is left to the caller."""

    def __init__(self, first: GraphProducer, second: GraphProducer) -> None:
        self._first, self._second = first, second
        self.fell_back = 0

    async def graph(self, request: ReasoningRequest) -> ReasoningGraph:
        """Raises :class:`LlmError` where trying again later makes sense."""
        try:
            return await self._first.graph(request)
        except LlmError as error:
            if error.retry:
                raise
            self.fell_back += 1
            return await self._second.graph(request)
