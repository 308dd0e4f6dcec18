from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.sequential.base import SequentialModel
from models.sequential.config import Contrast, SequentialConfig
from models.sequential.histories import Histories, TrainingExamples
from models.sequential.objectives import info_nce, softmax_loss


def test_the_null_item_is_no_candidate() -> None:
    states, items = torch.randn(3, 4), torch.randn(6, 4)
    targets = torch.tensor([1, 5, 2])
    one = softmax_loss(states, items, targets)
    items[0] = 1e6
    torch.testing.assert_close(one, softmax_loss(states, items, targets))
    by_hand = -torch.log_softmax(states @ items[1:].T, 1)[torch.arange(3), targets - 1].mean()
    torch.testing.assert_close(one, by_hand)


def test_its_gradient_is_that_of_the_plain_formula() -> None:
    drawn = torch.Generator().manual_seed(0)
    states = torch.randn(150, 4, generator=drawn, dtype=torch.float64, requires_grad=True)
    items = torch.randn(9, 4, generator=drawn, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(1, 9, (150,), generator=drawn)
    ours = torch.autograd.grad(3 * softmax_loss(states, items, targets), [states, items])
    plain = torch.nn.functional.cross_entropy(states @ items[1:].T, targets - 1)
    for found, expected in zip(ours, torch.autograd.grad(3 * plain, [states, items]), strict=True):
        torch.testing.assert_close(found, expected)


def test_info_nce_is_the_loop_of_the_paper() -> None:
    n, temperature = 4, 0.7
    first, second = torch.randn(n, 3), torch.randn(n, 3)
    both = [*first, *second]
    total = 0.0
    for asked in range(2 * n):
        partner = (asked + n) % (2 * n)
        product = [math.exp(float(both[asked] @ both[other]) / temperature) for other in range(2 * n)]
        negatives = [product[other] for other in range(2 * n) if other not in (asked, partner)]
        assert len(negatives) == 2 * n - 2
        total -= math.log(product[partner] / (product[partner] + sum(negatives)))
    assert info_nce(first, second, temperature).item() == pytest.approx(total / (2 * n), rel=1e-4)


@pytest.mark.parametrize(
    ("contrast", "expected"),
    [("off", 0.0), ("un", 0.3), ("su", 0.2), ("us", 0.5), ("us_x", 0.2)],
)
def test_each_contrast_weighs_its_own_terms(contrast: Contrast, expected: float) -> None:
    # Without dropout and with one and the same history everywhere, all encodings are equal: each term is log(2N - 1).
    config = SequentialConfig(dim=8, dropout=0, contrast=contrast, dropout_weight=0.3, target_weight=0.2)
    histories = Histories.of(np.repeat(np.arange(6), 3), np.tile([1, 2, 3], 6))
    examples = TrainingExamples(histories, np.arange(2, 18, 3), 50)
    model = SequentialModel(3, config).train()
    learned = model.learned(examples.batch(examples.places, np.random.default_rng(0)))
    assert learned.regulariser.item() == pytest.approx(expected * math.log(11), abs=1e-3)


def test_the_other_view_has_the_same_next_item_and_is_another_example() -> None:
    rng = np.random.default_rng(3)
    users = np.repeat(np.arange(40), 6)
    histories = Histories.of(users, rng.integers(1, 12, len(users)))
    places = np.flatnonzero(histories.known(np.arange(len(users))) > 0)
    places = places[places % 6 < 4]
    examples = TrainingExamples(histories, places, 50)
    seen: dict[int, set[int]] = {}
    for _ in range(200):
        for place, other in zip(places.tolist(), examples.another(places, rng).tolist(), strict=True):
            seen.setdefault(place, set()).add(other)
    for place, others in seen.items():
        same = set(places[histories.items[places] == histories.items[place]].tolist())
        assert others == (same - {place} if len(same) > 1 else {place}), "evenly among all others, never held-out ones"
