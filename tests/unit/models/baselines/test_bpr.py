from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.baselines.bpr import descend

State = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


def state(users: int = 3, items: int = 6, width: int = 4) -> State:
    rng = np.random.default_rng(0)
    shapes = ((users, width), (items, width), (items,))
    users_, items_, bias = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    return users_, items_, bias


def test_a_step_follows_the_gradient_of_equation_4() -> None:
    lr, reg, bias_reg = 0.1, 0.02, 0.03
    before = state()
    user, item, bias = (torch.tensor(part, requires_grad=True) for part in before)
    margin = bias[2] - bias[5] + user[1] @ (item[2] - item[5])
    penalty = reg * (user[1].square().sum() + item[[2, 5]].square().sum()) + bias_reg * bias[[2, 5]].square().sum()
    (-torch.nn.functional.logsigmoid(margin) + penalty / 2).backward()
    after = state()
    descend(*after, np.array([[1, 2]]), np.array([[5]]), np.array([lr, reg, bias_reg], np.float32))
    for part, expected in zip(after, (user, item, bias), strict=True):
        assert expected.grad is not None
        np.testing.assert_allclose(part, (expected - lr * expected.grad).detach().numpy(), rtol=1e-5)


def test_the_negative_is_the_best_of_those_drawn_and_never_the_item_taken() -> None:
    users, items, bias = state()
    bias[:] = [0, 1, 900, 3, 500, 2]
    before = items.copy()
    descend(users, items, bias, np.array([[1, 2]]), np.array([[1, 2, 4, 3]]), np.array([0.1, 0.1, 0], np.float32))
    assert np.flatnonzero((items != before).any(1)).tolist() == [2, 4]


def test_a_draw_of_nothing_but_the_item_taken_teaches_nothing() -> None:
    after = state()
    descend(*after, np.array([[1, 2]]), np.array([[2, 2]]), np.array([0.1, 0.1, 0.1], np.float32))
    for part, before in zip(after, state(), strict=True):
        assert np.array_equal(part, before)


@pytest.mark.parametrize("margin", [1e4, -1e4])
def test_extreme_margins_stay_finite(margin: float) -> None:
    users, items, bias = state()
    bias[2] = margin
    descend(users, items, bias, np.array([[1, 2]]), np.array([[5]]), np.array([0.1, 0.1, 0.1], np.float32))
    assert all(np.isfinite(part).all() for part in (users, items, bias))
