"""The mathematics of memory and attention as reads compute it, once for numpy and torch.

Attention is computed in *absorbed* form. With key and value maps ``W_k, W_v`` and a slot vector ``x`` (neighbour, edge,
time), ``(W_q h) · (W_k x) = (W_kᵀ W_q h) · x`` and ``Σ a_k W_v x_k = W_v Σ a_k x_k``, so keys and values of the slots
are never formed: per query ``H·D·d`` multiplications for each map instead of ``K·D·d`` (H heads, D the slot width, K
slots), which is 5 times fewer at K = 10 and H = 2, and nothing has to be cached or renewed when weights change. The
maps before and after the slots are folded into one matrix each whenever weights change.
"""

from __future__ import annotations

from typing import NamedTuple

from dyngraph.arrays import Array, Arrays

NEVER = -1e30
"""Logit of a slot that must not count."""


class UpdaterWeights(NamedTuple):
    """A folded memory cell, GRU or plain RNN."""

    joint: Array
    """``[d + m, 3·d]`` from ``[memory ‖ message]`` to reset gate, update gate, candidate (RNN: ``[d + m, d]``)."""
    joint_bias: Array
    own: Array | None
    """``[d, d]`` from memory to what the reset gate scales; None for an RNN."""
    own_bias: Array | None


class AttentionWeights(NamedTuple):
    """One folded attention layer with its two-layer map."""

    query: Array
    """``[d, H·D]`` from the query node to what meets the slots."""
    query_bias: Array
    pooled: Array
    """``[H·D, d]`` from pooled slots back to the query's space."""
    hidden: Array
    """``[d, d]``"""
    hidden_bias: Array
    out: Array
    """``[d, d]``"""
    out_bias: Array
    heads: int


def updated(xp: Arrays, w: UpdaterWeights, own: Array, message: Array) -> Array:
    """Memory ``[n, d]`` after one message each (Rossi et al. 2020, eq. 3): GRU (Cho et al. 2014) or tanh RNN."""
    gates = xp.join((own, message)) @ w.joint + w.joint_bias
    if w.own is None:
        return xp.tanh(gates)
    d = own.shape[1]
    # σ(x) = (1 + tanh(x/2)) / 2 cannot overflow.
    scaled = 0.5 * xp.tanh(0.5 * gates[:, : 2 * d]) + 0.5
    candidate = xp.tanh(gates[:, 2 * d :] + scaled[:, :d] * (own @ w.own + w.own_bias))
    return candidate + scaled[:, d:] * (own - candidate)


def attended(xp: Arrays, w: AttentionWeights, h: Array, x: Array, mask: Array) -> Array:
    """One layer of temporal graph attention (eq. 5-9) with the map behind it.

    ``h [n, d]`` query nodes, ``x [n, K, D]`` their slots, ``mask [n, K]`` the usable ones; to ``[n, d]``. A node
    without usable slots attends to nothing: its pooled vector is zero.
    """
    n, _, width = x.shape
    asked = (h @ w.query + w.query_bias).reshape(n, w.heads, width)
    usable = mask[:, None, :]
    logits = xp.where(usable, asked @ xp.turned(x), NEVER)
    weight = xp.exp(logits - xp.top(logits)) * usable
    weight = weight / (xp.total(weight) + 1e-30)
    y = h + (weight @ x).reshape(n, w.heads * width) @ w.pooled
    return y + xp.relu(y @ w.hidden + w.hidden_bias) @ w.out + w.out_bias


def projected(w: Array, h: Array, away: Array) -> Array:
    """JODIE's time projection ``(1 + w · away) ⊙ h``; ``away [n]`` is ``log1p`` of the days since the last event."""
    return (1 + away[:, None] * w) * h
