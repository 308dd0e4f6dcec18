"""DynLLM inside the engine: it learns on line, keeps to the rules of the step, and says why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import torch
from integration.models.profiled import DYNLLM, WIDTH, profiled, vectors_of
from unit.dyngraph.small_logs import EVERY_KIND, SMALL, cut, event, random_log

from dyngraph.engine import Engine, StepResult
from dyngraph.events import Interaction
from dyngraph.profiles import UserProfile
from evaluation.leakage import LeakageError, check_no_future, check_no_label
from llm_workers.protocols import Facets
from models.sources.profiles import ProfileSource
from models.system import SystemConfig, build_engine

LOG = random_log(64, users=5, items=20, seed=5, kinds=EVERY_KIND)
LONG = random_log(240, users=6, items=20, seed=6)


def source_of(engine: Engine) -> ProfileSource:
    (source,) = [source for source in engine.sources if isinstance(source, ProfileSource)]
    return source


@pytest.mark.parametrize("batch", [1, 8])
def test_no_ranking_sees_future_or_label_while_profiles_arrive(batch: int) -> None:
    log = LOG[:12] if batch == 1 else LOG
    assert check_no_future(profiled, log, batch=batch) > 50
    check_no_label(profiled, log, batch=batch)


def test_a_profile_that_counts_too_early_is_caught() -> None:
    def early() -> Engine:
        engine = profiled()
        store = engine.graph.profiles
        kept = store.counting
        # The horizon forgotten: whatever is there counts, for the events it was made from too.
        store.counting = lambda users, ts: kept(users, ts + 10**12)  # type: ignore[method-assign]
        plain = engine.step

        def told_before(events: Sequence[tuple[int, Interaction]], **options: Any) -> StepResult:
            for seq, one in events:
                brands = (f"brand {one.item_id}",)
                (vectors,) = vectors_of([Facets(brands=brands)])
                facets = ((), (), (), brands)
                store.put(UserProfile(one.user_id, one.ts + seq, -1, 1, facets, vectors, "statistical"))
            return plain(events, **options)

        engine.step = told_before  # type: ignore[method-assign]
        return engine

    with pytest.raises(LeakageError):
        check_no_future(early, LOG)
        check_no_label(early, LOG)


def test_what_is_learned_reaches_every_part() -> None:
    engine = profiled()
    model = source_of(engine).model
    before = {name: value.clone() for name, value in model.network.named_parameters()}
    for step in cut(LONG, 8):
        engine.step(step)
    assert model.learned.updates > 10 and model.learned.skipped == 0
    same = [name for name, value in model.network.named_parameters() if torch.equal(value, before[name])]
    # Every item here has a text, so the vector of those without is never asked for.
    assert same == ["no_text"]


def test_it_learns_what_the_catalogue_tells() -> None:
    # Each user sticks to one brand; which items of it come next is anybody's guess.
    log = [
        event(seq, f"user-{seq % 6}", f"item-{(seq * 7 + 3 * (seq // 6) ** 2) % 13 * 3 + seq % 3}")
        for seq in range(900)
    ]
    engine = profiled(msgspec.structs.replace(DYNLLM, lr=0.01))
    source = source_of(engine)
    ranks = []
    for step in cut(log, 6):
        engine.scorers = [source]
        ranks += engine.step(step).ranks["profiles"].tolist()
    late = torch.tensor(ranks[-300:])
    assert float((late <= 14).float().mean()) > 0.9, "13 of 39 items have the user's brand"


def test_a_restored_state_goes_on_exactly() -> None:
    one = profiled()
    for step in cut(LONG[:100], 7):
        one.step(step)
    # A text that no step has seen yet is part of what is restored.
    one.graph.texts.put({"item-2": one.graph.texts.get("item-6") or b""})
    other = build_engine(SystemConfig(tgn=SMALL.tgn, dynllm=DYNLLM))
    other.load_state({name: value.clone() for name, value in one.state().items()})
    other.graph.catalogue.put(one.graph.catalogue.items())
    for graph in (one.graph, other.graph):
        graph.texts.put({"item-3": graph.texts.get("item-5") or b""})
    assert other.digest() == one.digest()
    plain = type(one).step
    for step in cut(LONG[100:], 7):
        first, second = plain(one, step), other.step(step)
        assert (first.ranks["evergraph"] == second.ranks["evergraph"]).all()
    assert other.digest() == one.digest()


def test_a_failed_step_leaves_no_trace() -> None:
    engine = profiled()
    for step in cut(LONG[:96], 8):
        engine.step(step)
    before, plan = engine.digest(), engine.encoder.plan

    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no")

    engine.encoder.plan = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="no"):
        engine.step(LONG[96:104])
    engine.encoder.plan = plan  # type: ignore[method-assign]
    assert engine.digest() == before


def test_an_erased_user_leaves_no_profile_and_no_example() -> None:
    engine = profiled(msgspec.structs.replace(DYNLLM, learn_events=10_000))
    for step in cut(LONG[:60], 6):
        engine.step(step)
    row = int(engine.graph.user_ids.find(["user-2"])[0])
    assert engine.graph.profiles.newest(row) is not None
    model = source_of(engine).model
    assert (model.state()["waiting.asked.users"] == row).any()
    engine.erase_user("user-2")
    assert engine.graph.profiles.newest(row) is None
    assert not (model.state()["waiting.asked.users"] == row).any()


def test_without_the_facet_that_a_reason_names_the_item_scores_less() -> None:
    engine = profiled(msgspec.structs.replace(DYNLLM, lr=0.02))
    for step in cut(LONG, 8):
        engine.step(step)
    source, model = source_of(engine), source_of(engine).model
    lists = engine.recommend([f"user-{n}" for n in range(6)], k=10)
    told = 0
    for made in lists:
        for item in made.items:
            facet = next((reason for reason in item.reasons if reason.startswith("facet: ")), None)
            if facet is None:
                continue
            told += 1
            sayings = ("belongs with", "is interested in", "prefers", "favours brand")
            (number,) = [n for n, saying in enumerate(sayings) if saying in facet]
            row = engine.graph.item_ids.find([item.item_id])
            user = engine.graph.user_ids.find([made.user_id])
            at = engine.graph.horizon.next()
            queries = engine._rank([made.user_id], user, torch.tensor([at.ts]), torch.tensor([at.seq])).queries
            asked = model.asked(engine.graph, queries)
            whole, less = (
                model.logits(engine.graph, asked)[0, row],
                model.logits(engine.graph, asked, dropped=number)[0, row],
            )
            assert float(less) < float(whole)
            profile = engine.graph.profiles.newest(int(user), at.ts)
            assert profile is not None
            assert f"from {profile.events} events" in facet
            assert any(phrase in facet for phrase in profile.facets[number])
    assert told > 5
    assert source.name in {item.source for made in lists for item in made.items}


def test_new_texts_are_seen_and_cold_items_are_scored_by_theirs() -> None:
    engine = profiled()
    for step in cut(LONG, 8):
        engine.step(step)
    model = source_of(engine).model
    row = engine.graph.item_ids.find(["item-4"])
    before = model.state()["statics"][row].clone()
    engine.graph.texts.put({"item-4": engine.graph.texts.get("item-9") or b""})
    engine.step([event(999, "user-1", "item-7")])
    after = model.state()["statics"]
    assert not torch.equal(after[row], before)
    # Items that nobody has touched twice still have the half that their text gives them.
    engine.step([event(1000, "user-1", "item-33")])
    new = engine.graph.item_ids.find(["item-33"])
    expected = model.network.statics(model.texts_of(new))
    torch.testing.assert_close(model.state()["statics"][new], expected)


def test_a_store_of_another_width_takes_nothing() -> None:
    engine = profiled()
    assert engine.graph.texts.put({"item-1": bytes(2 * WIDTH + 2)}) == 0


def test_a_step_without_profiles_is_a_step_as_before() -> None:
    engine = build_engine(SMALL)
    assert not any(isinstance(source, ProfileSource) for source in engine.sources)
    assert not [name for name in engine.state() if "profiles" in name or "texts" in name]
