"""Which answers count as the same, and what is kept."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from profile_requests import request

from llm_workers.answers import checked
from llm_workers.cache import AnswerCache, CachedAnswerer, RecordedAnswerer, cache_key
from llm_workers.prompts.profile import profile_prompt
from llm_workers.protocols import Answer, LlmError, Prompt, Spent

GOOD = json.dumps({"segment": ["nail lover"], "interests": [], "categories": [], "brands": []})


def prompt(title: str = "Red polish", user_id: str = "u") -> Prompt:
    made = profile_prompt(request(title, user_id=user_id))
    assert made is not None
    return made


class Says:
    """An answerer that counts."""

    model_id = "m"

    def __init__(self, text: str = GOOD) -> None:
        self.text, self.asked = text, 0
        self.before = asyncio.Event()
        self.before.set()

    async def answer(self, prompt: Prompt) -> Answer:
        self.asked += 1
        await self.before.wait()
        return Answer(self.text, "m", Spent(1, 1, 1.0, 1.0))


def test_the_key_is_model_version_and_content_and_not_the_owner() -> None:
    one = prompt()
    assert cache_key("m", one) == cache_key("m", prompt(user_id="other"))
    changes = [{"version": "v2"}, {"user": "x"}, {"system": "x"}, {"schema": {}}, {"max_tokens": 1}, {"kind": "x"}]
    keys = {cache_key("m", msgspec.structs.replace(one, **change)) for change in changes}
    keys |= {cache_key("m", one), cache_key("m2", one)}
    assert len(keys) == len(changes) + 2
    assert all(len(key) == 40 for key in keys)
    assert cache_key("m", one) == "f3d644a35c958ad0cd119541b0f477a36c3475c6", "caches that exist must go on to serve"


def test_an_answer_is_asked_for_once_and_free_afterwards(tmp_path: Path) -> None:
    async def work() -> None:
        says = Says()
        for _ in range(2):
            cache = AnswerCache(tmp_path / "cache.sqlite", 10**6)
            answers = [await CachedAnswerer(says, cache, checked).answer(prompt()) for _ in range(2)]
            cache.close()
        assert says.asked == 1
        assert [(answer.text, answer.cached, answer.spent) for answer in answers] == [
            (GOOD.replace(": ", ":").replace(", ", ","), True, Spent())
        ] * 2

    asyncio.run(work())


def test_an_answer_that_does_not_fit_is_not_kept() -> None:
    async def work() -> None:
        cache = AnswerCache(None, 10**6)
        with pytest.raises(LlmError, match="no JSON object"):
            await CachedAnswerer(Says("garbage"), cache, checked).answer(prompt())
        assert cache.figures()["entries"] == 0

    asyncio.run(work())


def test_a_cached_text_that_does_not_fit_is_asked_for_again() -> None:
    async def work() -> None:
        cache, says = AnswerCache(None, 10**6), Says()
        cache.put("m", prompt(), "a foreign file's garbage")
        answer = await CachedAnswerer(says, cache, checked).answer(prompt())
        assert (answer.cached, says.asked) == (False, 1)
        assert (await CachedAnswerer(says, cache, checked).answer(prompt())).cached

    asyncio.run(work())


def test_who_is_forgotten_while_a_model_thinks_is_not_remembered_by_its_answer() -> None:
    async def work() -> None:
        cache, says = AnswerCache(None, 10**6), Says()
        says.before.clear()
        asked = asyncio.create_task(CachedAnswerer(says, cache, checked).answer(prompt()))
        while not says.asked:
            await asyncio.sleep(0.001)
        cache.forget_owner("u")
        says.before.set()
        await asked
        assert cache.figures()["entries"] == 0
        await CachedAnswerer(says, cache, checked).answer(prompt())
        assert cache.figures()["entries"] == 1, "later questions are kept again"

    asyncio.run(work())


def test_recorded_answers_need_no_model() -> None:
    async def work() -> None:
        cache = AnswerCache(None, 10**6)
        cache.put("m", prompt(), GOOD)
        answer = await RecordedAnswerer(cache, "m").answer(prompt())
        assert (answer.text, answer.cached) == (GOOD, True)
        with pytest.raises(LlmError, match="export the job and import its answer") as error:
            await RecordedAnswerer(cache, "another").answer(prompt())
        assert (error.value.code, error.value.retry) == ("not_recorded", False)

    asyncio.run(work())
