"""Reasoning by a language model for some test users, every answer kept: who is asked about, and what was answered.

The graphs of a recording follow from its answers alone, so whoever has the cache file can make them again, bit for bit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dyngraph.reasoning import ReasoningGraph
from dyngraph.refreshing import Related
from evaluation.coded import CodedLog
from evaluation.reasoning.held_out import HeldOutHistories
from llm_workers.answers import RepairingAnswerer
from llm_workers.cache import AnswerCache, cache_key
from llm_workers.protocols import Answer, Answerer, LlmError, ProducerName, Prompt, Spent, TextEncoder
from llm_workers.reasoning.builder import ChainBuilder
from llm_workers.reasoning.coded import Histories
from llm_workers.reasoning.counted import CountedNeighbours
from llm_workers.reasoning.figures import Figures
from llm_workers.reasoning.knowledge import KnowledgeBase
from llm_workers.reasoning.language import LlmReasoner
from llm_workers.reasoning.protocol import Matcher
from llm_workers.reasoning.request import ReasoningRequest
from llm_workers.reasoning.rounds import CollectingAnswerer, play_round
from llm_workers.reasoning.settings import ReasoningSettings
from llm_workers.requests import Texts, past_item
from llm_workers.store import Store

LEAST_EVENTS = 5
"""Of a user who is drawn, the held-out ones with them."""
NEAR = 8
"""Neighbours of an item that a request tells of."""
KNOWLEDGE_BYTES = 256 << 20


def requests_before_tests(
    log: CodedLog, data: HeldOutHistories, *, users: int, items: int, seed: int
) -> list[ReasoningRequest]:
    """What is known before the test place of up to ``users`` users, drawn by ``seed``; a few are the first of many.

    The past is the newest ``items`` events before the place. Neighbours are counted over what is learned of the other
    users, so neither a held-out item nor anything that the user did later has a part in a request. Raises ValueError
    where nobody is long enough, or nobody is asked about.
    """
    for name, asked in (("users", users), ("items", items)):
        if asked < 1:
            raise ValueError(f"{name} = {asked}: use 1 or more")
    known = data.histories.known(data.tests)
    drawn = np.random.default_rng(seed).permutation(data.tests[known + 1 >= LEAST_EVENTS])[:users]
    if not len(drawn):
        raise ValueError(f"{log.name}: no user has {LEAST_EVENTS} events, and none with fewer is asked about")
    near = _Near(log, data)
    texts = {item.item_id: item for item in log.catalogue.values()}.get
    return [_request(log, data, place, items, texts, near) for place in drawn.tolist()]


def _request(
    log: CodedLog, data: HeldOutHistories, place: int, items: int, texts: Texts, near: _Near
) -> ReasoningRequest:
    first = int(data.histories.starts[place])
    places = np.arange(max(first, place - items), place)
    rows, times = data.histories.items[places], log.ts[data.rows[places]]
    past = tuple(
        past_item(texts, log.item_ids[item], ts, 1.0) for item, ts in zip(rows.tolist(), times.tolist(), strict=True)
    )
    related = tuple(one for item in dict.fromkeys(rows.tolist()) for one in near.related(first, item))
    user_id = log.user_ids[log.users[data.rows[place]]]
    return ReasoningRequest(user_id, past[-1].ts, -1, place - first, past, related)


class _Near:
    """Items near an item, counted over what is learned of all users but the one that is asked about."""

    def __init__(self, log: CodedLog, data: HeldOutHistories) -> None:
        events = data.histories.items.astype(np.int32)
        self._ids = log.item_ids
        self._firsts = np.unique(data.histories.starts)
        held: NDArray[np.int64] = np.zeros(len(events), dtype=np.int64)
        held[data.validation] = held[data.tests] = 1
        borders = np.append(self._firsts, len(events))
        alphabet = np.empty(len(self._ids), np.int32)
        alphabet[sorted(range(len(self._ids)), key=self._ids.__getitem__)] = np.arange(len(self._ids))
        learned = np.diff(borders) - np.add.reduceat(held, self._firsts)
        self._counted = CountedNeighbours.of(Histories(events, borders), alphabet, counted=learned)

    def related(self, first: int, item: int) -> list[Related]:
        """To an item row, for the user whose history begins at place ``first``."""
        others, strengths = self._counted.near(int(np.searchsorted(self._firsts, first)), item)
        pairs = zip(others[:NEAR].tolist(), strengths[:NEAR].tolist(), strict=True)
        return [Related(self._ids[item], self._ids[other], "together", strength) for other, strength in pairs]


class Called(NamedTuple):
    """One question that was asked."""

    kind: str
    spent: Spent
    fit: bool
    """Whether an answer came that fits its form."""


class Played(NamedTuple):
    """How far the recorded answers go."""

    graphs: list[ReasoningGraph]
    """Of the users whose questions are all answered, in the order of the requests."""
    waiting: list[str]
    """The other users."""
    questions: list[Prompt]
    """What is to be asked next, those of one kind together: a model in this process reads their common part once."""
    figures: Figures


@dataclass(frozen=True)
class Recording:
    """Answers of one model in a cache file, with the questions that it had no fit answer to: a replay needs both."""

    cache: AnswerCache
    model_id: str
    name: ProducerName
    texts: Texts
    matcher: Matcher
    encoder: TextEncoder
    settings: ReasoningSettings = field(default_factory=ReasoningSettings)

    async def play(self, requests: Sequence[ReasoningRequest]) -> Played:
        """Take all users, in this order, as far as the answers go, with a knowledge base that begins empty."""
        answers = _Kept(self.cache, self.model_id)
        reasoner = LlmReasoner(answers, name=self.name, settings=self.settings)
        knowledge = KnowledgeBase(Store(None, KNOWLEDGE_BYTES), self.model_id, reasoner.prompt_version)
        builder = ChainBuilder(
            reasoner,
            self.texts,
            settings=self.settings,
            matcher=self.matcher,
            knowledge=knowledge,
            encoder=self.encoder,
            clock=lambda: 0.0,
        )
        done = await play_round(requests, builder)
        questions = sorted(answers.missing, key=lambda prompt: prompt.kind)
        return Played(done.graphs, done.waiting, questions, builder.figures)

    async def ask(self, prompt: Prompt, answerer: Answerer, repairs: int) -> Called:
        """Put a question to ``answerer`` and keep the answer, or that there is none that fits after all repairs.

        Raises :class:`LlmError` for anything else.
        """
        try:
            answer = await RepairingAnswerer(answerer, repairs).answer(prompt)
        except LlmError as error:
            if error.code != "invalid_answer":
                raise
            await asyncio.to_thread(self.cache.store.put, _unfit(self.model_id, prompt), b"", prompt.owner)
            return Called(prompt.kind, Spent(), False)
        await asyncio.to_thread(self.cache.put, self.model_id, prompt, answer.text)
        return Called(prompt.kind, answer.spent, True)


class _Kept(CollectingAnswerer):
    """Gives what was recorded, also that a question had no fit answer."""

    def __init__(self, cache: AnswerCache, model_id: str) -> None:
        super().__init__(cache, model_id)
        self._store = cache.store

    async def answer(self, prompt: Prompt) -> Answer:
        """Raises :class:`LlmError` (``invalid_answer``, ``not_recorded``)."""
        if self._store.get(_unfit(self.model_id, prompt)) is not None:
            raise LlmError("invalid_answer", f"{self.model_id} had no fit answer to this {prompt.kind}", retry=False)
        return await super().answer(prompt)


def _unfit(model_id: str, prompt: Prompt) -> str:
    return f"unfit/{cache_key(model_id, prompt)}"
