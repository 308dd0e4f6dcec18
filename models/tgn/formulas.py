"""The mathematics of memory and attention, once for numpy and torch.

Attention is computed in *absorbed* form. With key and value maps ``W_k, W_v`` and a slot vector ``x`` (neighbour, edge,
time), ``q · (W_k x) = (W_kᵀ q) · x`` and ``Σ a_k W_v x_k = W_v Σ a_k x_k``, so keys and values of the slots are never
formed: per query ``D·d`` multiplications for each map instead of ``K·D·d`` (D the slot width, K slots), and nothing has
to be cached at writes or renewed when weights change.
"""

from __future__ import annotations

from typing import NamedTuple

from dyngraph.arrays import Array, Arrays


class UpdaterWeights(NamedTuple):
    """A folded memory cell, GRU or plain RNN."""

    joint: Array
    """``[d + m, 3·d]`` from ``[memory ‖ message]`` to reset gate, update gate, candidate (RNN: ``[d + m, d]``)."""
    joint_bias: Array
    own: Array | None
    """``[d, d]`` from memory to what the reset gate scales; None for an RNN."""
    own_bias: Array | None


class AttentionWeights(NamedTuple):
    """One attention layer with its two-layer map; H heads of width d / H."""

    query: Array
    """``[d, d]``, scaled by ``1 / sqrt(d / H)``."""
    query_bias: Array
    key: Array
    """``[H, d / H, D]``"""
    value: Array
    """``[H, D, d / H]``"""
    mix: Array
    """``[d, d]`` from all heads back to the query's space."""
    hidden: Array
    """``[d, d]``"""
    hidden_bias: Array
    out: Array
    """``[d, d]``"""
    out_bias: Array


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
    n, d = h.shape
    query = (h @ w.query + w.query_bias).reshape(n, w.key.shape[0], w.key.shape[1]).swapaxes(0, 1)
    asked = (query @ w.key).swapaxes(0, 1)
    weight = xp.softmax(asked @ xp.turned(x), mask[:, None, :])
    attention = ((weight @ x).swapaxes(0, 1) @ w.value).swapaxes(0, 1).reshape(n, d)
    y = h + attention @ w.mix
    return y + xp.relu(y @ w.hidden + w.hidden_bias) @ w.out + w.out_bias


def projected(w: Array, h: Array, away: Array) -> Array:
    """JODIE's time projection ``(1 + w · away) ⊙ h``; ``away [n]`` is ``log1p`` of the days since the last event."""
    return (1 + away[:, None] * w) * h
