"""The ranker's gates know minutes from hours, and its learning rate settles."""

from __future__ import annotations

import math

import pytest
import torch
from unit.dyngraph.small_logs import SMALL, fed, random_log, top

from dyngraph.protocols import Feature, Signal
from models.ranker import LEAST_RATE, SETTLING, GatedRanker
from models.system import CONTEXT, SystemConfig, build_engine

FEATURES = (Feature("raises", Signal.RAISES), Feature("learned", Signal.LEARNED), Feature("lowers", Signal.LOWERS))


def away(minutes: float, events: int = 9) -> torch.Tensor:
    """The engine's context of a user with so many events, away for so long."""
    return torch.tensor([[math.log1p(events), math.log1p(minutes / 1440)]]) / 5


def test_a_gate_can_tell_a_minute_from_an_hour() -> None:
    ranker = GatedRanker(FEATURES, CONTEXT)
    with torch.no_grad():
        ranker.slope[CONTEXT] = 1.0
    ones, valid = torch.ones(1, 1, len(FEATURES)), torch.ones(1, 1, dtype=torch.bool)
    learned = [float(ranker.score(ones, away(minutes), valid)[0, 0, 1]) for minutes in (0, 1, 60)]
    assert learned == pytest.approx([0, math.log1p(1) / 10, math.log1p(60) / 10], abs=1e-4)


def test_a_gate_can_tell_an_unknown_user() -> None:
    ranker = GatedRanker(FEATURES, CONTEXT)
    with torch.no_grad():
        ranker.slope[CONTEXT + 1] = 1.0
    ones, valid = torch.ones(1, 1, len(FEATURES)), torch.ones(1, 1, dtype=torch.bool)
    learned = [float(ranker.score(ones, away(0, events), valid)[0, 0, 1]) for events in (0, 1)]
    assert learned == [1.0, 0.0]


def test_the_learning_rate_falls_to_its_floor_and_survives_a_snapshot() -> None:
    def learn(ranker: GatedRanker) -> float:
        features, valid = torch.eye(3).unsqueeze(0), torch.ones(1, 3, dtype=torch.bool)
        before = ranker.bias.detach().clone()
        update = ranker.plan(features, away(1), valid, torch.tensor([0]), torch.tensor([0]))
        assert update is not None
        update.apply()
        return float((ranker.bias.detach() - before).abs().max())

    young = GatedRanker(FEATURES, CONTEXT)
    first = learn(young)
    old = GatedRanker(FEATURES, CONTEXT)
    old.learned = 1_000 * SETTLING
    again = GatedRanker(FEATURES, CONTEXT)
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
