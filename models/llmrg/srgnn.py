"""SR-GNN over reasoning graphs: one vector per user who has a graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.llmrg.graphs import GraphBatch


class SRGNN(nn.Module):
    """Wu et al., "Session-based Recommendation with Graph Neural Networks", AAAI 2019, equations 1 to 7.

    Per step, with the column- and row-normalised adjacencies: ``a = [A_in (H W_in + b) ‖ A_out (H W_out + b')]``, then
    a gated cell ``r, z = σ(W a + U h)``, ``ñ = tanh(W_n a + r ⊙ U_n h)``, ``h' = ñ + z ⊙ (h − ñ)``. Readout:
    ``α_j = qᵀ σ(W₁ h_last + W₂ h_j + c)`` without softmax, ``s = W₃ [Σ α_j h_j ‖ h_last]``.

    Item nodes start as the base model's item vectors, which are shared and learned on; concept nodes, which the paper
    does not have, as a linear map of their text vectors; without ``text_width`` graphs hold none.
    """

    def __init__(self, width: int, text_width: int | None, steps: int = 1) -> None:
        super().__init__()
        self.steps = steps
        self.concept = nn.Linear(text_width, width) if text_width else None
        self.incoming, self.outgoing = nn.Linear(width, width), nn.Linear(width, width)
        self.from_message = nn.Linear(2 * width, 3 * width)
        self.from_state = nn.Linear(width, 3 * width)
        self.of_last, self.of_node = nn.Linear(width, width, bias=False), nn.Linear(width, width)
        self.attention = nn.Linear(width, 1, bias=False)
        self.answer = nn.Linear(2 * width, width, bias=False)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)

    def forward(self, graphs: GraphBatch, items: Tensor) -> Tensor:
        """Graphs of B users, and the item table ``[1 + n, width]`` -> ``[B, width]``; zeros for a user without one."""
        states = self._start(graphs, items)
        for _ in range(self.steps):
            states = self._step(graphs, states)
        last = states[graphs.last]
        alpha = self.attention(torch.sigmoid(self.of_last(last)[graphs.graph] + self.of_node(states)))
        whole = torch.zeros_like(last).index_add(0, graphs.graph, alpha * states)
        answers = self.answer(torch.cat([whole, last], dim=1))
        users = answers.new_zeros(len(graphs.present), answers.shape[1])
        by_user: Tensor = users.index_put((graphs.present,), answers)
        return by_user

    def _start(self, graphs: GraphBatch, items: Tensor) -> Tensor:
        states = nn.functional.embedding(graphs.items, items)
        if self.concept is None:
            return states
        concepts = graphs.concepts.nonzero().squeeze(1)
        started: Tensor = states.index_put((concepts,), self.concept(graphs.vectors[graphs.concepts[concepts]]))
        return started

    def _step(self, graphs: GraphBatch, states: Tensor) -> Tensor:
        nothing = torch.zeros_like(states)
        into = nothing.index_add(0, graphs.target, self.incoming(states)[graphs.source] * graphs.weight_in[:, None])
        out = nothing.index_add(0, graphs.source, self.outgoing(states)[graphs.target] * graphs.weight_out[:, None])
        of_message = self.from_message(torch.cat([into, out], dim=1)).chunk(3, dim=1)
        of_state = self.from_state(states).chunk(3, dim=1)
        reset, keep = (torch.sigmoid(of_message[gate] + of_state[gate]) for gate in (0, 1))
        new = torch.tanh(of_message[2] + reset * of_state[2])
        gated: Tensor = new + keep * (states - new)
        return gated
