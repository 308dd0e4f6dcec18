"""Profiles by a language model."""

from __future__ import annotations

import time
from collections.abc import Callable

from llm_workers.answers import read_profile
from llm_workers.asking import AskingModel
from llm_workers.cache import AnswerCache
from llm_workers.prompts.profile import VERSION, profile_prompt
from llm_workers.protocols import (
    Answerer,
    Facets,
    LlmError,
    ProducedProfile,
    ProducerName,
    ProfileProducer,
    ProfileRequest,
)

PATIENCE_S = 300.0


class LlmProfiles(AskingModel):
    """Asks ``answerer`` what the cache does not know; ``fallback`` makes the profiles that it cannot.

    What may work later (``LlmError.retry``) is left to the caller to try again, until that has been so for
    ``patience_s`` without a single answer: then the fallback takes over, so that a long outage leaves nobody without
    a profile and a short one costs nobody a good one. What never will work falls back at once.
    """

    def __init__(
        self,
        answerer: Answerer,
        cache: AnswerCache | None = None,
        fallback: ProfileProducer | None = None,
        *,
        name: ProducerName = "endpoint",
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(answerer, cache, name=name)
        self._fallback = fallback
        self._patience_s, self._clock = patience_s, clock
        self._silent_since: float | None = None
        self.figures = {"made": 0, "from_cache": 0, "without_history": 0, "fell_back": 0}

    async def profile(self, request: ProfileRequest) -> ProducedProfile:
        """Raises :class:`LlmError`. A history without any text has empty facets and costs no call."""
        prompt = profile_prompt(request)
        if prompt is None:
            self.figures["without_history"] += 1
            return ProducedProfile(Facets(), self._name, self._answerer.model_id, VERSION)
        try:
            answer = await self._answerer.answer(prompt)
            facets = read_profile(prompt, answer.text)
        except LlmError as error:
            if self._fallback is None or (error.retry and not self._silent_for_long()):
                raise
            self.figures["fell_back"] += 1
            return await self._fallback.profile(request)
        if not answer.cached:
            self._silent_since = None
        self.figures["from_cache" if answer.cached else "made"] += 1
        return ProducedProfile(facets, self._name, answer.model_id, prompt.version, answer.spent, answer.cached)

    def _silent_for_long(self) -> bool:
        now = self._clock()
        if self._silent_since is None:
            self._silent_since = now
        return now - self._silent_since >= self._patience_s
