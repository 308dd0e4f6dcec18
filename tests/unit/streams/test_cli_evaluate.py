"""`evergraph evaluate` and `ablate` from the command to the files: figures, resuming, one line for a mistake."""

from __future__ import annotations

import csv
import itertools
import json
import random
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluation import contenders
from streams.cli import main

CHEAP = "popularity,decayed-popularity,markov"
USERS, ITEMS, EVENTS, BASKET = 9, 14, 240, 3

Run = Callable[..., "Done"]


class Done:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log whose ids are hostile to pages, shells and files; users like a part of the items and come in baskets."""
    draw = random.Random(7)
    path = tmp_path / "tiny log.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        write = csv.writer(file).writerow
        write(["user_id", "item_id", "event_type", "ts_ms"])
        ts = 1_300_000_000_000
        for _ in range(EVENTS // BASKET):
            ts += draw.randrange(1, 90_000_000)
            user = draw.randrange(USERS)
            for place in draw.sample(range(5), BASKET):
                write([f"u<{user}>\"'&", f'<i>{(user + place**2) % ITEMS}</i>"', draw.choice(["view", "purchase"]), ts])
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def evergraph(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["evergraph", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Done(int(ended.value.code or 0), printed.out, printed.err)

    return evergraph


def figures(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


PROTOCOLS: dict[str, tuple[str, ...]] = {
    "prequential": ("--mask-seen",),
    "time-split": ("--freeze",),
    "leave-one-out": ("--shuffle-ties",),
    "leave-one-out-sampled": ("--negatives", "5"),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_runs_from_file_to_json(protocol: str, run: Run, log: Path, tmp_path: Path) -> None:
    options = ("--protocol", protocol, *PROTOCOLS[protocol], "--models", CHEAP, "--json", "figures.json")
    done = run("evaluate", str(log), *options)
    assert done.code == 0, done.err
    found = figures(tmp_path / "figures.json")
    assert [model["name"] for model in found["models"]] == CHEAP.split(",")
    assert found["protocol"]["protocol"] == protocol
    for model in found["models"]:
        line = model["lines"]["all"]
        assert line["events"] == found["data"]["evaluated"] > 0
        assert 0 <= line["ndcg_low"] <= line["ndcg"] <= line["ndcg_high"] <= 1
        assert line["ndcg"] <= line["hr"]
        assert f"{line['ndcg']:.4f}".removeprefix("0") in done.out
        assert len(model["curve"]["ndcg"]) == len(model["curve"]["ts"])
    assert [row["other"] for row in found["comparisons"]] == CHEAP.split(",")[1:]
    assert found["comparisons"][0]["model"] == "popularity"
    assert ("Sampled ranking" in done.out) == (protocol == "leave-one-out-sampled")


def test_a_difference_is_that_of_the_two_lines(run: Run, log: Path, tmp_path: Path) -> None:
    run("evaluate", str(log), "--models", CHEAP, "--json", "figures.json")
    found = figures(tmp_path / "figures.json")
    ndcg = {model["name"]: model["lines"]["all"]["ndcg"] for model in found["models"]}
    for row in found["comparisons"]:
        assert row["difference"] == pytest.approx(ndcg[row["model"]] - ndcg[row["other"]])
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["p"] <= row["p_holm"] <= 1


def test_lines_of_kinds_add_up_to_all(run: Run, log: Path, tmp_path: Path) -> None:
    run("evaluate", str(log), "--models", "popularity", "--json", "figures.json")
    lines = figures(tmp_path / "figures.json")["models"][0]["lines"]
    for one, other in (("repeat", "first-time"), ("cold users", "warm users"), ("cold items", "warm items")):
        parts = [lines[kind] for kind in (one, other) if kind in lines and lines[kind]["events"]]
        assert sum(part["events"] for part in parts) == lines["all"]["events"]
        mean = sum(part["events"] * part["ndcg"] for part in parts) / lines["all"]["events"]
        assert mean == pytest.approx(lines["all"]["ndcg"])


def test_the_same_seed_gives_the_same_json_but_for_times(run: Run, log: Path, tmp_path: Path) -> None:
    for out in ("one", "two"):
        sampled = ("--models", CHEAP, "--sample", "60", "--seed", "3", "--out", out, "--json", f"{out}.json")
        assert run("evaluate", str(log), *sampled).code == 0
    one, two = figures(tmp_path / "one.json"), figures(tmp_path / "two.json")
    assert set(one.pop("timings")) == set(two.pop("timings")) == set(CHEAP.split(","))
    assert one == two
    run("evaluate", str(log), "--models", CHEAP, "--sample", "60", "--seed", "4", "--json", "other.json")
    assert figures(tmp_path / "other.json")["models"] != one["models"]


def test_a_finished_model_is_not_run_again_unless_it_is_asked_for(run: Run, log: Path, tmp_path: Path) -> None:
    def written() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in (tmp_path / "kept" / "outcomes").iterdir()}

    command = ("evaluate", str(log), "--out", "kept", "--json", "figures.json")
    run(*command, "--models", "popularity")
    first, times = written(), figures(tmp_path / "figures.json")["timings"]
    done = run(*command, "--models", "popularity,markov")
    assert "popularity: kept from before" in done.err
    assert "markov: kept" not in done.err
    assert written().items() > first.items()
    assert len(written()) == 2
    assert figures(tmp_path / "figures.json")["timings"]["popularity"] == times["popularity"]
    done = run(*command, "--models", "popularity", "--fresh")
    assert "kept from before" not in done.err
    assert all(written()[name] > moment for name, moment in first.items())


def test_other_data_settings_or_seeds_are_no_finished_run(run: Run, log: Path, tmp_path: Path) -> None:
    command = ("evaluate", str(log), "--out", "kept", "--models", "popularity")
    changes = ((), ("--limit", "200"), ("--mask-seen",), ("--k", "5"), ("--warmup", "0.3"), ("--targets", "purchase"))
    for count, options in enumerate(changes, start=1):
        assert "kept from before" not in run(*command, *options).err
        assert len(list((tmp_path / "kept" / "outcomes").iterdir())) == count
    # The window is that of curves, which are drawn from the outcome.
    assert "kept from before" in run(*command, "--window", "20").err


def test_what_is_finished_outlives_ctrl_c(run: Run, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, real = itertools.count(), contenders.run

    def stopped_in_the_second(*arguments: Any, **options: Any) -> Any:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(contenders, "run", stopped_in_the_second)
    done = run("evaluate", str(log), "--models", CHEAP, "--out", "kept")
    assert done.code == 130
    assert "stopped: 1 of 3 models are done and kept in kept; the same command goes on from there" in done.err
    again = run("evaluate", str(log), "--models", CHEAP, "--out", "kept")
    assert again.code == 0
    assert again.err.count("kept from before") == 1


def test_the_command_in_the_report_gives_the_same_figures(run: Run, log: Path, tmp_path: Path) -> None:
    asked = (
        "--only",
        "first-time",
        "--leave-out-group",
        "--warmup",
        "0.05",
        "--sample",
        "9",
        "--targets",
        "purchase,view",
        "--k",
        "5",
    )
    run(
        "evaluate",
        str(log),
        "--models",
        "popularity,own",
        *asked,
        "--limit",
        "220",
        "--window",
        "9",
        "--json",
        "a.json",
    )
    first = figures(tmp_path / "a.json")
    assert str(tmp_path) not in json.dumps(first), "a report names no place of this machine"
    verb, *arguments = shlex.split(first["command"])
    assert verb == "evergraph"
    run(*arguments, "--fresh", "--json", "b.json")
    second = figures(tmp_path / "b.json")
    assert first.pop("timings").keys() == second.pop("timings").keys()
    assert first == second


def test_the_report_shows_the_figures_of_the_json(run: Run, log: Path, tmp_path: Path) -> None:
    done = run("evaluate", str(log), "--models", "popularity,own", "--report", "out", "--json", "figures.json")
    assert done.code == 0, done.err
    assert "report: out/report.html" in done.out
    assert figures(tmp_path / "figures.json") == figures(tmp_path / "out" / "results.json")
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    for model in figures(tmp_path / "figures.json")["models"]:
        assert f"{model['lines']['all']['ndcg']:.4f}" in page
        assert f"{model['lines']['all']['mrr']:.4f}" in page
    assert (tmp_path / "out" / "ndcg.png").exists()
    assert len(list((tmp_path / "out" / "outcomes").iterdir())) == 2


def test_what_was_left_out_of_the_log_is_said(run: Run, log: Path, tmp_path: Path) -> None:
    with log.open("a") as file:
        file.write('u,"",view,1400000000000\n')
    done = run("evaluate", str(log), "--models", "popularity", "--json", "figures.json")
    if done.code == 0:
        assert sum(figures(tmp_path / "figures.json")["data"]["dropped"].values()) == 1
        assert "left out: 1" in done.out
    else:
        assert "item_id" in done.err


def test_trials_tune_baselines_on_events_before_the_counted_ones(run: Run, log: Path, tmp_path: Path) -> None:
    command = ("evaluate", str(log), "--models", "decayed-popularity,markov", "--out", "kept", "--json", "figures.json")
    run(*command)
    plain = figures(tmp_path / "figures.json")["models"][0]["settings"]
    done = run(*command, "--trials", "3")
    assert "kept from before" not in done.err
    tuned = figures(tmp_path / "figures.json")
    settings = tuned["models"][0]["settings"]
    assert settings["tuned_on"] == "events 97 to 120"
    assert settings["tuned_with"] == "3 trials"
    assert plain.keys() < settings.keys()
    assert "--trials 3" in tuned["command"]
    run(*command, "--trials", "3", "--warmup", "0.25")
    assert figures(tmp_path / "figures.json")["models"][0]["settings"]["tuned_on"] == "events 49 to 60"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--models", "popularity,best"), "model 'best' is unknown; use some of: evergraph, popularity"),
        (("--models", "popularity,popularity"), "model 'popularity' is named twice"),
        (("--models", " , "), "--models ' , ': names nothing"),
        (("--models", "evergraph without magic"), "source 'magic' is unknown; use one of: graph"),
        (("--models", "popularity", "--sample", "500"), "sample = 500 is more than the 120 events"),
        (("--models", "popularity", "--sample", "0"), "sample = 0: use 1 or more"),
        (("--models", "popularity", "--trials", "0"), "--trials 0: use 1 or more"),
        (("--models", "own", "--trials", "2", "--warmup", "0"), "trials = 2: needs a warm-up to tune on"),
        (
            ("--models", "own", "--trials", "2", "--protocol", "leave-one-out"),
            "leave-one-out holds events out everywhere",
        ),
        (("--models", "popularity", "--limit", "0"), "--limit 0: use 1 or more"),
        (("--models", "popularity", "--window", "-3"), "--window -3: use 1 or more"),
        (("--models", "popularity", "--k", "0"), "k = 0: use 1 or more"),
        (("--models", "popularity", "--warmup", "1"), "warmup = 1.0 is no share"),
        (("--models", "popularity", "--protocol", "fair"), "protocol 'fair' is unknown; use one of: prequential"),
        (("--models", "popularity", "--only", "new"), "only = 'new' is unknown"),
        (("--models", "popularity", "--targets", "dislike"), "--targets dislike: is never a hit"),
        (("--models", "popularity", "--targets", "hug"), "event_type 'hug' is unknown"),
        (("--models", "popularity", "--targets", "like"), "no event is left to evaluate"),
        (("--models", "popularity", "--freeze"), "--freeze means nothing to --protocol prequential"),
        (("--models", "popularity", "--map", "user_id"), "--map 'user_id': not name=column"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_rule(options: tuple[str, ...], told: str, run: Run, log: Path) -> None:
    done = run("evaluate", str(log), *options)
    assert done.code == 2
    *before, last = done.err.strip().splitlines()
    assert last.startswith("error: ")
    assert told in last
    assert before in ([], ["times are milliseconds since 1970 UTC"]), "besides the note of the reader"


def test_a_missing_file_is_one_line(run: Run) -> None:
    done = run("evaluate", "nowhere.csv", "--models", "popularity")
    assert done.code == 2
    assert "nowhere.csv" in done.err
    assert len(done.err.strip().splitlines()) == 1, done.err


def test_a_damaged_outcome_says_what_to_do(run: Run, log: Path, tmp_path: Path) -> None:
    run("evaluate", str(log), "--models", "popularity", "--out", "kept")
    (kept,) = (tmp_path / "kept" / "outcomes").iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    done = run("evaluate", str(log), "--models", "popularity", "--out", "kept")
    assert done.code == 2
    assert "delete it and run the model again" in done.err
    assert run("evaluate", str(log), "--models", "popularity", "--out", "kept", "--fresh").code == 0


def test_a_source_that_is_unknown_to_ablate_lists_the_known_ones(run: Run, log: Path) -> None:
    done = run("ablate", str(log), "--sources", "magic")
    assert done.code == 2
    assert "source 'magic' is unknown; use one of: graph" in done.err


def test_ablate_compares_the_whole_with_itself_without_each_source(run: Run, log: Path, tmp_path: Path) -> None:
    done = run("ablate", str(log), "--sources", "graph,popularity", "--json", "figures.json")
    assert done.code == 0, done.err
    found = figures(tmp_path / "figures.json")
    assert [row["model"] for row in found["comparisons"]] == ["evergraph", "evergraph"]
    assert [row["other"] for row in found["comparisons"]] == ["evergraph without graph", "evergraph without popularity"]
    assert all(row["margin"] is None for row in found["comparisons"])
    assert found["command"] == "evergraph ablate 'tiny log.csv' --sources graph,popularity"
    done = run("evaluate", str(log), "--models", "evergraph,popularity")
    assert "evergraph: kept from before" in done.err


def test_dynllm_is_taken_apart_row_by_row(run: Run, log: Path, tmp_path: Path) -> None:
    done = run("ablate", "dynllm", str(log), "--rows", "dynllm|tgn|dynllm, mean", "--json", "figures.json")
    assert done.code == 0, done.err
    found = figures(tmp_path / "figures.json")
    assert [row["other"] for row in found["comparisons"]] == ["tgn", "dynllm, mean"]
    assert found["command"] == "evergraph ablate dynllm 'tiny log.csv' --rows 'dynllm|tgn|dynllm, mean'"
    again = run("ablate", "dynllm", str(log), "--rows", "dynllm|tgn|dynllm, mean")
    assert again.err.count("kept from before") == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("dynllm", "LOG", "--rows", "magic"), "'magic' is no row; the rows are: tgn | dynllm"),
        (("dynllm", "LOG", "--sources", "graph"), "use --rows with dynllm"),
        (("LOG", "--rows", "tgn"), "--rows and --answers go with dynllm"),
        (("dynllm", "LOG", "--answers", "a.db"), "--answers and --model go together"),
        (("dynllm", "LOG", "--rows", "dynllm, recorded facets"), "name the cache with the answers"),
        (("dynllm", "LOG", "--answers", "LOG", "--model", "big"), "name 'dynllm, recorded facets' among --rows"),
        (
            ("dynllm", "LOG", "--rows", "dynllm, recorded facets", "--answers", "LOG", "--model", "big"),
            "is no answer cache: it does not begin as an SQLite file does",
        ),
        (
            ("dynllm", "LOG", "--rows", "dynllm, recorded facets", "--answers", "a.db", "--model", "big"),
            "there is no such cache",
        ),
    ],
)
def test_mistakes_with_rows_are_told(run: Run, log: Path, arguments: tuple[str, ...], told: str) -> None:
    done = run("ablate", *(str(log) if word == "LOG" else word for word in arguments))
    assert done.code == 2
    assert told in " ".join(done.err.split())
    assert not list(log.parent.glob("*.broken-*"))


def test_recorded_answers_are_counted_and_must_be_some(run: Run, tmp_path: Path) -> None:
    draw = random.Random(7)
    rows = [f"u{draw.randrange(6)},i{draw.randrange(9)},{1_300_000_000 + 9_000 * n}" for n in range(120)]
    titled = [f"{row},Tea of kind {row.split(',')[1]}" for row in rows]
    log = tmp_path / "titled.csv"
    log.write_text("\n".join(["user_id,item_id,ts,title", *titled]) + "\n")
    jobs, answers, cache = tmp_path / "jobs.jsonl", tmp_path / "answers.jsonl", tmp_path / "a.sqlite"
    exported = run("llm", "export-jobs", "--data", str(log), "--out", str(jobs), "--model", "m", "--cache", str(cache))
    assert exported.code == 0, exported.err
    asked = [json.loads(line)["custom_id"] for line in jobs.read_text().splitlines()]
    text = json.dumps({"segment": ["drinks tea"], "interests": [], "categories": [], "brands": []})
    body = {"choices": [{"message": {"role": "assistant", "content": text}}]}
    ablate = ("ablate", "dynllm", str(log), "--rows", "dynllm, recorded facets", "--answers", str(cache), "--model")

    none = run(*ablate, "m")
    assert none.code == 2
    assert f"{cache}: holds no answer at all; give one that" in none.err

    replies = [{"custom_id": one, "response": {"status_code": 200, "body": body}} for one in asked[::2]]
    answers.write_text("".join(json.dumps(reply) + "\n" for reply in replies))
    assert run("llm", "import-answers", str(answers), "--cache", str(cache)).code == 0
    used = f"{len(replies)} recorded answers used, {len(asked) - len(replies)} profiles counted for want of one"
    for how in ("events/s", "kept from before"):
        done = run(*ablate, "m")
        assert done.code == 0, done.err
        assert f"{how}; {used}" in done.err

    other = run(*ablate, "other")
    assert other.code == 2
    assert f"holds no answer of 'other' to the {len(asked)} prompts asked" in other.err
