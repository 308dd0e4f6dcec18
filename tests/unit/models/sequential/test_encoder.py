from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.sequential.base import SequentialModel
from models.sequential.config import SASREC, Contrast, SequentialConfig
from models.sequential.dropout import ByteDropout
from models.sequential.encoder import Block, Encoder
from models.sequential.histories import Batch

N_ITEMS = 30


def some_histories(users: int = 200, longest: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, longest + 1, (users,), generator=drawn)
    sequences = torch.randint(1, N_ITEMS + 1, (users, longest), generator=drawn)
    return sequences * (torch.arange(longest) < lengths[:, None]), lengths


def test_an_encoding_is_that_of_a_plain_transformer_written_out() -> None:
    torch.manual_seed(0)
    encoder = Encoder(width=8, layers=2, heads=2, inner=16, dropout=0.5, longest=6).eval()
    vectors = torch.randn(5, 8)
    states = F.layer_norm(
        vectors + encoder.positions.weight[:5], (8,), encoder.norm.weight, encoder.norm.bias, eps=1e-12
    )
    for block in encoder.blocks:
        assert isinstance(block, Block)
        query, (key, value) = block.query(states), block.key_value(states).chunk(2, dim=1)
        seen = torch.zeros(5, 8)
        for place in range(5):
            for head in (slice(0, 4), slice(4, 8)):
                weights = torch.softmax(key[: place + 1, head] @ query[place, head] / 4**0.5, 0)
                seen[place, head] = weights @ value[: place + 1, head]
        middle = block.attended_norm(states + block.attended(seen))
        states = block.fed_norm(middle + block.narrow(F.gelu(block.widen(middle))))

    torch.testing.assert_close(encoder(vectors[None], torch.tensor([5]))[0], states[-1])


def test_padding_and_company_change_no_encoding() -> None:
    sequences, lengths = some_histories()
    model = SequentialModel(N_ITEMS, SequentialConfig(dim=8)).eval()
    together = model.encode(sequences, lengths)
    for user in (0, 57, 199):
        alone = sequences[user : user + 1, : int(lengths[user])]
        torch.testing.assert_close(model.encode(alone, lengths[user : user + 1])[0], together[user])


def test_what_stands_behind_the_last_item_is_not_read() -> None:
    model = SequentialModel(N_ITEMS, SequentialConfig(dim=8)).eval()
    one = model.encode(torch.tensor([[3, 4, 9, 9]]), torch.tensor([2]))
    other = model.encode(torch.tensor([[3, 4, 1, 2]]), torch.tensor([2]))
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert not torch.allclose(one, model.encode(torch.tensor([[4, 3, 9, 9]]), torch.tensor([2]))), "order is read"


@pytest.mark.parametrize("contrast", ["off", "us_x", "us"])
def test_every_weight_is_reached_by_the_gradient(contrast: Contrast) -> None:
    config = SequentialConfig(dim=8, inner=16, longest=12, contrast=contrast)
    sequences, lengths = some_histories(users=60)
    model = SequentialModel(N_ITEMS, config).train()
    targets = torch.from_numpy(np.random.default_rng(0).integers(1, N_ITEMS + 1, len(lengths)))
    torch.autograd.backward(model.loss(Batch(sequences, lengths, targets, sequences.flip(0), lengths.flip(0))))
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        if name.endswith("key_value.bias"):
            # A constant added to all keys changes no softmax: only the values' half is reached.
            assert parameter.grad[config.dim :].abs().max() > 0
        else:
            assert parameter.grad.abs().max() > 0, name


def test_a_seed_says_which_weights_a_model_starts_with() -> None:
    one, same = (SequentialModel(N_ITEMS, SASREC).items for _ in range(2))
    other = SequentialModel(N_ITEMS, SequentialConfig(seed=1)).items
    torch.testing.assert_close(one, same, rtol=0, atol=0)
    assert not torch.equal(one, other)
    assert one.std().item() == pytest.approx(0.02, rel=0.1)


def test_dropout_drops_its_share_keeps_the_mean_and_rests_outside_of_training() -> None:
    ones = torch.ones(100_000)
    torch.manual_seed(0)
    for rate in (0.5, 0.2):
        dropped = ByteDropout(rate).train()(ones)
        assert (dropped == 0).float().mean().item() == pytest.approx(rate, abs=0.01)
        assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    assert torch.equal(ByteDropout(0.5).eval()(ones), ones)


def test_settings_that_do_not_go_together_are_named() -> None:
    with pytest.raises(ValueError, match="dim=9 cannot be split into heads=2"):
        SequentialConfig(dim=9)
    with pytest.raises(ValueError, match="contrast='all' is unknown; use one of: off, un, su, us, us_x"):
        SequentialConfig(contrast="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="dropout=1"):
        SequentialConfig(dropout=1)
