"""Answers from any server that speaks OpenAI's chat completions."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from llm_workers.client.breaker import Breaker
from llm_workers.client.budget import TokenBudget
from llm_workers.client.failures import EndpointError
from llm_workers.client.requests import RequestShape, chat_body, completion_text, most_tokens
from llm_workers.client.transport import Transport
from llm_workers.client.usage import Figures
from llm_workers.config import LlmConfig
from llm_workers.protocols import Answer, Prompt

log = logging.getLogger(__name__)


class EndpointAnswerer:
    """An :class:`~llm_workers.protocols.Answerer`; belongs to one event loop.

    The key is looked for once, here. Raises :class:`~llm_workers.config.LlmConfigError` if it is missing.
    """

    def __init__(
        self,
        config: LlmConfig,
        *,
        environ: Mapping[str, str] | None = None,
        budget: TokenBudget | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        prices = config.usd_per_million_prompt, config.usd_per_million_completion
        self._transport = Transport(config, prices=prices, environ=environ, budget=budget, breaker=breaker)
        self._model = config.model
        self._shape = RequestShape(temperature=config.temperature)

    @property
    def model_id(self) -> str:
        """The model's name."""
        return self._model

    @property
    def breaker_state(self) -> str:
        """``closed``, ``open``, ``half-open``, or ``broken`` (a wrong key)."""
        return self._transport.breaker.state

    def figures(self) -> Figures:
        """Usage and cost per artefact kind."""
        return self._transport.usage.as_dict()

    async def answer(self, prompt: Prompt) -> Answer:
        """Raises :class:`LlmError`."""
        while True:
            shape = self._shape
            body = chat_body(self._model, prompt, shape)
            try:
                reply, spent = await self._transport.post(prompt.kind, "/chat/completions", body, most_tokens(prompt))
            except EndpointError as error:
                lower = shape.without(error.said) if error.code == "refused" else None
                if lower is None:
                    raise
                if self._shape is shape:
                    self._shape = lower
                    log.warning("%s; asking without it from now on: %s", error, lower)
                continue
            return Answer(completion_text(reply), self._model, spent)

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()
