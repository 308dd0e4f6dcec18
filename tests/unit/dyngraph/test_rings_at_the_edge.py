"""Rings equal a plain dictionary of all edges where sort keys of 32, 53 or 63 bits would have overflowed.

A recency sampler that packs node and time into one integer gives wrong neighbours only now and then, on long logs; so
many nodes, long logs and numbers near the limits are looked at here, each query against every edge there ever was.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt
import pytest
import torch

from dyngraph.arrays import NUMPY, TORCH, Arrays, TorchArrays
from dyngraph.events import MAX_TS_MS
from dyngraph.neighbours import TemporalNeighbours

NODES, OTHERS, K = 3_000, 70_000, 5
KINDS: dict[str, Arrays] = {"numpy": NUMPY, "torch": TORCH, "fixed shapes": TorchArrays(fixed_shapes=True)}

Ints = npt.NDArray[np.int64]
Edge = tuple[int, int, int, int, float]  # node, ts, seq, type, feature


def skewed(rng: np.random.Generator, most: int, size: int) -> Ints:
    """Rows ``1 … most``, few of them often."""
    return np.minimum(rng.zipf(1.3, size), most).astype(np.int64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("newest_ts", "first_seq"),
    [(2**31 + 10_000, 2**31 - 5_000), (2**32 + 10_000, 2**32 - 5_000), (MAX_TS_MS - 1, 2**53 - 5_000), (9_999, 2**62)],
)
@pytest.mark.parametrize("batch", [1, 200, 3_000])
def test_every_ring_answers_as_a_dictionary_of_all_edges(kind: str, newest_ts: int, first_seq: int, batch: int) -> None:
    rng, xp = np.random.default_rng(batch), KINDS[kind]
    events = {1: 120, 200: 4_000, 3_000: 12_000}[batch]
    ring, edges = TemporalNeighbours(K, 1, xp), defaultdict[int, list[Edge]](list)
    ring.grow(NODES + 1)
    at, nodes = skewed(rng, NODES, events), rng.integers(1, OTHERS, events)
    ts = np.sort(newest_ts - rng.integers(0, 10_000, events))
    late = rng.random(events) < 0.05
    ts[late] -= np.minimum(ts[late], 3_000)
    seq, types = first_seq + np.arange(events), rng.integers(1, 10, events)
    features = rng.normal(size=(events, 2)).astype(np.float32)
    for start in range(0, events, batch):
        part = slice(start, start + batch)
        columns = [xp.of(torch.from_numpy(column[part].copy())) for column in (at, nodes, ts, seq, types, features)]
        ring.insert(columns[0], xp.runs(columns[0]), *columns[1:])
        rows = zip(*(column[part].tolist() for column in (at, nodes, ts, seq, types)), features[part, 1], strict=True)
        for node, *edge in rows:
            edges[node].append((*edge[:-1], float(edge[-1])))
        asked = rng.integers(0, min(start + batch, events), 60)
        queries = [(at[e], ts[e] + more, seq[e] + after) for e in asked for more, after in ((0, 0), (0, 1), (1, -9))]
        check(ring, edges, np.array([*queries, (0, newest_ts, 2**62), (NODES, newest_ts, 2**62)], dtype=np.int64))


def check(ring: TemporalNeighbours, edges: dict[int, list[Edge]], queries: Ints) -> None:
    near = ring.before(*torch.from_numpy(queries).T.contiguous())
    columns = near.nodes, near.ts, near.seq, near.types, near.edges[..., 1], near.mask
    for place, (node, moment, log_place) in enumerate(queries.tolist()):
        *slots, mask = (column[place].tolist() for column in columns)
        found = [slot for slot, usable in zip(zip(*slots, strict=True), mask, strict=True) if usable]
        kept = edges.get(node, [])[-K:]
        assert sorted(found) == sorted(edge for edge in kept if (edge[1], edge[2]) < (moment, log_place))
        assert not any(other for other, usable in zip(slots[0], mask, strict=True) if not usable)
