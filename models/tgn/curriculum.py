"""From what an update learns: the events of the stream, past ones, and items drawn beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dyngraph.batch import EventBatch
from dyngraph.graph import DynamicGraph
from dyngraph.groups import distinct_pairs
from models.tgn.config import TGNConfig
from models.tgn.examples import Examples, Inputs, together
from models.tgn.past import Past

Capture = Callable[[int, Tensor, Tensor, Tensor], Inputs]
"""``(side, rows [n], ts [n], seq [n])`` to the inputs of embeddings at ``(ts, seq)``."""

USERS, ITEMS = 0, 1


class Lesson(NamedTuple):
    """What a batch teaches: something now, or something later."""

    waiting: Examples | None
    """Examples that wait for company."""
    learned: Examples | None
    """New examples to be learned from now; the last items of its pool are the drawn ones."""
    mixed: Examples | None
    """The same with past examples before them."""
    log_q: Tensor
    """``[P]`` log of how often each item of the mixed pool is expected in a pool."""


_NOTHING = torch.zeros(0)


def lesson(
    config: TGNConfig, past: Past, graph: DynamicGraph, batch: EventBatch, capture: Capture, seed: int
) -> Lesson:
    """Capture the batch's examples before its events touch the graph; nothing is written."""
    telling = batch.positive | batch.negative
    events = int(telling.sum()) + (past.waiting.events if past.waiting else 0)
    wanted = bool(batch.positive.any()) or bool(past.waiting and past.waiting.wanted.any())
    now = events >= config.learn_events and wanted
    generator = torch.Generator().manual_seed(seed % (2**63))
    again = past.drawn(events, config.replay_share, generator) if now else None
    drawn = _NOTHING.long()
    if now:
        drawn = _drawn(config, events + (again.events if again else 0), graph.sizes()[1], generator)
    examples = past.with_(_captured(batch, telling, drawn.to(batch.items.device), capture))
    if not now:
        return Lesson(examples, None, None, _NOTHING)
    mixed = together(again, examples)
    rows = mixed.items.rows
    # How often each item is expected in a pool: as an event's own item, or drawn.
    seen = graph.items.events[rows].to(torch.float32)
    expected = mixed.events * seen / max(graph.events, 1) + drawn.shape[0] / graph.sizes()[1]
    return Lesson(None, examples, mixed, torch.log(expected))


def _captured(batch: EventBatch, telling: Tensor, drawn: Tensor, capture: Capture) -> Examples:
    """The batch's telling events as examples, ``drawn`` items at the end of the pool."""
    first = batch.seq.min()
    baskets = distinct_pairs(batch.users[telling], batch.ts[telling])
    users = capture(USERS, baskets.left, baskets.right, first.expand_as(baskets.left))
    # Own and drawn items are asked for at one moment: whatever told them apart would tell the answer.
    met, place = torch.unique(batch.items[telling], return_inverse=True)
    pool = torch.cat((met, drawn))
    items = capture(ITEMS, pool, batch.ts.max().expand_as(pool), first.expand_as(pool))
    device = items.rows.device
    return Examples(users, items, baskets.place.to(device), place.to(device), batch.positive[telling].to(device))


def _drawn(config: TGNConfig, events: int, items: int, generator: torch.Generator) -> Tensor:
    """Item rows that join the events' own."""
    if config.loss == "bpr":
        return torch.randint(1, items, (events,), generator=generator)
    if not config.draws:
        return torch.arange(1, items)
    draws = torch.randint(1, items, (min(config.draws, 8 * events),), generator=generator)
    drawn: Tensor = torch.unique(draws)
    return drawn
