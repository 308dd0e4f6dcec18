from __future__ import annotations

import copy

import numpy as np
from planted_logs import START, basket, tastes

from models.baselines.river_reco import RiverMF


def test_scores_of_all_items_at_once_are_those_that_river_predicts_one_by_one() -> None:
    model = RiverMF(width=8, passes=2)
    for event in tastes(200):
        model.learn(event)
    model.learn(basket(user=1, items=[2, 3], ts=START, sign=-1))
    river = copy.deepcopy(model.model)
    items = range(1, len(model.scores(1, START)))
    assert len(items) > 30
    for user in (1, 7, 30):
        expected = [river.predict_one(user, item) for item in items]
        np.testing.assert_allclose(model.scores(user, START)[1:], expected, rtol=1e-12)


def test_a_user_never_learned_gets_the_biases_alone() -> None:
    model = RiverMF(width=8)
    for event in tastes(200):
        model.learn(event)
    expected = [model.model.global_mean.get() + model.model.i_biases[item] for item in range(1, 30)]
    np.testing.assert_allclose(model.scores(999, START)[1:30], expected, rtol=1e-12)
    assert 999 not in model.model.u_latents
