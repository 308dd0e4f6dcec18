"""What reasoning costs: counted where the model answers, by the user that it was asked about."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from reasoning_model import GOOD, Model
from reasoning_requests import SHOP, request

from llm_workers.cache import AnswerCache
from llm_workers.prompts.chains import score_prompt
from llm_workers.protocols import LlmError, Spent
from llm_workers.reasoning.builder import ChainBuilder
from llm_workers.reasoning.language import LlmReasoner
from llm_workers.reasoning.metering import MOST_OWNERS, MeteredAnswerer
from llm_workers.reasoning.settings import ReasoningSettings

LINKS_ALONE = ReasoningSettings(chains=0)


def told(spent: Spent) -> tuple[int, int, float, float]:
    return spent.prompt_tokens, spent.completion_tokens, round(spent.seconds, 6), round(spent.usd, 6)


def test_users_at_work_at_the_same_time_are_told_apart_and_the_cache_costs_nothing() -> None:
    model, cache = Model(), AnswerCache(None, 10**7)
    metered = MeteredAnswerer(model)
    made = ChainBuilder(LlmReasoner(metered, cache), SHOP.get, settings=LINKS_ALONE)

    async def both() -> None:
        await asyncio.gather(
            made.graph(request("red", "blue", neighbours=())),
            made.graph(request("shampoo", "rinse", "comb", user_id="berta", neighbours=())),
        )

    asyncio.run(both())
    of = {owner: sum(prompt.owner == owner for prompt in model.asked) for owner in ("anna", "berta")}
    assert 0 < of["anna"] < of["berta"]
    assert told(metered.spent) == pytest.approx(
        (10 * len(model.asked), 2 * len(model.asked), 0.1 * len(model.asked), 0.01 * len(model.asked))
    )
    for owner, asked in of.items():
        assert told(metered.take(owner)) == pytest.approx((10 * asked, 2 * asked, 0.1 * asked, 0.01 * asked))
        assert metered.take(owner) == Spent(), "it is taken once"
    asyncio.run(made.graph(request("red", "blue", neighbours=())))
    assert metered.take("anna") == Spent()
    cache.close()


def test_answers_that_fit_no_form_were_paid_for_too() -> None:
    bad: dict[str, Any] = {"links": [], "users": ["berta"]}
    metered = MeteredAnswerer(Model({"reasoning": [bad, bad, bad, GOOD["reasoning"]]}))
    made = ChainBuilder(LlmReasoner(metered), SHOP.get, settings=LINKS_ALONE)
    asyncio.run(made.graph(request("red", "blue", neighbours=())))
    assert made.figures.invalid_answers == 1
    assert metered.take("anna").prompt_tokens == 30


def test_a_failure_keeps_what_was_paid_before_it() -> None:
    class Failing(Model):
        async def answer(self, prompt: Any) -> Any:
            if prompt.kind == "verification":
                raise LlmError("unavailable", "down", retry=True)
            return await super().answer(prompt)

    metered = MeteredAnswerer(Failing())
    assert metered.model_id == "m"
    made = ChainBuilder(LlmReasoner(metered), SHOP.get, settings=LINKS_ALONE)
    with pytest.raises(LlmError):
        asyncio.run(made.graph(request("red", "blue", neighbours=())))
    assert metered.take("anna").prompt_tokens == 10
    assert json.dumps(told(metered.spent)) == "[10, 2, 0.1, 0.01]"


def test_bills_of_users_whose_graphs_never_come_do_not_pile_up() -> None:
    metered = MeteredAnswerer(Model())
    prompts = [score_prompt("a", "b", owner=f"user {at}") for at in range(MOST_OWNERS + 5)]

    async def ask() -> None:
        for prompt in [*prompts, prompts[-1]]:
            await metered.answer(prompt)

    asyncio.run(ask())
    assert metered.take("user 4") == Spent() != metered.take("user 5")
    assert metered.take(f"user {MOST_OWNERS + 4}").prompt_tokens == 20
    assert metered.spent.prompt_tokens == 10 * (MOST_OWNERS + 6), "the sum forgets nobody"
