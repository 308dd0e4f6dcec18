from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from reasoning_rig import FixedScores, circling
from rich.console import Console

from evaluation.profiles import stock
from evaluation.reasoning import bases
from evaluation.reasoning.by_name import ByName, weight_of
from evaluation.reasoning.held_out import HeldOutHistories
from evaluation.reasoning.outcomes import Outcomes, Run
from evaluation.reasoning.rows import BASE, ROWS, SEQUENCE, row_named
from evaluation.reasoning.statistical import StatisticalChains
from evaluation.reasoning.study import Study
from evaluation.reasoning.tables import differences_table, figures_table
from evaluation.reasoning.training import Schedule
from models.sequential.config import SequentialConfig


def silent(epoch: int, done: int, updates: int, loss: float) -> None:
    """Tell nobody."""


def never(epoch: int, done: int, updates: int, loss: float) -> None:
    raise AssertionError("a finished run was trained again")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setattr(stock, "cache_folder", lambda: tmp_path)
    monkeypatch.setitem(bases.BASES, "duorec", SequentialConfig(dim=8, inner=16, dropout=0.1))
    return Study(
        circling(users=30),
        "duorec",
        Outcomes(tmp_path / "bases"),
        Outcomes(tmp_path / "rows"),
        StatisticalChains("random"),
        Schedule(epochs=2, batch=64, lr=0.01),
        Schedule(epochs=1, batch=64, lr=0.01),
    )


def test_a_folder_keeps_runs_of_one_log_and_one_text_model_only(tmp_path: Path) -> None:
    Outcomes(tmp_path, {"log": "a", "text model": "minilm"})
    Outcomes(tmp_path, {"log": "a"})
    Outcomes(tmp_path)
    with pytest.raises(ValueError, match=r"made with text model 'minilm', not 'random'.*name another folder"):
        Outcomes(tmp_path, {"log": "a", "text model": "random"})


def test_kept_files_that_are_torn_or_do_not_belong_together_are_named_before_a_run(study: Study) -> None:
    run, other = Run("base, trained on", "published", 0), Run(SEQUENCE.name, "published", 0)
    first = study.run(run, silent)
    study.run(other, silent)
    study.check([run, other, Run("reasoning", "published", 0)])
    figures, ranks = (study.rows.folder / f"base-trained-on.published.0{suffix}" for suffix in (".json", ".ranks"))
    told, kept = figures.read_bytes(), ranks.read_bytes()

    for content in (b"", told[:40], b"{}", b"[1, 2]", b"\xff"):
        figures.write_bytes(content)
        with pytest.raises(
            ValueError, match=rf"{figures.name}: holds no figures of a run .*; delete it to have it made"
        ):
            study.check([run])
    figures.write_bytes(told)
    for content in (b"", b"garbage" * 40, kept[:-8]):
        ranks.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{ranks.name}: cannot be read .*; delete it to have it made again"):
            study.check([run])
    ranks.write_bytes((study.rows.folder / "sequence-graph.published.0.ranks").read_bytes())
    with pytest.raises(ValueError, match=rf"{ranks.name}: holds other ranks than the figures in {figures.name} are of"):
        study.run(run, never)

    for gone in (ranks, figures):
        gone.unlink()
        assert study.run(run, never) == first, "ranked again with the weights that are there"
        assert ranks.read_bytes() == kept and figures.read_bytes() == told

    study.bases.weights(Run("duorec", "published", 0)).unlink()
    with pytest.raises(
        ValueError, match=r"duorec\.published\.0\.safetensors: no such file; delete the \.json of its name"
    ):
        study.check([run])
    with pytest.raises(ValueError, match="row 'magic' is unknown"):
        study.check([Run("magic", "published", 0)])


def test_what_a_folder_was_made_with_is_named_where_it_cannot_be_read(tmp_path: Path) -> None:
    Outcomes(tmp_path, {"log": "a"})
    (tmp_path / "made-with.json").write_text("{")
    with pytest.raises(
        ValueError, match=r"made-with\.json: holds no names and values .*; delete it if the runs beside it"
    ):
        Outcomes(tmp_path, {"log": "a"})
    assert [path.name for path in tmp_path.iterdir()] == ["made-with.json"]


