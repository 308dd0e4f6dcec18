"""Names of latent relations by a language model, each asked for once for the same pairs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dyngraph.relations import Pair
from llm_workers.asking import AskingModel
from llm_workers.cache import AnswerCache
from llm_workers.prompts.relations import VERSION, naming_prompt
from llm_workers.protocols import Answerer, LlmError, ProducerName
from llm_workers.relations.answers import read_name
from llm_workers.requests import Texts


class NamedPairs(msgspec.Struct, frozen=True):
    """One latent relation that wants a name."""

    pairs: tuple[Pair, ...]
    """The strongest first."""
    name: str = ""
    """What it is called by counting; empty where nothing stands out."""


class LlmNamer(AskingModel):
    """Asks ``answerer`` what the cache does not know. Where it cannot say, a relation is called as counting has it."""

    def __init__(
        self, answerer: Answerer, cache: AnswerCache | None = None, *, name: ProducerName = "endpoint"
    ) -> None:
        super().__init__(answerer, cache, name=name)
        self.figures = {"asked": 0, "from_cache": 0, "without_text": 0, "nameless": 0, "taken": 0, "failed": 0}
        """Questions, and those that the cache answered; and why the counted name was kept: nothing is known of the
        items, the model saw nothing in common, another relation has that name, or there was no fit answer."""

    @property
    def prompt_version(self) -> str:
        """Of the question."""
        return VERSION

    async def names(self, relations: Sequence[NamedPairs], texts: Texts) -> list[str]:
        """A name for each relation, in their order, none twice but the empty one. Never raises for want of an answer.

        A relation that comes first keeps a name that two are given. A model's name never takes the counted name of
        another relation, so a fallback is always free.
        """
        counted = {relation.name.casefold() for relation in relations if relation.name}
        given: set[str] = set()
        names = []
        for relation in relations:
            said = await self._said(relation, texts)
            if said and said.casefold() in given | (counted - {relation.name.casefold()}):
                self.figures["taken"] += 1
                said = ""
            names.append(said or relation.name)
            given.add(names[-1].casefold())
        return names

    async def _said(self, relation: NamedPairs, texts: Texts) -> str:
        """The model's word for it, empty where it has none."""
        prompt = naming_prompt((texts(pair.past), texts(pair.candidate)) for pair in relation.pairs)
        if prompt is None:
            self.figures["without_text"] += 1
            return ""
        self.figures["asked"] += 1
        try:
            answer = await self._answerer.answer(prompt)
            name = read_name(prompt, answer.text).name
        except LlmError:
            self.figures["failed"] += 1
            return ""
        self.figures["from_cache"] += answer.cached
        self.figures["nameless"] += not name
        return name
