"""Training and ranking with LRD off line, and the study that keeps its runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from relation_logs import log_of, shop

from evaluation.coded import CodedLog
from evaluation.relations.gaps import gap_histograms
from evaluation.relations.rows import ROWS
from evaluation.relations.runs import Run, load, path_of, usage_of
from evaluation.relations.study import Study, improvement, spread, table_of, usage_table
from evaluation.relations.tables import shown
from evaluation.relations.training import Budget, against, build, ranks_among, ranks_of_all, train
from evaluation.relations.world import World, check_negatives, world_of
from models.lrd.config import LrdConfig

SMALL = LrdConfig(latent=2, dim=8, heads=2, text_dim=12, n_dft=8, lr=0.02)
BUDGET = Budget(epochs=2, rows=200, batch=100)


@pytest.fixture(scope="module")
def world() -> World:
    return world_of(shop())


@pytest.fixture(scope="module")
def texts(world: World) -> torch.Tensor:
    return torch.randn(world.n_items + 1, 12, generator=torch.Generator().manual_seed(1))


def test_every_parameter_receives_a_gradient(world: World, texts: torch.Tensor) -> None:
    config = msgspec.structs.replace(SMALL, l2=0.0)
    torch.manual_seed(config.seed)
    before = {name: value.detach().clone() for name, value in build(config, world, texts).named_parameters()}
    trained = train(config, world, texts, Budget(epochs=1, rows=400, batch=100))
    moved = {name: (value - before[name]).detach().abs() for name, value in trained.model.named_parameters()}
    assert not [name for name, by in moved.items() if not by.any()]
    assert moved["entities"][1:].sum(1).all()
    assert not moved["entities"][0].any()
    assert moved["users"][1:].sum(1).all()
    assert moved["network.relation"].sum(1).all()
    assert moved["network.decay.coefficient"].sum(0).all()
    assert set(trained.losses) == {"ranking", "reconstruction", "knowledge"}


def test_training_learns_what_there_is_to_learn(world: World, texts: torch.Tensor) -> None:
    config = msgspec.structs.replace(SMALL, gamma=1.0)
    candidates = against(world.everything, world.split.tests, 7)
    untaught = ranks_among(build(config, world, texts), world.split.tests, candidates)
    trained = train(config, world, texts, Budget(epochs=15, rows=400, batch=50, patience=15))
    assert ranks_among(trained.model, world.split.tests, candidates).mean() < 0.6 * untaught.mean()
    assert trained.validation[trained.epoch - 1] == max(trained.validation)
    assert len(trained.validation) == 15


def test_the_same_seed_gives_the_same_ranks_and_another_seed_others(world: World, texts: torch.Tensor) -> None:
    def ranks(seed: int) -> np.ndarray:
        model = train(msgspec.structs.replace(SMALL, seed=seed), world, texts, BUDGET).model
        return ranks_among(model, world.split.tests, against(world.everything, world.split.tests, 0))

    np.testing.assert_array_equal(ranks(1), ranks(1))
    assert (ranks(1) != ranks(2)).any()


def test_training_ends_when_nothing_gets_better(world: World, texts: torch.Tensor) -> None:
    stuck = msgspec.structs.replace(SMALL, lr=0.0)
    trained = train(stuck, world, texts, Budget(epochs=9, rows=100, batch=100, patience=2))
    assert trained.epoch == 1
    assert len(trained.validation) == 3


def test_candidates_are_the_true_item_and_99_distinct_ones_that_the_user_never_meets(world: World) -> None:
    tests = world.split.tests
    candidates = against(world.everything, tests, 0)
    assert candidates.shape == (len(tests), 100)
    assert (candidates[:, 0] == tests.targets).all()
    assert all(len(set(row)) == 100 for row in candidates.tolist())
    assert not world.everything.met(tests.users[:, None], candidates[:, 1:]).any()
    np.testing.assert_array_equal(candidates, against(world.everything, tests, 0))
    assert (candidates != against(world.everything, tests, 1)).any()


def test_which_of_the_candidates_is_the_true_one_changes_no_score(world: World, texts: torch.Tensor) -> None:
    model = train(msgspec.structs.replace(SMALL, posterior_at_inference=True), world, texts, BUDGET).model
    tests, candidates = world.split.tests, against(world.everything, world.split.tests, 0)
    with torch.no_grad():
        scores = model.scores(tests, candidates)
        swapped = model.scores(tests, candidates[:, ::-1].copy())
    torch.testing.assert_close(swapped.flip(1), scores)


def test_equal_scores_share_their_middle_rank(world: World, texts: torch.Tensor) -> None:
    model = build(SMALL, world, texts)
    with torch.no_grad():
        model.entities.zero_()
    ranks = ranks_among(model, world.split.tests, against(world.everything, world.split.tests, 0))
    assert (ranks == 50.5).all()


def test_full_ranking_leaves_out_what_the_user_has_besides(world: World, texts: torch.Tensor) -> None:
    model, tests = train(SMALL, world, texts, BUDGET).model, world.split.tests.take(np.arange(3))
    ranks = ranks_of_all(model, tests, world.everything)
    for place, (user, target) in enumerate(zip(tests.users.tolist(), tests.targets.tolist(), strict=True)):
        one, items = tests.take(np.array([place])), np.arange(1, world.n_items + 1)
        with torch.no_grad():
            scores = model.scores(one, items[None])[0].numpy()
        others = ~world.everything.met(np.full(len(items), user), items)
        assert ranks[place] == 1 + (scores[others] > scores[target - 1]).sum()


def test_decays_can_begin_as_the_observed_gaps(world: World, texts: torch.Tensor) -> None:
    config = msgspec.structs.replace(SMALL, decay_start="gaps", n_dft=32)
    decay = build(config, world, texts).network.decay
    assert decay is not None
    histograms = gap_histograms(world, world.relations(2), 32)
    at = decay(2.0 ** torch.arange(32).float()).detach().T
    torch.testing.assert_close(at, histograms / histograms.amax(1, keepdim=True), atol=1e-3, rtol=0)


def test_texts_of_another_width_are_refused(world: World) -> None:
    with pytest.raises(ValueError, match=r"must be \[1 \+ items, text_dim\] = \[119, 12\]"):
        build(SMALL, world, torch.zeros(119, 13))


def test_usage_counts_the_most_probable_relation_of_each_true_pair(world: World, texts: torch.Tensor) -> None:
    model = build(SMALL, world, texts)
    tests = world.split.tests
    posterior = model.network.posterior
    assert posterior is not None
    with torch.no_grad():
        posterior.project.weight.normal_()
        posterior.past.weight.normal_()
    usage = usage_of(model, tests.past, tests.targets)
    pairs = [(one, target) for past, target in zip(tests.past, tests.targets, strict=True) for one in past if one]
    with torch.no_grad():
        halves = posterior.halves(model.texts)
        q = torch.stack([torch.softmax(halves.past[one] + halves.candidate[other], 0) for one, other in pairs])
    counts = np.bincount(q.argmax(1).numpy(), minlength=len(model.network.relations))
    np.testing.assert_allclose(usage.most_probable, counts / len(pairs))
    np.testing.assert_allclose(usage.mean, q.mean(0).numpy(), rtol=1e-4)
    assert (counts > 0).sum() > 1
    silent = build(msgspec.structs.replace(SMALL, lambda_=0.0), world, texts)
    assert not len(usage_of(silent, tests.past, tests.targets).mean)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    common = msgspec.structs.replace(SMALL, text_dim=384)
    return Study(shop(), "shop", tmp_path, common=common, budget=Budget(epochs=1, rows=100, batch=100, patience=1))


def test_a_run_is_kept_and_not_trained_again(study: Study, tmp_path: Path) -> None:
    told: list[int] = []

    def telling(_row: object, _seed: int) -> object:
        return lambda epochs, _score: told.append(epochs)

    row = ROWS["kda+lrd, random vectors"]
    first = study.run(row, 0, telling)  # type: ignore[arg-type]
    assert told == [1]
    assert study.kept(row, 0)
    assert not study.kept(row, 1)
    assert study.run(row, 0, telling) == first  # type: ignore[arg-type]
    assert told == [1]
    assert first.config.seed == 0
    assert len(first.ranks) == len(first.users) == 60
    assert first.full is not None
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".json", ".safetensors"}


def test_a_kept_run_tells_what_its_relations_are_about(study: Study, tmp_path: Path) -> None:
    row = ROWS["kda+lrd, random vectors"]
    run = study.run(row, 0, lambda _row, _seed: lambda _epochs, _score: None)
    table = study.table(row, 0)
    assert len(table.slots) == run.config.latent == 2
    assert table.dim == run.config.dim
    assert all(slot.pairs for slot in table.slots)
    scores = [pair.score for pair in table.slots[0].pairs]
    assert scores == sorted(scores, reverse=True)
    assert study.table(row, 0) == table
    assert shown("relations", table, shop()).row_count == 2
    base = ROWS["kda"]
    study.run(base, 0, lambda _row, _seed: lambda _epochs, _score: None)
    with pytest.raises(ValueError, match="read no text"):
        study.table(base, 0)
    for weights in tmp_path.rglob("kda-lrd*.safetensors"):
        weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(
        ValueError, match=r"kda-lrd.*\.safetensors: holds no weights .*delete kda-lrd.*\.json beside it"
    ):
        study.table(row, 0)


def test_other_settings_lie_elsewhere_and_a_broken_file_says_so(tmp_path: Path) -> None:
    row = ROWS["kda+lrd"]
    paths = {
        path_of(tmp_path, "shop", row, row.config(SMALL, 0), BUDGET),
        path_of(tmp_path, "shop", row, row.config(SMALL, 1), BUDGET),
        path_of(tmp_path, "shop", row, row.config(msgspec.structs.replace(SMALL, lambda_=1.0), 0), BUDGET),
        path_of(tmp_path, "shop", row, row.config(SMALL, 0), Budget(epochs=3)),
        path_of(tmp_path, "shop", ROWS["kda+lrd, random vectors"], row.config(SMALL, 0), BUDGET),
    }
    assert len(paths) == 5
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    with pytest.raises(
        ValueError, match=r"broken\.json: holds no run of this version .*; delete it to have it made again"
    ):
        load(broken)


def test_a_log_in_which_99_cannot_be_drawn_is_refused_before_anything_is_kept(tmp_path: Path) -> None:
    def refused(log: CodedLog) -> str:
        with pytest.raises(ValueError, match="true item is ranked among 99") as raised:
            Study(log, "shop", tmp_path / "runs", common=SMALL, budget=BUDGET)
        return str(raised.value)

    def taken(user: str, first: int, last: int) -> list[tuple[str, str, float]]:
        return [(user, f"i{item}", float(item)) for item in range(first, last)]

    assert "shop has 99 items" in refused(log_of(taken("ann", 0, 99)))
    told = refused(log_of(taken("ann", 0, 3) + taken("bob", 0, 104)))
    assert "user 'bob' has events with 104 of 104 items, which leaves 0" in told and "such users: 1" in told
    assert "user 'ann' has events with 6 of 104 items, which leaves 98" in refused(
        log_of(taken("ann", 0, 6) + [(f"u{item}", f"i{item}", 9.0) for item in range(6, 104)])
    )
    assert not (tmp_path / "runs").exists()
    # A user of two events is tested on nothing, so what they leave does not matter.
    often, others = (
        [("ann", "i0", float(day)) for day in range(3)],
        [(f"u{item}", f"i{item}", 9.0) for item in range(3, 100)],
    )
    check_negatives(log_of(often + taken("bob", 1, 3) + others))
    with pytest.raises(ValueError, match=r"user 'bob' .* leaves 98"):
        check_negatives(log_of([*often, *taken("bob", 1, 3), ("bob", "i1", 9.0), *others]))


def test_rows_differ_from_their_base_in_what_their_name_says() -> None:
    common = LrdConfig()
    for row in ROWS.values():
        assert row.against is None or row.against in ROWS
        assert row.config(common, 4).seed == 4
    assert not ROWS["kda"].config(common, 0).reads_text
    assert ROWS["kda"].config(common, 0).latent == 0
    released = msgspec.structs.replace(common, recommender="rcf", latent=5, leave_one_latent=False)
    assert ROWS["rcf+lrd"].config(common, 0) == released
    assert ROWS["rcf+lrd, text"].config(common, 0) == msgspec.structs.replace(released, amortised=True)
    assert not ROWS["kda, text"].config(common, 0).reads_text
    equal_k = ROWS["kda+lrd, lambda = 0"].config(common, 0)
    assert equal_k.latent == common.latent
    assert not equal_k.reads_text


def test_text_in_the_vectors_reaches_items_that_nobody_took_and_nothing_else(world: World) -> None:
    texts = torch.zeros(world.n_items + 1, SMALL.text_dim)
    texts[1, 0] = texts[2, 1] = 1.0
    told = build(msgspec.structs.replace(SMALL, amortised=True), world, texts)
    assert told.amortised is not None
    table = told.table()
    expected = told.amortised.weight.T[:2]
    assert torch.allclose(table[1:3] - told.entities[1:3], expected)
    assert torch.equal(table[3:], told.entities[3:])
    table[1].sum().backward()
    gradient = told.amortised.weight.grad
    assert gradient is not None
    assert gradient[:, 0].any()
    assert not gradient[:, 1:].any()


def run_of(row: str, seed: int, ranks: list[float], usage: list[float] | None = None) -> Run:
    return Run(
        "shop", row, seed, SMALL, {}, 3, [0.1], {}, 12.0, list(range(1, len(ranks) + 1)), ranks, None,
        ["together", "latent 1"], usage or [], usage or [], [],
    )  # fmt: skip


def test_an_improvement_is_paired_by_user_and_seed() -> None:
    better = [run_of("kda+lrd", seed, [1.0, 2.0, 50.0]) for seed in (0, 1)]
    base = [run_of("kda", seed, [2.0, 2.0, 50.0]) for seed in (1, 0, 2)]
    found = improvement(better, base)
    assert found is not None
    assert found.mean == pytest.approx((1 - 1 / np.log2(3)) / 3)
    assert found.low >= 0
    assert improvement(better, base[2:]) is None
    with pytest.raises(ValueError, match="not tested on the same users"):
        improvement(better, [run_of("kda", 0, [1.0])])


def test_tables_show_spread_difference_and_collapse() -> None:
    runs = [run_of("kda", 0, [2.0, 9.0]), run_of("kda+lrd", 0, [1.0, 9.0], [0.0, 1.0])]
    shown = table_of("shop", runs)
    assert shown.row_count == 2
    cells = {str(column.header): list(column.cells) for column in shown.columns}
    assert cells["HR@5"] == ["0.5000", "0.5000"]
    assert cells["slots used"] == ["", "1.0"]
    assert cells["NDCG@5 more than"][1].startswith("kda +0.1845")
    assert usage_table("shop", runs).row_count == 1
    assert spread([0.25, 0.35]) == "0.3000 ± 0.0707"


def test_a_folder_of_one_log_or_catalogue_is_not_taken_for_another_s(tmp_path: Path) -> None:
    Study(shop(), "shop", tmp_path, common=SMALL, budget=BUDGET)
    Study(shop(), "shop", tmp_path, common=SMALL, budget=BUDGET)
    Study(shop(seed=1), "shop of others", tmp_path, common=SMALL, budget=BUDGET)
    with pytest.raises(ValueError, match=r"made with log .* name another folder"):
        Study(shop(seed=1), "shop", tmp_path, common=SMALL, budget=BUDGET)
    log = shop()
    renamed = {row: msgspec.structs.replace(item, title="soap") for row, item in log.catalogue.items()}
    with pytest.raises(ValueError, match="made with catalogue"):
        Study(replace(log, catalogue=renamed), "shop", tmp_path, common=SMALL, budget=BUDGET)