def test_every_row_runs_once_from_the_same_base_and_the_tables_show_four_lines(study: Study) -> None:
    names = [BASE, *(row.name for row in ROWS), "threshold = 50"]
    runs = [study.run(Run(name, "published", 0), silent) for name in names]
    assert [run.row for run in runs] == names
    assert [run.progress["epoch"] for run in runs[1:] if run.weight is None] == [1] * 7
    assert {run.row for run in runs if run.weight is not None} == {row.name for row in ROWS if row.upon}
    again = [study.run(Run(name, "published", 0), never) for name in names]
    assert again == runs
    assert len(list(study.bases.folder.glob("*.json"))) == 1, "one base model for all"
    assert all(0 <= figure <= 1 for run in runs for figure in (*run.masked.values(), *run.unmasked.values()))

    runs.append(study.run(Run(SEQUENCE.name, "shuffled", 0), silent))
    console = Console(record=True, width=160)
    console.print(figures_table("circle", runs, ("DuoRec, as published", (0.0552, 0.0839, 0.0350, 0.0447))))
    console.print(differences_table(study, runs))
    text = console.export_text()
    assert text.count("sequence graph ") >= 4, "two orders, masked and not"
    assert "imagined items without a graph" in text and "0.0447" in text

    found = study.against("reasoning", SEQUENCE.name, "published", [0], masked=False)
    assert found.mean == pytest.approx(runs[4].unmasked["NDCG@10"] - runs[2].unmasked["NDCG@10"])


def test_imagined_items_by_name_add_their_score_to_theirs_and_leave_the_others(study: Study) -> None:
    data = HeldOutHistories.of(study.log, "published", 0)
    chains = StatisticalChains("random")(study.log, data, 30.0)
    places = data.tests[:5]
    plain = np.random.default_rng(0).normal(size=(5, data.n_items + 1))
    added = ByName(FixedScores(plain), chains, 2.0).scores(places).numpy() - plain
    expected = np.zeros_like(plain)
    for row, place in enumerate(places):
        for one in np.flatnonzero(chains.imagined_place == place):
            expected[row, chains.imagined_item[one]] += 2.0 * chains.imagined_score[one] / 100
    assert expected.any()
    np.testing.assert_allclose(added, expected, atol=1e-6)


def test_the_weight_by_name_is_the_one_that_validation_likes_best(study: Study) -> None:
    data = HeldOutHistories.of(study.log, "published", 0)
    chains = StatisticalChains("random")(study.log, data, 30.0)
    level = np.zeros((3 * len(data.validation), data.n_items + 1))
    assert weight_of(FixedScores(level), chains, data.validation, (0.0, 1.0, 2.0)) == 1.0
    assert weight_of(FixedScores(level), chains, data.validation, (0.0, -1.0)) == 0.0


def test_a_row_starts_from_the_best_weights_of_its_base(study: Study) -> None:
    base = study.run(Run(BASE, "published", 0), silent)
    still = Study(study.log, "duorec", study.bases, study.rows, study.build, joint=Schedule(epochs=1, batch=32, lr=0.0))
    assert still.run(Run("base, trained on", "published", 0), silent).unmasked == base.unmasked


def test_rows_without_a_builder_and_unknown_names_are_refused(study: Study) -> None:
    with pytest.raises(ValueError, match=r"row 'magic' is unknown; use some of: base \| base, trained on \|"):
        study.run(Run("magic", "published", 0), never)
    with pytest.raises(ValueError, match="threshold = 0 to 100"):
        row_named("threshold = 101")
    with pytest.raises(ValueError, match="row 'reasoning' reads reasoning graphs; name who builds them"):
        row_named("reasoning").of(study.log, None, None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="base model 'bert' is unknown; use one of: duorec, sasrec"):
        Study(study.log, "bert", study.bases, study.rows).run(Run(BASE, "published", 0), never)
