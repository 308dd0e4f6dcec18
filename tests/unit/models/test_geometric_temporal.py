from __future__ import annotations

import sys

import torch

from models.geometric_temporal import recurrent


def test_a_snapshot_network_runs_without_the_compiled_packages() -> None:
    network = recurrent().GConvGRU(in_channels=3, out_channels=5, K=2)
    edges = torch.tensor([[0, 1, 2], [1, 2, 0]])
    hidden = network(torch.ones(3, 3), edges)
    again = network(torch.ones(3, 3), edges, H=hidden)
    assert hidden.shape == (3, 5)
    assert not torch.equal(hidden, again)


def test_the_stand_in_is_gone_after_the_import() -> None:
    recurrent()
    module = sys.modules.get("torch_sparse")
    assert module is None or module.__spec__ is not None
