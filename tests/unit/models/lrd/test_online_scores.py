"""The compiled sum gives what the network gives, whatever is asked."""

from __future__ import annotations

import itertools

import msgspec
import pytest
import torch
from unit.models.living_parts import LRD, METHOD, MUTE, SHOP, texts

from dyngraph.events import Item
from dyngraph.graph import DynamicGraph
from dyngraph.met import MetItems
from models.lrd.capture import Asked
from models.lrd.config import LrdConfig
from models.lrd.online import OnlineRelations
from models.lrd.values import ItemValues

ITEMS = len(SHOP)
USERS = 5
METHODS = {
    "kda": METHOD,
    "rcf": msgspec.structs.replace(METHOD, recommender="rcf"),
    "without latent relations": msgspec.structs.replace(METHOD, latent=0),
    "many of them": msgspec.structs.replace(METHOD, latent=9, dim=3, heads=1),
}


def randomised(method: LrdConfig, seed: int = 0) -> OnlineRelations:
    """A model whose rows, weights and text parts are arbitrary."""
    graph = DynamicGraph(2, 2, text_dim=method.text_dim)
    graph.item_ids.add([item.item_id for item in SHOP])
    graph.catalogue.put(SHOP)
    graph.texts.put(texts())
    model = OnlineRelations(msgspec.structs.replace(LRD, method=method), graph.texts, MetItems())
    model.grow(USERS, ITEMS + 1)
    torch.manual_seed(seed)
    state = model.state()
    for name, value in state.items():
        if name.startswith("weight.") or name.endswith(".vectors"):
            state[name] = 0.5 * torch.randn_like(value)
            if name.endswith(".vectors"):
                state[name][0] = 0
    model.load_state(state)
    model.follow(graph, torch.arange(1, ITEMS + 1))
    return model


def question(users: int, width: int, seed: int) -> Asked:
    generator = torch.Generator().manual_seed(seed)
    past = torch.randint(1, ITEMS + 1, (users, width), generator=generator)
    known = torch.arange(width) < torch.randint(0, width + 1, (users, 1), generator=generator)
    minutes = (
        torch.rand(users, width, generator=generator)
        * 10 ** torch.randint(0, 7, (users, width), generator=generator).float()
    )
    return Asked(torch.randint(0, USERS, (users,), generator=generator), past * known, minutes * known)


@pytest.mark.parametrize("name", METHODS)
def test_the_loop_is_the_network(name: str) -> None:
    model = randomised(METHODS[name])
    for seed, (users, width, candidates) in enumerate(itertools.product((1, 7), (1, 5), (1, 12))):
        asked = question(users, width, seed)
        items = torch.randint(0, ITEMS + 1, (users, candidates), generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            expected = model.network.scores(model.gathered(asked, items)) * (items > 0)
        found = model.scores(asked, items)
        torch.testing.assert_close(found, expected, rtol=2e-4, atol=2e-4)
        assert not found[items == 0].any()
        assert found[items > 0].abs().max() > 0 if (items > 0).any() else True


def test_a_user_without_past_has_the_own_vector_and_the_bias_alone() -> None:
    model = randomised(METHOD)
    nothing = Asked(torch.tensor([2]), torch.zeros(1, 5, dtype=torch.int64), torch.zeros(1, 5))
    items = torch.arange(1, ITEMS + 1).unsqueeze(0)
    state = model.state()
    own = (model.vectors(items[0]) * state["users.vectors"][2]).sum(1) + state["biases.vectors"][1:, 0]
    torch.testing.assert_close(model.scores(nothing, items)[0], own)
    nobody = nothing._replace(users=torch.tensor([0]))
    torch.testing.assert_close(model.scores(nobody, items)[0], state["biases.vectors"][1:, 0])


def test_contributions_and_the_own_score_make_up_the_whole() -> None:
    model = randomised(METHOD)
    asked = question(6, 4, seed=3)
    items = torch.randint(1, ITEMS + 1, (6,))
    added = model.contributions(asked, items).sum((1, 2))
    alone = model.scores(asked._replace(past=torch.zeros_like(asked.past)), items.unsqueeze(1))[:, 0]
    torch.testing.assert_close(alone + added, model.scores(asked, items.unsqueeze(1))[:, 0], rtol=1e-4, atol=1e-4)


def test_halves_that_grow_without_bound_give_finite_scores() -> None:
    model = randomised(METHOD)
    state = model.state()
    for name in ("weight.posterior.past.weight", "weight.posterior.candidate.weight"):
        state[name] = state[name] * 1e6
    model.load_state(state)
    model._renew(torch.arange(1, ITEMS + 1))
    items = torch.arange(1, ITEMS + 1).repeat(6, 1)
    asked = question(6, 5, seed=1)
    scores = model.scores(asked, items)
    assert torch.isfinite(scores).all()
    with torch.no_grad():
        expected = model.network.scores(model.gathered(asked, items))
    torch.testing.assert_close(scores, expected, rtol=1e-3, atol=1e-3)


def test_an_item_without_text_has_what_was_learned_of_it_and_twins_differ_by_it_alone() -> None:
    model = randomised(METHOD)
    rows = {item.item_id: row for row, item in enumerate(SHOP, start=1)}
    mute, six, seven = rows[MUTE], rows["item-6"], rows["item-7"]
    residuals = model.state()["residuals.vectors"]
    assert model.vectors(torch.tensor([mute]))[0].equal(residuals[mute])
    twins = model.vectors(torch.tensor([six, seven])) - residuals[[six, seven]]
    torch.testing.assert_close(twins[0], twins[1])
    halves = model.candidate_halves(torch.tensor([six, seven]))
    assert halves[0].equal(halves[1])


@pytest.mark.parametrize("name", ["draws", "learn_events", "neighbours", "renew_every", "propose"])
def test_counts_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}=0: use 1 or more"):
        msgspec.structs.replace(LRD, **{name: 0})


def test_only_what_has_changed_in_the_catalogue_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = DynamicGraph(2, 2)
    graph.item_ids.add([item.item_id for item in SHOP])
    graph.catalogue.put(SHOP)
    values, whole = ItemValues(), ItemValues()
    values.grow(ITEMS + 1)
    looked_at: list[Item | None] = []
    plain = values._of
    monkeypatch.setattr(values, "_of", lambda item: looked_at.append(item) or plain(item))  # type: ignore[func-returns-value]
    values.follow(graph)
    assert len(looked_at) == ITEMS
    changed = [msgspec.structs.replace(SHOP[at], brand=f"new {at}") for at in (5, 2)]
    graph.catalogue.put(changed)
    graph.catalogue.put([Item("never met", brand="other")])
    graph.catalogue.remove(SHOP[3].item_id)
    looked_at.clear()
    values.follow(graph)
    assert looked_at == [changed[1], None, changed[0]], "by row, so that codes follow from the log"
    whole.load_state(values.state())
    whole.follow(graph)
    assert whole.codes.equal(values.codes) and len(whole) == len(values)
    values.follow(graph)
    assert len(looked_at) == 3
