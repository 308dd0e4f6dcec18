from __future__ import annotations

import numpy as np
import pytest
import torch
from llmrg_rig import N_ITEMS, TEXT, made_up, slow_vector

from models.llmrg.fusion import FusionConfig, ReasoningFusion
from models.llmrg.graphs import divergent_graphs, reasoning_graphs
from models.llmrg.srgnn import SRGNN

D = 8
PLACES = np.array([3, 9, 20, 25, 34, 41])
"""Of six users; nothing is imagined for the fourth."""
CONFIGS = (
    FusionConfig(dim=D, text_dim=TEXT),
    FusionConfig(dim=D, text_dim=TEXT, divergence="off"),
    FusionConfig(dim=D, text_dim=TEXT, reasoning=False, divergence="pooled"),
)


def item_table() -> torch.Tensor:
    return torch.randn(1 + N_ITEMS, D, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("steps", [1, 2])
def test_the_network_is_sr_gnn_written_as_a_slow_loop(steps: int) -> None:
    torch.manual_seed(0)
    network, items = SRGNN(D, TEXT, steps), item_table()
    chains = made_up().at(PLACES)
    for make, divergent in ((reasoning_graphs, False), (divergent_graphs, True)):
        graphs = make(chains)
        vectors = network(graphs, items)
        assert graphs.present.tolist() == [True, True, True, not divergent, True, True]
        for user in graphs.present.nonzero().squeeze(1).tolist():
            expected = slow_vector(network, chains, user, items, divergent=divergent)
            torch.testing.assert_close(vectors[user], expected, rtol=1e-4, atol=1e-5)


def test_a_graph_in_company_has_the_vector_that_it_has_alone() -> None:
    torch.manual_seed(0)
    network, items, placed = SRGNN(D, TEXT), item_table(), made_up()
    together = network(reasoning_graphs(placed.at(PLACES)), items)
    for which, place in enumerate(PLACES):
        alone = network(reasoning_graphs(placed.at(np.array([place]))), items)
        torch.testing.assert_close(alone[0], together[which])


@pytest.mark.parametrize("config", CONFIGS)
def test_every_weight_is_reached_by_the_gradient(config: FusionConfig) -> None:
    fusion, items = ReasoningFusion(config), item_table().requires_grad_()
    base = torch.randn(len(PLACES), D, requires_grad=True)
    scores = fusion(base, made_up().at(PLACES), items) @ item_table().T
    torch.autograd.backward(torch.nn.functional.cross_entropy(scores, torch.arange(1, 1 + len(PLACES))))
    for name, parameter in fusion.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    assert base.grad is not None and (base.grad.abs().max(1).values > 0).all()
    assert items.grad is not None and items.grad.abs().max() > 0, "the graphs share the base model's items"


@pytest.mark.parametrize("config", CONFIGS)
def test_the_target_has_no_part_in_its_scores(config: FusionConfig) -> None:
    placed = made_up()
    fusion, items = ReasoningFusion(config).eval(), item_table()
    base = torch.randn(len(PLACES), D)
    before = fusion(base, placed.at(PLACES), items)
    placed.histories.items[PLACES] = 1 + placed.histories.items[PLACES] % N_ITEMS
    torch.testing.assert_close(fusion(base, placed.at(PLACES), items), before, rtol=0, atol=0)


def test_a_user_without_chains_adds_nothing_whatever_was_learned() -> None:
    torch.manual_seed(0)
    fusion, items = ReasoningFusion(CONFIGS[0]), item_table()
    for parameter in fusion.parameters():
        torch.nn.init.normal_(parameter)
    chains = made_up().at(np.array([21, 27]))
    assert fusion.graph_vectors(chains, items)[0][0].abs().max() == 0, "a first event has no step behind it"
    assert fusion.graph_vectors(chains, items)[0][1].abs().max() > 0
    assert fusion.graph_vectors(chains, items)[1].abs().max() == 0, "this user has nothing imagined"
    base = torch.randn(2, D)
    mix = fusion.mix
    torch.testing.assert_close(
        fusion(base, chains, items)[0], mix.weight[:, -D:] @ base[0] + mix.bias, rtol=1e-4, atol=1e-5
    )


def test_the_fusion_starts_as_nearly_the_base_model() -> None:
    base, items = torch.randn(len(PLACES), D), item_table()
    for config in CONFIGS:
        fused = ReasoningFusion(config)(base, made_up().at(PLACES), items)
        assert (fused - base).norm() < 0.3 * base.norm()


def test_pooled_items_are_their_plain_mean() -> None:
    chains, items = made_up().at(PLACES), item_table()
    pooled = ReasoningFusion(CONFIGS[2]).graph_vectors(chains, items)[0]
    for user in range(len(PLACES)):
        rows = chains.imagined_item[chains.imagined_user == user]
        expected = items[rows].mean(0) if len(rows) else torch.zeros(D)
        torch.testing.assert_close(pooled[user], expected)


def test_a_fusion_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="neither reasons nor imagined items are read"):
        FusionConfig(reasoning=False, divergence="off")
    with pytest.raises(ValueError, match="divergence='mean' is unknown; use one of: graph, pooled, off"):
        FusionConfig(divergence="mean")  # type: ignore[arg-type]
