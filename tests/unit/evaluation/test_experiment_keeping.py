"""What a kept outcome depends on, and the command that gives it again."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import fields, replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_outcomes import coded_small, outcome, small_log

from dyngraph.events import EventType, Item
from evaluation.coded import coded
from evaluation.experiments import provenance
from evaluation.experiments.command import portable, reproduce
from evaluation.experiments.experiment import Experiment
from evaluation.experiments.keeping import Keeper, fingerprint
from evaluation.experiments.provenance import code_digest, git_revision, log_digest, machine, versions
from evaluation.protocols import Plan
from evaluation.readers.log import InteractionLog


def mark(**changed: object) -> str:
    given_: dict[str, object] = {"log": "l", "plan": Plan(), "code": "c", "options": {"trials": None}}
    contender = str(changed.pop("contender", "blend"))
    return fingerprint(contender, **(given_ | changed))  # type: ignore[arg-type]


def test_everything_that_can_change_an_outcome_changes_its_mark() -> None:
    others = [
        mark(contender="markov"),
        mark(log="m"),
        mark(code="d"),
        mark(options={"trials": 3}),
        mark(options={"batch": 64}),
        *(mark(plan=Plan(**change)) for change in ({"k": 5}, {"seed": 1}, {"mask_seen": True}, {"warmup": 0.4})),
    ]
    assert len({mark(), *others}) == 1 + len(others)
    assert mark() == mark()


def test_a_setting_that_the_protocol_does_not_read_changes_nothing() -> None:
    assert mark(plan=Plan(negatives=5)) == mark()


def test_what_is_kept_is_found_by_its_mark_alone(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path / "deep" / "folder")
    made = outcome(coded_small(), Plan(k=2), "evergraph without graph", (1.0, 2.0))
    assert keeper.find("evergraph without graph", "m1") is None
    keeper.keep("evergraph without graph", "m1", made)
    found = keeper.find("evergraph without graph", "m1")
    assert found is not None
    assert found.rank.tolist() == [1.0, 2.0]
    assert found.settings == made.settings
    assert keeper.find("evergraph without graph", "m2") is None
    assert Keeper(keeper.folder, fresh=True).find("evergraph without graph", "m1") is None


def test_the_digest_of_a_log_sees_every_event_value_and_item() -> None:
    log, walked = small_log(), coded_small()
    first = log_digest(log, walked)

    def digest(frame: pl.DataFrame, items: list[Item] | None = None) -> str:
        changed = InteractionLog("other name", frame, items or [])
        return log_digest(changed, coded(changed))

    assert digest(log.frame) == first, "a name is no data"
    others = {
        digest(log.frame.head(11)),
        digest(log.frame.with_columns(ts=pl.col("ts") + 1)),
        digest(log.frame.with_columns(item_id=pl.col("item_id") + "x")),
        digest(log.frame.with_columns(event_type=pl.lit(int(EventType.CART), pl.Int8))),
        digest(log.frame.with_columns(value=pl.lit(4.0))),
        digest(log.frame, [Item("a", "title")]),
    }
    assert first not in others
    assert len(others) == 6


@pytest.fixture
def rooms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two modules of ours, one importing the other within a function, and a third that nobody imports."""
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "one.py").write_text(
        '"""Doc."""\nimport numpy\n\ndef f():\n    from models.two import g\n    return g()\n'
    )
    (folder / "two.py").write_text("def g():\n    return 1\n")
    (folder / "three.py").write_text("x = 1\n")
    return folder


def test_the_digest_of_code_follows_imports_and_passes_over_words(rooms: Path) -> None:
    first = code_digest(["models.one"])
    (rooms / "three.py").write_text("x = 2\n")
    (rooms / "one.py").write_text(
        '"""Better words."""\nimport numpy\n\n\ndef f():  # why\n    from models.two import g\n    return g()\n'
    )
    assert code_digest(["models.one"]) == first
    (rooms / "two.py").write_text("def g():\n    return 2\n")
    assert code_digest(["models.one"]) != first


def test_the_digest_of_code_knows_what_a_baseline_is_made_of() -> None:
    assert code_digest(["models.baselines.blend"]) != code_digest(["models.baselines.popularity"])
    closure = provenance._closure(["models.baselines.blend"])
    assert "models.baselines.popularity" in closure
    assert not any(name.startswith("streams") for name in closure)


def test_facts_name_no_host_and_no_path() -> None:
    facts = {**versions(), **machine()}
    host = subprocess.run(["hostname"], capture_output=True, text=True, check=False).stdout.strip()
    assert {"python", "torch", "numpy", "cores"} <= set(facts)
    assert not any("/" in value and value.startswith("/") for value in facts.values())
    assert not host or host not in {word for value in facts.values() for word in value.split()}


def test_the_revision_is_that_of_our_checkout_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    git("init")
    elsewhere = tmp_path / "site-packages" / "evaluation" / "experiments" / "provenance.py"
    elsewhere.parent.mkdir(parents=True)
    monkeypatch.setattr(provenance, "__file__", str(elsewhere))
    assert git_revision() is None, "a repository that does not know our files says nothing of them"


def parsed(command: str) -> dict[str, str]:
    words = shlex.split(command)
    return {word: words[at + 1] if at + 1 < len(words) else "" for at, word in enumerate(words) if word[:2] == "--"}


def test_a_plain_command_names_no_default() -> None:
    from evaluation.contenders import contender_names

    asked = Experiment(data="bundled", contenders=tuple(contender_names()), plan=Plan())
    assert reproduce(asked) == "evergraph evaluate bundled"


@given(
    data=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda text: text[0] not in "/$"),
    k=st.integers(1, 50),
    mask=st.booleans(),
    sample=st.none() | st.integers(1, 10**6),
)
def test_a_shell_reads_the_command_as_it_was_meant(data: str, k: int, mask: bool, sample: int | None) -> None:
    plan = Plan(k=k, mask_seen=mask, sample=sample)
    command = reproduce(Experiment(data=data, contenders=("own",), plan=plan))
    assert shlex.split(command)[:3] == ["evergraph", "evaluate", data]
    options = parsed(command)
    assert ("--mask-seen" in options) == mask
    assert options.get("--sample") == (None if sample is None else str(sample))
    assert options.get("--k", "10") == str(k)


def test_every_setting_of_a_plan_can_be_said_in_a_command() -> None:
    from streams.cli.experiment_options import PLANNED, Options

    assert set(PLANNED) == {spec.name for spec in fields(Plan)}
    assert set(PLANNED) < {spec.name for spec in fields(Options)}
    assert {name: getattr(Options(), name) for name in PLANNED} == {name: getattr(Plan(), name) for name in PLANNED}
    assert replace(Plan(), **{name: getattr(Options(), name) for name in PLANNED}) == Plan()


def test_no_command_names_a_place_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVERGRAPH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert portable("../shared/ml-1m") == "../shared/ml-1m"
    assert portable(str(tmp_path / "logs" / "a.csv")) == "logs/a.csv"
    assert portable("/somewhere/else/a.csv") == "a.csv"
    monkeypatch.setenv("EVERGRAPH_DATA", "/somewhere")
    assert portable("/somewhere/else/a b.csv") == "$EVERGRAPH_DATA/'else/a b.csv'"
    asked = Experiment(data="/somewhere/ml-1m", contenders=("own",), plan=Plan())
    assert "evaluate $EVERGRAPH_DATA/ml-1m" in reproduce(asked)
