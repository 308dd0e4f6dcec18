"""LRD on line inside an engine: what it learns from, what reaches what, and that its state is all there is to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor
from unit.dyngraph.small_logs import EVERY_KIND, MINUTE_MS, Event, cut, event, random_log
from unit.models.living_parts import (
    LRD,
    METHOD,
    MUTE,
    TWINS,
    asking,
    copied,
    failing,
    related,
    relation_source,
    relations_of,
)

from dyngraph.engine import Engine
from dyngraph.events import EventType
from dyngraph.state import digest
from models.lrd.capture import Examples, ask
from models.lrd.online import OnlineRelations

LOG = random_log(160, users=6, items=24, seed=3, kinds=EVERY_KIND)


def but(learn: dict[str, Any] | None = None, **method: Any) -> Callable[[], Engine]:
    """Makes an engine with other settings."""
    config = msgspec.structs.replace(LRD, method=msgspec.structs.replace(METHOD, **method), **(learn or {}))
    return lambda: related(config)


def taken(engine: Engine, log: list[Event], size: int = 8) -> Engine:
    for step in cut(log, size):
        engine.step(step)
    return engine


@pytest.mark.parametrize("recommender", ["kda", "rcf"])
def test_what_is_learned_reaches_every_part(recommender: str) -> None:
    engine = but(recommender=recommender)()
    model = relations_of(engine)
    before = {name: value.detach().clone() for name, value in model.network.named_parameters()}
    taken(engine, LOG)
    assert model.learned.updates > 10 and model.learned.skipped == 0
    assert not [name for name, value in model.network.named_parameters() if value.equal(before[name])]
    assert ("decay.coefficient" in before) == (recommender == "kda")
    state, (users, items) = model.state(), engine.graph.sizes()
    for table, rows in (("users", users), ("residuals", items), ("biases", items)):
        moved = state[f"{table}.vectors"].any(1)
        assert moved.tolist() == [False, *[True] * (rows - 1)], f"{table}: all but the null row"


def learned(model: OnlineRelations) -> list[tuple[Examples, Any]]:
    """Examples and finished updates from now on."""
    made: list[tuple[Examples, Any]] = []
    plain = model._gradients

    def noting(graph: Any, examples: Examples, seed: int) -> Any:
        update = plain(graph, examples, seed)
        made.append((examples, update))
        return update

    model._gradients = noting  # type: ignore[method-assign]
    return made


def test_reconstruction_teaches_the_relations_and_the_posterior() -> None:
    """Without it the vectors of relations learn nothing, and the posterior by what it does to scores alone."""

    def gradients(**method: Any) -> dict[str, Tensor]:
        engine = but(**method)()
        made = learned(relations_of(engine))
        taken(engine, LOG[:24])
        return next(update.weights for examples, update in made if (examples.asked.past > 0).any())

    scores, both = gradients(lambda_=0.0), gradients(lambda_=1.0)
    assert "relation" not in scores
    assert both["relation"][0].count_nonzero() == 0, "relation 0 is left out of the reconstruction"
    assert (both["relation"][1:].abs().sum(1) > 0).all()
    for name in ("posterior.project.weight", "posterior.past.weight", "posterior.candidate.weight"):
        assert scores[name].any()
        assert not torch.allclose(scores[name], both[name])


def test_what_is_drawn_was_met_before_by_somebody_and_never_by_the_user() -> None:
    engine = related()
    made = learned(relations_of(engine))
    compared = brought = repeats = 0
    for step in cut(LOG, 8):
        met = {item: int(n) for item, n in zip(engine.graph.item_ids._ids, engine.graph.items.events, strict=True)}
        made.clear()
        ever = {user: set(engine.met.seen(torch.tensor([user])).items.tolist()) for user in range(1, 7)}
        engine.step(step)
        new = {one.item_id for _, one in step} - met.keys()
        brought += len(new)
        for examples, update in made:
            rows, gradient = update.by_row[2]
            asked_for = rows.view(examples.events, -1)
            assert asked_for[:, 0].equal(examples.items), "the true item comes first"
            teaches = gradient.view(examples.events, -1)[:, 1:] != 0
            for place in range(examples.events):
                lately = {*examples.asked.past[place].tolist(), int(examples.items[place])}
                had = lately | ever.get(int(examples.asked.users[place]), set())
                drawn = set(asked_for[place, 1:][teaches[place]].tolist())
                repeats += not set(asked_for[place, 1:].tolist()) - had
                assert not drawn & (had if set(asked_for[place, 1:].tolist()) - had else lately)
                names = {engine.graph.item_ids[row] for row in asked_for[place, 1:].tolist()}
                assert not names & new, "nobody could have been shown it"
                assert all(met[name] > 0 for name in names)
                compared += len(drawn)
    assert compared > 200 and brought > 5 and repeats < compared / 10


def test_examples_wait_until_there_are_enough_and_refusals_are_none() -> None:
    engine = but({"learn_events": 20})()
    model = relations_of(engine)
    engine.step([event(0, "ann", "item-1")])
    engine.step([event(seq, f"user-{seq}", f"item-{seq}") for seq in range(1, 12)])
    assert len(model.state()["waiting.items"]) == 12
    engine.step([event(seq, f"user-{seq}", "item-1", EventType.DISLIKE) for seq in range(12, 30)])
    assert len(model.state()["waiting.items"]) == 12 and model.learned.updates == 0
    engine.step([event(seq, "ann", f"item-{seq % 9}") for seq in range(30, 38)], learn=False)
    assert len(model.state()["waiting.items"]) == 12, "a step that does not learn leaves what waits as it was"
    engine.step([event(seq, "ann", f"item-{seq % 9}") for seq in range(40, 48)])
    assert model.learned.updates == 1 and "waiting.items" not in model.state()


def test_one_event_of_so_many_is_learned_from_by_its_place_in_the_log() -> None:
    for size in (1, 4, 9):
        engine = taken(
            but({"learn_events": 99, "learn_every": 3})(), [event(i, "ann", f"item-{i}") for i in range(18)], size
        )
        kept = relations_of(engine).state()["waiting.items"].tolist()
        assert [engine.graph.item_ids[row] for row in kept] == [f"item-{i}" for i in range(0, 18, 3)], (
            "in steps of any size"
        )


def test_a_question_reads_the_past_as_it_was_at_its_moment() -> None:
    engine = related()
    engine.step([event(0, "ann", "item-1"), event(1, "ann", "item-2"), event(4, "ann", "item-1")])
    asked = ask(relation_source(engine)._history, asking(engine, "ann", "nobody"), 4)
    one, two = engine.graph.item_ids.find(["item-1", "item-2"]).tolist()
    assert asked.past.tolist() == [[one, two, 0, 0], [0] * 4]
    assert asked.minutes.tolist() == [[0, 3, 0, 0], [0] * 4]
    later = engine.graph.horizon.next()._replace(ts=engine.graph.horizon.ts + 5 * MINUTE_MS)
    asked = ask(relation_source(engine)._history, asking(engine, "ann", at=later), 1)
    assert asked.past.tolist() == [[one]] and asked.minutes.tolist() == [[5]]


@pytest.mark.parametrize("steps", [3, 11, 17])
def test_a_restored_state_goes_on_exactly(steps: int) -> None:
    config = msgspec.structs.replace(LRD, learn_events=13)
    whole = related(config)
    parts = list(cut(LOG, 7))
    for step in parts[:steps]:
        whole.step(step)
    # A text that no step has seen yet, and a changed catalogue, are part of what is restored.
    whole.graph.texts.put({"item-2": whole.graph.texts.get("item-9") or b""})
    whole.graph.catalogue.put([msgspec.structs.replace(whole.graph.catalogue.items()[3], brand="another")])
    again = copied(whole, relations=config)
    assert again.digest() == whole.digest()
    assert any(name.startswith("source.relations.model.waiting") for name in whole.state())
    for one in (whole, again):
        one.graph.texts.put({"item-3": one.graph.texts.get("item-8") or b""})
    for step in parts[steps:]:
        first, second = whole.step(step), again.step(step)
        assert (first.ranks["evergraph"] == second.ranks["evergraph"])[
            ~torch.tensor(first.ranks["evergraph"]).isnan()
        ].all()
        assert again.digest() == whole.digest()
    assert again.recommend(["user-1", "user-4"]) == whole.recommend(["user-1", "user-4"])
    assert relation_source(again).table.table == relation_source(whole).table.table is not None


def test_a_failed_step_leaves_no_trace() -> None:
    engine = taken(related(), LOG[:100])
    before, after = failing(engine, LOG[100:108])
    assert after == before
    before, after = failing(engine, [event(900, "newcomer", "item-1"), event(901, "newcomer", "item-2")])
    assert after == before
    other = taken(related(), LOG[:100])
    for one in (engine, other):
        taken(one, LOG[100:])
    assert engine.digest() == other.digest()


def test_a_failed_step_that_brought_an_item_leaves_no_trace() -> None:
    engine = taken(related(), [one for one in LOG if one[1].item_id != "item-20"])
    before, after = failing(engine, [event(900, "user-1", "item-20"), event(901, "user-2", "item-1")])
    assert after == before


def test_an_erased_user_leaves_no_row_and_no_example() -> None:
    engine = taken(but({"learn_events": 30})(), LOG[:76])
    model = relations_of(engine)
    row = int(engine.graph.user_ids.find(["user-2"])[0])
    assert model.state()["users.vectors"][row].any()
    assert (model.state()["waiting.people"] == row).any()
    others = int((model.state()["waiting.people"] != row).sum())
    engine.erase_user("user-2")
    state = model.state()
    assert not state["users.vectors"][row].any() and not state["users.seen"][row]
    assert not (state["waiting.people"] == row).any() and not (state["waiting.users"] == row).any()
    assert len(state["waiting.items"]) == others
    taken(engine, LOG[76:])


def test_what_a_newcomer_did_in_the_first_step_is_erased_too() -> None:
    """The user was ranked as a stranger then, and the example must still be found."""
    engine = but({"learn_events": 100})()
    model = relations_of(engine)
    engine.step([event(0, "ann", "item-1"), event(1, "bob", "item-2")])
    engine.step([event(2, "eve", "item-2"), event(3, "eve", "item-1"), event(4, "ann", "item-2")])
    assert len(model.state()["waiting.items"]) == 5
    engine.erase_user("eve")
    kept = model.state()["waiting.items"].tolist()
    assert kept == engine.graph.item_ids.find(["item-1", "item-2", "item-2"]).tolist()
    engine.erase_user("ann")
    engine.erase_user("bob")
    assert not [name for name in model.state() if name.startswith("waiting")]


def test_users_and_items_may_come_at_any_time() -> None:
    engine = related()
    for number in range(30):
        engine.step([event(3 * number + n, f"user-{number}", f"item-{(number + n) % 24}") for n in range(3)])
    state = relations_of(engine).state()
    users, items = engine.graph.sizes()
    assert (users, items) == (31, 25)
    assert len(state["users.vectors"]) == users and len(state["residuals.vectors"]) == items
    assert len(state["values.table"]) == items and (state["values.table"][1:] > 0).all()
    assert all(torch.isfinite(value).all() for value in state.values() if value.is_floating_point())


def test_a_newcomer_is_scored_by_its_text_and_a_new_text_is_seen() -> None:
    engine = taken(related(), [one for one in LOG if one[1].item_id != "item-20"])
    model = relations_of(engine)
    engine.step([event(900, "user-1", "item-20")], learn=False)
    (row,) = engine.graph.item_ids.find(["item-20"]).tolist()
    with torch.no_grad():
        expected = model.network.bases(model._texts_of(torch.tensor([row])))
    assert not model.state()["residuals.vectors"][row].any()
    torch.testing.assert_close(model.vectors(torch.tensor([row])), expected)
    before = model.vectors(torch.tensor([row])).clone()
    engine.graph.texts.put({"item-20": engine.graph.texts.get("item-9") or b""})
    engine.step([event(901, "user-1", "item-2")], learn=False)
    assert not torch.allclose(model.vectors(torch.tensor([row])), before)


def test_items_without_text_and_twins_are_told_apart_by_what_is_learned() -> None:
    engine = taken(related(), LOG)
    model = relations_of(engine)
    mute, one, other = engine.graph.item_ids.find([MUTE, *TWINS])
    assert not model.state()["from_text"][mute, : METHOD.dim].any()
    assert model.vectors(mute).any(), "a residual of its own"
    assert not torch.allclose(model.vectors(one), model.vectors(other))
    scores = model.scores(
        ask(relation_source(engine)._history, asking(engine, "user-1"), 5), torch.stack((mute, one, other))[None]
    )
    assert torch.isfinite(scores).all()


@pytest.mark.parametrize("where", ["weights", "rows"])
def test_an_update_that_is_not_finite_is_skipped_and_counted(where: str) -> None:
    engine = taken(related(), LOG[:96])
    model = relations_of(engine)
    made = learned(model)
    taken(engine, LOG[96:104])
    _, update = made[-1]
    weights = {name: gradient.clone() for name, gradient in update.weights.items()}
    by_row = list(update.by_row)
    if where == "weights":
        weights["mixing"][0, 0] = torch.nan
    else:
        rows, gradient = by_row[0]
        by_row[0] = rows, gradient * torch.inf
    before = {name: value.clone() for name, value in model.state().items() if name != "updates"}
    model.learn(engine.graph.sizes()[1], weights, by_row)
    assert model.learned.skipped == 1
    assert digest({name: value for name, value in model.state().items() if name != "updates"}) == digest(before)


def test_it_learns_what_follows_what() -> None:
    """Items come in pairs: which pair comes next is anybody's guess, but its first item tells the second."""
    order = torch.randperm(2_000, generator=torch.Generator().manual_seed(5)).tolist()
    log = []
    for turn in range(160):
        pair, user = order[turn] % 12, f"user-{turn % 5}"
        log += [event(2 * turn, user, f"item-{pair}"), event(2 * turn + 1, user, f"item-{pair + 12}")]
    engine = but({"lr": 0.02}, recommender="rcf", history=1)()
    taken(engine, log, 4)
    model = relations_of(engine)
    items = torch.arange(1, engine.graph.sizes()[1]).unsqueeze(0)
    hits = 0
    for pair in range(12):
        engine.step([event(1_000 + pair, "user-1", f"item-{pair}")], learn=False)
        asked = ask(relation_source(engine)._history, asking(engine, "user-1"), 1)
        row = int(engine.graph.item_ids.find([f"item-{pair + 12}"])[0])
        scores = model.scores(asked, items)[0]
        hits += int((scores > scores[row - 1]).sum()) < 2
    assert hits >= 9, "by chance 1 of 12"


def test_a_past_item_is_told_from_drawn_ones_that_the_user_never_met() -> None:
    engine = taken(related(), LOG[:120])
    model = relations_of(engine)
    spared: list[Tensor] = []
    plain = model._loss

    def noting(given: Any, met: Tensor, drawn_past: Tensor, met_past: Tensor) -> Tensor:
        spared.append(met_past)
        loss = plain(given, met, drawn_past, met_past)
        changed = torch.where(met_past.unsqueeze(2), drawn_past + 9, drawn_past)
        assert plain(given, met, changed, met_past).equal(loss), "what the user met teaches nothing"
        return loss

    model._loss = noting  # type: ignore[method-assign]
    taken(engine, LOG[120:])
    assert sum(int(one.sum()) for one in spared) > 30, "six users have met most of 24 items"
    assert all((~one).any() for one in spared)
