"""The small parts of an LLM worker: what may be acknowledged, what travels, and what is set where."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dyngraph.profiles import UserProfile
from streams.artefact_messages import Cost, LlmJob, PastEntry, Profile
from streams.artefacts import profile_message, user_profile
from streams.codec import decode, encode
from streams.llm.parts import llm_config
from streams.llm.process import llm_settings, work_config
from streams.llm.unfinished import REMEMBERED, Unfinished
from streams.messages import Horizon
from streams.settings import Settings, SettingsError, as_environment, load_settings
from streams.worker.erasures import Erasures


class _Event:
    """An event as Faust hands it over, reduced to what is asked of it."""

    def __init__(self) -> None:
        self.message = SimpleNamespace(offset=0)
        self.acks = 0

    def ack(self) -> bool:
        self.acks += 1
        return True


def _events(count: int) -> list[Any]:
    return [_Event() for _ in range(count)]


# --- acknowledgements -------------------------------------------------------------------------------------------------


def test_a_record_is_acknowledged_when_its_job_is_finished_and_not_before() -> None:
    first, again, later = _events(3)
    unfinished = Unfinished(most=10)
    assert unfinished.take("job", first)
    assert not unfinished.take("job", again), "the job is open: the record waits with the first one"
    unfinished.finish("another")
    assert (first.acks, again.acks, len(unfinished)) == (0, 0, 1)
    unfinished.finish("job")
    assert (first.acks, again.acks, len(unfinished)) == (1, 1, 0)
    assert not unfinished.take("job", later), "it was done a moment ago"
    assert later.acks == 1


def test_after_a_rebalance_old_records_are_not_acknowledged_but_those_that_come_again_are() -> None:
    old, new = _events(2)
    unfinished = Unfinished(most=10)
    unfinished.take("job", old)
    unfinished.forget_records()
    assert not unfinished.take("job", new)
    unfinished.finish("job")
    assert (old.acks, new.acks) == (0, 1)


def test_finished_jobs_are_remembered_up_to_a_bound() -> None:
    unfinished = Unfinished(most=10)
    for number in range(REMEMBERED + 1):
        unfinished.finish(f"job-{number}")
    (event,) = _events(1)
    assert unfinished.take("job-0", event), "long gone: done again, which the cache makes cheap"


def test_no_more_jobs_are_read_than_may_be_open() -> None:
    async def scenario() -> None:
        unfinished = Unfinished(most=2)
        for name, event in zip("ab", _events(2), strict=True):
            await asyncio.wait_for(unfinished.room(), 1)
            unfinished.take(name, event)
        waiting = asyncio.create_task(unfinished.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        unfinished.finish("a")
        await asyncio.wait_for(waiting, 1)

    asyncio.run(scenario())


def test_a_place_for_tombstones_knows_whether_anything_may_have_been_missed(tmp_path: Path) -> None:
    fresh = Erasures(tmp_path, "log")
    assert fresh.begun
    fresh.mark(-1)
    assert not Erasures(tmp_path, "log").begun
    assert Erasures(tmp_path, "log").newest == -1


# --- what travels -----------------------------------------------------------------------------------------------------

JOB = LlmJob(
    job_id="j",
    kind="profile",
    entity_id="u",
    entity="user",
    horizon=Horizon(ts_ms=5, offset=3, partition=2),
    events=4,
    past=(PastEntry(item_id="i", ts_ms=5),),
    erasures=1,
)


def _made(**more: Any) -> UserProfile:
    facets = (("regular",), ("tea", "cups"), (), ("Acme",))
    fields: dict[str, Any] = {"facets": facets, "vectors": bytes(4 * 2 * 3), "producer": "statistical", **more}
    return UserProfile(user_id="u", ts=5, offset=3, events=4, **fields)


def test_a_profile_comes_out_of_its_message_as_it_went_in() -> None:
    made = _made(model_id="counts", prompt_version="counts.v1", created_at=9)
    message = profile_message(made, JOB, vector_model="m", cost=Cost(usd=0.5))
    again = decode(Profile, encode(message))
    assert again == message
    assert (again.horizon, again.erasures, again.source_items, again.vector_width) == (JOB.horizon, 1, ("i",), 3)
    assert user_profile(again, width=3) == made


def test_a_profile_without_vectors_gets_rows_of_zeros_that_weigh_nothing() -> None:
    message = profile_message(_made(vectors=b""), JOB, vector_model="m", cost=Cost())
    assert (message.vector_model, message.vector_width) == ("", 0)
    assert user_profile(message, width=3).vectors == bytes(4 * 2 * 3)


def test_phrases_that_no_reader_would_take_are_mended_before_they_are_published() -> None:
    facets = (("x" * 500, "", "y"), (), (), ())
    message = profile_message(_made(facets=facets), JOB, vector_model="m", cost=Cost())
    assert decode(Profile, encode(message)).segment == ("x" * 200, "y")


# --- settings ---------------------------------------------------------------------------------------------------------


def test_sections_come_from_the_file_and_from_the_environment(tmp_path: Path) -> None:
    config = tmp_path / "evergraph.toml"
    config.write_text('[llm]\nproducer = "endpoint"\nmodel = "small"\nbase_url = "http://localhost:1/v1"\n')
    env = {"EVERGRAPH_LLM_CONCURRENCY": "9", "EVERGRAPH_REFRESH_MIN_EVENTS": "7"}
    settings = load_settings({"llm.cache_path": tmp_path / "c"}, env=env, config=config)
    assert (settings.llm.model, settings.llm.concurrency, settings.refresh.min_events) == ("small", 9, 7)
    assert settings.llm.cache_path == tmp_path / "c"


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"EVERGRAPH_LLM_CONCURRENCY": "many"}, "EVERGRAPH_LLM_CONCURRENCY = 'many'"),
        ({"EVERGRAPH_LLM_TIMEOUT_S": "-1"}, "timeout_s"),
        ({"EVERGRAPH_LLM_PRODUCER": "endpoint"}, "model"),
        ({"EVERGRAPH_REFRESH_MIN_EVENTS": "0"}, "min_events"),
        ({"EVERGRAPH_LLM_PARTITIONS": "0"}, "EVERGRAPH_LLM_PARTITIONS"),
    ],
)
def test_a_bad_setting_of_a_section_is_named(env: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        load_settings(env=env)


def test_an_unknown_setting_of_a_section_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "evergraph.toml"
    config.write_text("[llm]\nmodle = 'x'\n")
    with pytest.raises(SettingsError, match=r"no setting 'llm\.modle'.*llm\.model"):
        load_settings(env={}, config=config)


def test_all_settings_survive_the_way_to_another_process(tmp_path: Path) -> None:
    flags = {
        "state_dir": tmp_path,
        "learn": False,
        "profiles": False,
        "llm.temperature": None,
        "llm.api_key_file": tmp_path / "key",
        "llm.usd_per_million_prompt": 0.25,
        "refresh.growth": 0.5,
    }
    settings = load_settings(flags, env={"EVERGRAPH_LLM_TEMPERATURE": "null"})
    assert settings.llm.temperature is None
    assert load_settings(env=as_environment(settings)) == settings


def test_an_llm_worker_keeps_to_itself_and_shares_its_cache_with_the_command_line(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, http_port=8321)
    own = llm_settings(settings)
    assert own.consumer_group() == "evergraph.evergraph-llm"
    assert (own.state_dir, own.http_port) == (tmp_path / "llm", 0)
    assert llm_config(settings).cache_path == tmp_path / "llm" / "answers.sqlite"
    patient = work_config(settings.llm)
    assert patient.deadline_s > settings.llm.timeout_s * settings.llm.attempts
