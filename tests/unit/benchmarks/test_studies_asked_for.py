"""Benchmarks of hours say what is wrong with what they are asked for before they train anything, in a line."""

from __future__ import annotations

import importlib
import sys
from argparse import ArgumentTypeError
from pathlib import Path

import pytest
from benchmark_logs import BENCHMARKS
from llm_server import LlmServer

from dyngraph.reasoning import ReasoningGraph
from evaluation.profiles import stock
from evaluation.reasoning.recorded import write_graphs


@pytest.fixture(autouse=True)
def _benchmarks_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(stock, "cache_folder", lambda: tmp_path)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Twenty users go round twelve items, an event a day."""
    folder = tmp_path / "log"
    folder.mkdir()
    rows = [f"u{user},i{(user + event) % 12},{(user + event) * 86_400}" for user in range(20) for event in range(6)]
    (folder / "interactions.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    things = [f"i{item},thing {item}" for item in range(12)]
    (folder / "items.csv").write_text("\n".join(["item_id,title", *things]))
    return folder


def said(script: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Status and last line of a script that does not get far."""
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(script).main()
    status = ended.value.code
    if isinstance(status, str):
        return f"1 {status}"
    return f"{status} {capsys.readouterr().err.splitlines()[-1]}"


@pytest.mark.parametrize(
    ("script", "asked", "told"),
    [
        ("reasoning_graphs", "--rows base|magic", "argument --rows: row 'magic' is unknown; use some of: base |"),
        ("reasoning_graphs", "--orders published|foo", "argument --orders: 'foo' is unknown; use some of: publ"),
        ("reasoning_graphs", "--base bert", "argument --base: invalid choice: 'bert'"),
        ("reasoning_graphs", "--text none", "argument --text: invalid choice: 'none'"),
        ("reasoning_graphs", "--seeds 0,x", "argument --seeds: 'x': use a whole number, 0 or more"),
        ("reasoning_graphs", "--device abacus", "argument --device: 'abacus': torch cannot use it here"),
        ("reasoning_graphs", "--users 21", "users: 21 of 20; draw from 1 to 20"),
        ("reasoning_graphs", "--recorded none.msgpack", "none.msgpack: no such file; make it with recorded"),
        ("reasoning_graphs", "--rows base --recorded none.msgpack", "--recorded is read by the row 'reasoning'"),
        ("duorec_beauty", "--models duorec|bert", "argument --models: 'bert' is unknown; use some of: duorec, sasrec"),
        ("duorec_beauty", "--orders foo", "argument --orders: 'foo' is unknown; use some of: published, shuffled"),
        ("duorec_beauty", "--epochs 0", "argument --epochs: '0': use a whole number, 1 or more"),
        ("latent_relations", "--rows kda|foo", "argument --rows: row 'foo' is unknown; use main, text, cont"),
        ("latent_relations", "--seeds 0,", "argument --seeds: '': use a whole number, 0 or more"),
        ("latent_relations", "--lr 0", "argument --lr: '0': use a number above 0"),
        ("latent_relations", "--lambda -1", "weights are 0 or more"),
        ("latent_relations", "--rows kda", "log has 12 items, and a true item is ranked among 99 others; take"),
        ("relation_cost", "--steps 8,0", "argument --steps: '0': use a whole number, 1 or more"),
        ("relation_cost", "--events 100 --steps 51", "--steps 51: the first half of --events 100 must hold"),
        ("relation_cost", "--events 121", "--events 121: log has 120; name no more, or another log"),
        ("recorded_reasoning", "--users 0 --replay", "argument --users: '0': use a whole number, 1 or more"),
        ("recorded_reasoning", "--items 0 --replay", "argument --items: '0': use a whole number, 1 or more"),
        ("recorded_reasoning", "--order foo", "argument --order: invalid choice: 'foo'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_status_2_and_nothing_is_written(
    script: str,
    asked: str,
    told: str,
    log: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    where = [] if script == "relation_cost" else ["--out", "kept"]
    if script == "relation_cost" and "--steps" not in asked:
        asked += " --steps 8"
    line = said(script, ["--data", str(log), *where, *asked.split(" ")], monkeypatch, capsys)
    assert line.startswith(f"2 {script}.py: error: ") and told in line
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    "script", ["reasoning_graphs", "duorec_beauty", "latent_relations", "relation_cost", "recorded_reasoning"]
)
def test_a_log_that_cannot_be_read_is_named(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = said(script, ["--data", "none.csv"], monkeypatch, capsys)
    assert line == f"2 {script}.py: error: none.csv: no such file or folder; check the path"


def test_recorded_graphs_that_belong_nowhere_are_refused_before_training(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger = ReasoningGraph("nobody", 1, -1, 1, (), (), (), b"", "embedded")
    write_graphs(tmp_path / "graphs.msgpack", [stranger])
    asked = ["--recorded", str(tmp_path / "graphs.msgpack"), "--rows", "reasoning", "--text", "random"]
    asked += ["--data", str(log), "--out", str(tmp_path / "rows"), "--bases", str(tmp_path / "bases")]
    line = said("reasoning_graphs", asked, monkeypatch, capsys)
    assert "none of the 1 recorded graphs belongs to the published order, seed 0: {'unknown_user': 1}" in line
    assert {path.suffix for folder in ("rows", "bases") for path in (tmp_path / folder).rglob("*.*")} == {".json"}


def test_a_kept_run_that_cannot_be_read_is_named_before_others_are_trained(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bases").mkdir()
    for suffix in ("json", "ranks"):
        (tmp_path / "bases" / f"sasrec.shuffled.0.{suffix}").write_text("torn")
    asked = ["--data", str(log), "--out", str(tmp_path / "bases")]
    line = said("duorec_beauty", asked, monkeypatch, capsys)
    assert line.startswith("2 ") and "sasrec.shuffled.0.json: holds no figures of a run" in line
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(("status", "told"), [(401, "it does not accept the key"), (500, "answered 500")])
def test_an_endpoint_that_does_not_answer_ends_a_recording_with_its_reason(
    status: int,
    told: str,
    log: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with LlmServer(status=status) as server:
        for name, value in (("MODEL", "m"), ("BASE_URL", server.url), ("ATTEMPTS", "1")):
            monkeypatch.setenv(f"EVERGRAPH_LLM_{name}", value)
        asked = ["--model", "endpoint", "--users", "2", "--data", str(log), "--out", str(tmp_path / "kept")]
        line = said("recorded_reasoning", asked, monkeypatch, capsys)
    assert line.startswith("1 ") and told in line and "the run goes on from what is kept in" in line
    assert not (tmp_path / "kept" / "graphs.msgpack").exists()


def test_arguments_are_taken_once_each() -> None:
    arguments = importlib.import_module("arguments")
    assert arguments.several(arguments.whole(0), ",")("2, 0,2") == [2, 0]
    assert arguments.above_zero("1e-3") == 1e-3
    for text in ("nan", "inf", "x"):
        with pytest.raises(ArgumentTypeError, match="use a number above 0"):
            arguments.above_zero(text)
    assert importlib.import_module("reasoning_graphs").row_name("threshold=50") == "threshold = 50"
