"""The ranker's gradients are right, its signs hold, and its learning rate settles."""

from __future__ import annotations

import pytest
import torch
from unit.dyngraph.small_logs import SMALL, fed, random_log, top

from dyngraph.protocols import Feature, Signal
from models.ranker import LEAST_RATE, REFUSAL, SETTLING, GatedRanker, RankerUpdate
from models.system import SystemConfig, build_engine

FEATURES = (Feature("raises", Signal.RAISES), Feature("learned", Signal.LEARNED), Feature("lowers", Signal.LOWERS))


CONTEXT = torch.tensor([[0.4, 0.1, 0.3, 0.0, 0.5, 0.2]])


@pytest.mark.parametrize("signal", list(Signal))
def test_gradients_are_those_of_the_softmax_loss_weighted_by_rank(signal: Signal) -> None:
    ranker = GatedRanker([Feature(f"f{number}", signal) for number in range(3)], 6)
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(2, 5, 3, generator=generator)
    context, query, place = torch.rand(2, 6, generator=generator), torch.tensor([0, 1, 1]), torch.tensor([2, 0, 4])
    valid = torch.ones(2, 5, dtype=torch.bool)
    valid[0, 4] = False

    def scores(gates: torch.Tensor) -> torch.Tensor:
        return torch.bmm(features, gates.unsqueeze(2)).squeeze(2).masked_fill(~valid, -torch.inf)

    update = ranker.plan(features, context, scores(ranker.gates(context)), query, place)
    assert isinstance(update, RankerUpdate)
    raw = ranker.bias + context @ ranker.slope
    gates = {Signal.RAISES: torch.nn.functional.softplus(raw), Signal.LEARNED: raw}.get(signal, 0 * raw - 20)
    losses = torch.nn.functional.cross_entropy(scores(gates)[query], place, reduction="none")
    assert update.loss == pytest.approx(float(losses.detach().mean()), rel=1e-5)
    order = torch.argsort(scores(ranker.gates(context))[query], dim=1, descending=True)
    ranks = 1 + (order == place.unsqueeze(1)).nonzero()[:, 1]
    weights = 1 / torch.log2(1 + ranks)
    loss = (weights * losses).sum() / weights.sum()
    wanted = torch.autograd.grad(loss, [ranker.bias, ranker.slope], allow_unused=True, materialize_grads=True)
    for found, gradient in zip(ranker.gradients(update.lessons[0]).values(), wanted, strict=True):
        torch.testing.assert_close(found, gradient, rtol=1e-4, atol=1e-6)


def test_only_the_gate_of_a_learned_feature_may_turn() -> None:
    ranker = GatedRanker(FEATURES, 6)
    with torch.no_grad():
        ranker.bias.fill_(-3.0)
    raises, learned, lowers = ranker.gates(CONTEXT)[0].tolist()
    assert raises > 0 > learned
    assert lowers == -REFUSAL


def test_the_learning_rate_falls_to_its_floor_and_survives_a_snapshot() -> None:
    def learn(ranker: GatedRanker) -> float:
        features = torch.eye(3).unsqueeze(0)
        before = ranker.bias.detach().clone()
        update = ranker.plan(features, CONTEXT, torch.zeros(1, 3), torch.tensor([0]), torch.tensor([0]))
        assert update is not None
        update.apply()
        return float((ranker.bias.detach() - before).abs().max())

    young = GatedRanker(FEATURES, 6)
    first = learn(young)
    old = GatedRanker(FEATURES, 6)
    old.learned = 1_000 * SETTLING
    again = GatedRanker(FEATURES, 6)
    again.load_state(old.state())
    assert young.learned == 1
    assert again.learned == old.learned
    assert learn(again) == pytest.approx(LEAST_RATE * first, rel=1e-3)


def test_every_item_is_ranked_where_all_are_candidates() -> None:
    log = random_log(400, users=30, items=120, seed=3)
    engine = fed(log, 16, config=SystemConfig(tgn=SMALL.tgn, candidates="all"))
    assert len(top(engine, "nobody", k=1_000)) == engine.graph.sizes()[1] - 1


def test_all_candidates_cannot_be_had_without_their_source() -> None:
    with pytest.raises(ValueError, match="popularity"):
        build_engine(SystemConfig(candidates="all", without=("popularity",)))
