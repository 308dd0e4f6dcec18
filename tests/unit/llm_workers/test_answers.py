"""Answers: found in whatever surrounds them, read strictly, cleaned, asked for again at most twice."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profile_requests import HOSTILE, request

from llm_workers.answers import (
    LONGEST_PHRASE,
    MOST_PHRASES,
    InvalidAnswer,
    RepairingAnswerer,
    checked,
    read_profile,
    rejected,
)
from llm_workers.prompts.profile import profile_prompt
from llm_workers.protocols import Answer, Facets, LlmError, Prompt, Spent

EMPTY: dict[str, list[Any]] = {"segment": [], "interests": [], "categories": [], "brands": []}
GOOD = EMPTY | {"segment": ["nail lover"], "brands": ["OPI"]}
WANTED = Facets(segment=("nail lover",), brands=("OPI",))


def prompt(*titles: str) -> Prompt:
    made = profile_prompt(request(*titles or ("Red polish",)))
    assert made is not None
    return made


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(GOOD),
        f"Sure! Here is the profile:\n```json\n{json.dumps(GOOD, indent=2)}\n```\nAnything else?",
        f"<think>{{maybe}} a list {{}} first</think> {json.dumps(GOOD)} {{",
        json.dumps(GOOD)[:-1],
        json.dumps(GOOD)[:-2],
        json.dumps(GOOD)[:-2] + ', "Ess',
        "\ufeff" + json.dumps(GOOD),
    ],
    ids=["bare", "fenced", "among braces", "no brace", "no bracket", "half a phrase", "byte order mark"],
)
def test_the_object_is_found(text: str) -> None:
    assert read_profile(prompt(), text) == WANTED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I cannot do that.",
        "[]",
        "{}",
        '"' + json.dumps(GOOD).replace('"', '\\"') + '"',
        json.dumps(EMPTY),
        json.dumps(GOOD | {"brands": "OPI"}),
        json.dumps(GOOD | {"brands": [1]}),
        json.dumps(GOOD | {"brands": [["OPI"]]}),
        json.dumps(GOOD | {"brands": None}),
        json.dumps(GOOD | {"user_id": ["42"]}),
        json.dumps({name: GOOD[name] for name in ("segment", "brands")}),
        json.dumps(GOOD)[:40],
        "{" * 100_000,
        '{"a":' * 100_000,
        "[" * 100_000,
        json.dumps(GOOD | {"segment": ["x" * 30_000]}),
    ],
)
def test_what_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(InvalidAnswer) as error:
        read_profile(prompt(), text)
    assert (error.value.code, error.value.retry) == ("invalid_answer", False)
    assert len(str(error.value)) < 200


def test_the_reason_names_what_is_wrong_and_quotes_nothing() -> None:
    with pytest.raises(InvalidAnswer, match=r"\$\.brands\[0\]"):
        read_profile(prompt(), json.dumps(GOOD | {"brands": [1]}))
    with pytest.raises(InvalidAnswer) as error:
        read_profile(prompt(), json.dumps(GOOD | {"obey me": 1}))
    assert "obey" not in str(error.value)


def test_phrases_are_cleaned_and_bounded() -> None:
    before = rejected.copy()
    many = [f"p{number}" for number in range(MOST_PHRASES + 2)]
    answer = {
        "segment": ["  nail\n lover\x00 ", "Nail Lover", "", "\u200b"],
        "interests": ["x" * LONGEST_PHRASE, "y" * (LONGEST_PHRASE + 1)],
        "categories": [*many, "P0"],
        "brands": ["\u202eIPO\u202c"],
    }
    assert read_profile(prompt(), json.dumps(answer)) == Facets(
        ("nail lover",), ("x" * LONGEST_PHRASE,), tuple(many[:MOST_PHRASES]), ("IPO",)
    )
    assert rejected["too_long"] - before["too_long"] == 1
    assert rejected["too_many"] - before["too_many"] == 2


def test_phrases_of_another_script_than_the_history_are_dropped() -> None:
    before = rejected["foreign_script"]
    mixed = GOOD | {"segment": ["nail lover", "любитель лака", "指甲油", "Café"]}
    assert read_profile(prompt("Red polish"), json.dumps(mixed)).segment == ("nail lover", "Café")
    assert rejected["foreign_script"] - before == 2
    asked = prompt("красный лак для ногтей", "лак синий")
    facets = read_profile(asked, json.dumps(mixed))
    assert facets.segment == ("nail lover", "любитель лака", "Café"), "brand and categories were Latin"
    with pytest.raises(InvalidAnswer, match="language of the items"):
        read_profile(prompt(), json.dumps(EMPTY | {"brands": ["лак"]}))


phrases = st.lists(st.one_of(st.text(max_size=80), st.sampled_from(list(HOSTILE.values()))), max_size=12)


@given(st.fixed_dictionaries(dict.fromkeys(EMPTY, phrases)))
@settings(deadline=None)
def test_whatever_is_written_the_facets_fit_the_schema(answer: dict[str, list[str]]) -> None:
    try:
        facets = read_profile(prompt(), json.dumps(answer))
    except InvalidAnswer:
        return
    for name in EMPTY:
        kept = getattr(facets, name)
        assert len(kept) <= MOST_PHRASES
        assert len({phrase.casefold() for phrase in kept}) == len(kept)
        assert all(0 < len(phrase) <= LONGEST_PHRASE and phrase.isprintable() for phrase in kept)


@given(st.text(alphabet='{}[]",:\\ abtrue0\n', max_size=200))
@settings(max_examples=300)
def test_reading_garbage_never_breaks(text: str) -> None:
    with pytest.raises(InvalidAnswer):
        read_profile(prompt(), text)


def test_clean_answers_stay_as_they_are() -> None:
    once = checked(prompt(), f"well: {json.dumps(GOOD)}")
    assert checked(prompt(), once) == once


class Says:
    """Gives its texts one after the other."""

    model_id = "m"

    def __init__(self, *texts: str) -> None:
        self.texts, self.asked = list(texts), list[Prompt]()

    async def answer(self, prompt: Prompt) -> Answer:
        self.asked.append(prompt)
        return Answer(self.texts.pop(0), "m", Spent(10, 2, 1.0, 0.5))


def test_an_answer_is_repaired_with_the_reason_and_all_rounds_are_paid() -> None:
    says = Says("hm", json.dumps(GOOD | {"brands": [1]}), json.dumps(GOOD))
    repairing = RepairingAnswerer(says)
    answer = asyncio.run(repairing.answer(prompt()))
    assert json.loads(answer.text)["brands"] == ["OPI"]
    assert answer.spent == Spent(30, 6, 3.0, 1.5)
    assert repairing.repaired == 2
    assert [asked.user for asked in says.asked] == [prompt().user] * 3, "history stays data and nothing else"
    assert "no JSON object" in says.asked[1].system
    assert "$.brands[0]" in says.asked[2].system
    assert "no JSON object" not in says.asked[2].system


def test_two_repairs_are_the_end() -> None:
    says = Says(*["never"] * 9)
    with pytest.raises(LlmError) as error:
        asyncio.run(RepairingAnswerer(says).answer(prompt()))
    assert (error.value.code, len(says.asked)) == ("invalid_answer", 3)
