"""Graphs of reasons in batches: jobs from a real broker, rounds of export and import until nobody waits."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner
from worker_process import producer

from streams.admin import create_topics
from streams.artefact_messages import LlmJob, PastEntry
from streams.broker import EmbeddedBroker
from streams.cli import app
from streams.cli.options import BadOption
from streams.codec import encode, job_id
from streams.messages import Horizon, ItemMessage, UserMessage

pytestmark = pytest.mark.slow

TITLES = {"tea": "Green tea", "cup": "Tea cup", "pot": "Tea pot", "jug": "Milk jug"}
ANSWERS = {
    "reasoning": {"links": [{"from": 1, "relation": "goes with", "concept": "tea", "reason": "It is for tea."}]},
    "divergence": {"items": [{"name": "Milk jug", "relation": "goes with", "reason": "Some take milk."}]},
    "verification": {"filled": "tea things"},
    "scoring": {"score": 80},
}


def job(user: str, *items: str) -> LlmJob:
    past = tuple(PastEntry(item_id=item, ts_ms=1_000 * place) for place, item in enumerate(items))
    return LlmJob(
        job_id=job_id("reasoning", user, 0, len(items)),
        kind="reasoning",
        entity_id=user,
        entity="user",
        horizon=Horizon(ts_ms=1_000 * len(items), offset=len(items)),
        events=len(items),
        past=past,
    )


def evergraph(*arguments: object, fails: bool = False) -> str:
    if fails:
        with pytest.raises(BadOption) as caught:
            CliRunner().invoke(app, ["llm", *map(str, arguments)], catch_exceptions=False)
        return str(caught.value)
    done = CliRunner().invoke(app, ["llm", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def answered(line: str) -> tuple[str, str]:
    """The kind of a line's question, by the form of its answer, and what a batch service gives back for it."""
    asked = json.loads(line)
    form = asked["body"]["response_format"]["json_schema"]["schema"]["properties"]
    (kind,) = (kind for kind, answer in ANSWERS.items() if answer.keys() == form.keys())
    choice = {"message": {"role": "assistant", "content": json.dumps(ANSWERS[kind])}}
    response = {"status_code": 200, "body": {"choices": [choice]}}
    return kind, json.dumps({"custom_id": asked["custom_id"], "response": response})


def test_rounds_of_export_and_import_finish_every_graph(
    embedded_broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    broker, jobs, answers = embedded_broker.address, tmp_path / "jobs.jsonl", tmp_path / "answers.jsonl"
    create_topics(broker, prefix)
    with producer(broker) as client:
        for item, title in TITLES.items():
            client.send(f"{prefix}items", encode(ItemMessage(item_id=item, title=title)), key=item.encode())
        for one in (job("anna", "tea"), job("anna", "tea", "cup"), job("berta", "pot", "cup", "tea")):
            client.send(f"{prefix}llm-jobs", encode(one), key=one.entity_id.encode())
        client.send(
            f"{prefix}users",
            encode(UserMessage(user_id="anna", attributes={"interests": "vegan food", "diet": "no nuts"})),
            key=b"anna",
        )
        client.flush()
    here = ("--state-dir", tmp_path)
    export = ("export-jobs", "--kind", "reasoning", "--out", jobs, "--model", "big", "--broker", broker)
    told = evergraph(*export, "--prefix", prefix, *here)
    assert re.match(r"2 prompts to .*; 0 graphs finished, 2 users wait: import the answers and export again", told)
    about_anna, about_berta = sorted(jobs.read_text().splitlines(), key=lambda line: "vegan" not in line)
    assert "vegan" in about_anna and "vegan" not in about_berta, "what a user said of themselves is asked with"
    assert "nuts" not in about_anna, "but for what no model is told"
    given_back = evergraph("import-answers", jobs, *here, fails=True)
    assert given_back.startswith(f"{jobs}: nothing in it could be used; it holds the prompts of an export")
    jobs.with_suffix(".png").write_bytes(b"\x89PNG\r\n" * 5)
    assert evergraph("import-answers", jobs.with_suffix(".png"), *here, fails=True).endswith("custom_id and response")
    elsewhere = tmp_path / "nosuch.sqlite"
    assert "there is no such file" in evergraph("import-answers", jobs, "--cache", elsewhere, fails=True)
    assert not elsewhere.exists()
    rounds, kinds = 0, set()
    while "users wait:" in told:
        replies = [answered(line) for line in jobs.read_text().splitlines()]
        kinds |= {kind for kind, _ in replies}
        answers.write_text("".join(f"{reply}\n" for _, reply in replies))
        assert f"{len(replies)} answers kept" in evergraph("import-answers", answers, *here)
        told = evergraph(*export, "--prefix", prefix, *here)
        rounds += 1
        assert rounds < 12
    assert told.startswith("0 prompts") and told.endswith("; 2 graphs finished, 0 users wait\n")
    assert rounds > 3, "later questions depend on earlier answers"
    assert kinds == set(ANSWERS)


def test_reasoning_has_no_log_to_go_along(tmp_path: Path) -> None:
    for arguments, told in (
        (("--kind", "reasoning", "--data", "bundled"), "leave --data out"),
        (("--kind", "relations"), "--kind 'relations': use profile or reasoning"),
    ):
        with pytest.raises(BadOption, match=told):
            evergraph("export-jobs", *arguments, "--out", tmp_path / "x", "--model", "m", "--state-dir", tmp_path)
