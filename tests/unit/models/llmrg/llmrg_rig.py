"""Made-up chains, and SR-GNN written as a slow loop."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from models.llmrg.chains import Chains, PlacedChains
from models.llmrg.srgnn import SRGNN
from models.sequential.histories import Histories

N_ITEMS, N_CONCEPTS, TEXT = 25, 5, 6


def made_up(users: int = 12, events: int = 7, seed: int = 0) -> PlacedChains:
    """Random chains: some events go on from an earlier one, some have a concept, some users have nothing imagined."""
    rng = np.random.default_rng(seed)
    n = users * events
    histories = Histories.of(np.repeat(np.arange(users), events), rng.integers(1, N_ITEMS + 1, n))
    known = histories.known(np.arange(n))
    back = 1 + (rng.random(n) * known).astype(np.int64)
    came_from = np.where((known > 0) & (rng.random(n) < 0.7), np.arange(n) - back, -1)
    asked = np.repeat(np.flatnonzero((known > 0) & (np.arange(n) // events % 4 != 3)), 3)
    return PlacedChains(
        histories=histories,
        place=np.arange(n),
        came_from=came_from,
        concept=np.where(rng.random(n) < 0.6, rng.integers(1, N_CONCEPTS + 1, n), 0),
        imagined_place=asked,
        imagined_step=asked - 1 - (rng.random(len(asked)) * known[asked]).astype(np.int64),
        imagined_item=rng.integers(1, N_ITEMS + 1, len(asked)),
        imagined_score=rng.uniform(0, 100, len(asked)).astype(np.float32),
        vectors=np.concatenate([np.zeros((1, TEXT)), rng.normal(size=(N_CONCEPTS, TEXT))]).astype(np.float32),
    )


Node = tuple[str, int]


def slow_edges(chains: Chains, user: int, divergent: bool) -> dict[tuple[Node, Node], float]:
    """A user's edges with their weights, step by step."""
    edges: dict[tuple[Node, Node], float] = {}
    if divergent:
        for at in np.flatnonzero(chains.imagined_user == user):
            pair = (("item", int(chains.item[chains.imagined_step[at]])), ("item", int(chains.imagined_item[at])))
            edges[pair] = max(edges.get(pair, 0.0), float(chains.imagined_score[at]) / 100)
        return edges
    for at in np.flatnonzero(chains.user == user):
        path: list[Node] = [("item", int(chains.item[at]))]
        if chains.concept[at]:
            path.insert(0, ("concept", int(chains.concept[at])))
        if chains.came_from[at] >= 0:
            path.insert(0, ("item", int(chains.item[chains.came_from[at]])))
        edges |= dict.fromkeys(itertools.pairwise(path), 1.0)
    return edges


def slow_vector(network: SRGNN, chains: Chains, user: int, items: Tensor, *, divergent: bool) -> Tensor:
    """SR-GNN's vector of a user's graph, node by node, from a dense adjacency."""
    latest: Node = ("item", int(chains.item[chains.user == user][-1]))
    edges = slow_edges(chains, user, divergent)
    all_items: list[Node] = [] if divergent else [("item", int(row)) for row in chains.item[chains.user == user]]
    nodes = list(dict.fromkeys([latest, *all_items, *(node for pair in edges for node in pair)]))
    n, width = len(nodes), items.shape[1]
    adjacency = torch.zeros(n, n)
    for (source, target), weight in edges.items():
        adjacency[nodes.index(source), nodes.index(target)] = weight
    vectors = torch.from_numpy(chains.vectors)
    concept = network.concept or torch.nn.Identity()
    states = []
    for kind, row in nodes:
        states.append(items[row] if kind == "item" else concept(vectors[row]))
    w_reset, w_keep, w_new = network.from_message.weight.chunk(3)
    b_reset, b_keep, b_new = network.from_message.bias.chunk(3)
    u_reset, u_keep, u_new = network.from_state.weight.chunk(3)
    c_reset, c_keep, c_new = network.from_state.bias.chunk(3)
    for _ in range(network.steps):
        after = []
        for j in range(n):
            into, out = torch.zeros(width), torch.zeros(width)
            for i in range(n):
                if adjacency[i, j]:
                    into = into + adjacency[i, j] / adjacency[:, j].sum() * network.incoming(states[i])
                if adjacency[j, i]:
                    out = out + adjacency[j, i] / adjacency[j].sum() * network.outgoing(states[i])
            a, h = torch.cat([into, out]), states[j]
            reset = torch.sigmoid(w_reset @ a + b_reset + u_reset @ h + c_reset)
            keep = torch.sigmoid(w_keep @ a + b_keep + u_keep @ h + c_keep)
            new = torch.tanh(w_new @ a + b_new + reset * (u_new @ h + c_new))
            after.append(new + keep * (h - new))
        states = after
    last = states[nodes.index(latest)]
    whole = torch.zeros(width)
    for state in states:
        gate = torch.sigmoid(network.of_last.weight @ last + network.of_node.weight @ state + network.of_node.bias)
        whole = whole + network.attention.weight[0] @ gate * state
    return network.answer.weight @ torch.cat([whole, last])
