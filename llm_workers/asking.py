"""What everything that asks a language model has in common."""

from __future__ import annotations

from llm_workers.answers import RepairingAnswerer, checked
from llm_workers.cache import AnswerCache, CachedAnswerer
from llm_workers.protocols import Answerer, ProducerName


class AskingModel:
    """Asks ``answerer`` what the cache does not know; an answer that does not fit is asked for once more."""

    def __init__(
        self, answerer: Answerer, cache: AnswerCache | None = None, *, name: ProducerName = "endpoint"
    ) -> None:
        self._repairing = RepairingAnswerer(answerer)
        self._answerer = CachedAnswerer(self._repairing, cache, checked) if cache else self._repairing
        self._name = name

    @property
    def name(self) -> ProducerName:
        """How artefacts name it."""
        return self._name

    @property
    def model_id(self) -> str:
        """Of the answerer."""
        return self._answerer.model_id

    @property
    def repaired(self) -> int:
        """Answers that had to be asked for again."""
        return self._repairing.repaired
