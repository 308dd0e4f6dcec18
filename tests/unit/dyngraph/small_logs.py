"""Small systems and short logs, so that whole engines run in milliseconds."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from dyngraph.engine import Engine, StepResult
from dyngraph.events import EventType, Interaction
from dyngraph.lists import RankedItem
from models.system import SystemConfig, build_engine
from models.tgn import TGNConfig

START_MS = 1_700_000_000_000
MINUTE_MS = 60_000
DAY_MS = 86_400_000

Event = tuple[int, Interaction]

SMALL = SystemConfig(tgn=TGNConfig(dim=8, time_dim=4, neighbours=4))

EVERY_KIND = tuple(kind for kind in EventType if kind is not EventType.IMPRESSION)


def event(
    seq: int,
    user: str,
    item: str,
    kind: EventType = EventType.PURCHASE,
    *,
    ts: int | None = None,
    value: float | None = None,
) -> Event:
    """One event; minutes apart by default, so that ``seq`` order is time order."""
    moment = START_MS + seq * MINUTE_MS if ts is None else ts
    return seq, Interaction(f"event-{seq}", user, item, kind, moment, value)


def random_log(
    events: int,
    *,
    users: int = 6,
    items: int = 12,
    seed: int = 0,
    kinds: Sequence[EventType] = (EventType.PURCHASE,),
    step_ms: int = MINUTE_MS,
) -> list[Event]:
    """Events in time order; some share a moment, some have a value."""
    rng = random.Random(seed)
    log, ts = [], START_MS
    for seq in range(events):
        ts += rng.choice((0, step_ms // 2, step_ms))
        value = rng.choice((None, 1.0, 4.5, -2.0))
        user, item = f"user-{rng.randrange(users)}", f"item-{rng.randrange(items)}"
        log.append(event(seq, user, item, rng.choice(kinds), ts=ts, value=value))
    return log


def cut(log: Sequence[Event], size: int) -> Iterator[Sequence[Event]]:
    """Steps of ``size`` events."""
    return (log[start : start + size] for start in range(0, len(log), size))


def feed(engine: Engine, log: Sequence[Event], size: int = 8, *, learn: bool = True) -> list[StepResult]:
    """Take the log in steps of ``size``."""
    return [engine.step(batch, learn=learn) for batch in cut(log, size)]


def fed(log: Sequence[Event], size: int = 8, *, learn: bool = True, config: SystemConfig = SMALL) -> Engine:
    """A small engine that has taken the log."""
    engine = build_engine(config)
    feed(engine, log, size, learn=learn)
    return engine


def scores(engine: Engine, user: str, *, later_ms: int = 0) -> dict[str, float]:
    """The score of every listed item for one user, right after the newest event or ``later_ms`` after it."""
    at = engine.graph.horizon.next()._replace(ts=engine.graph.horizon.ts + later_ms)
    (answer,) = engine.recommend([user], at, k=10_000)
    return {item.item_id: item.score for item in answer.items}


def top(engine: Engine, user: str, k: int = 10) -> list[RankedItem]:
    """The user's list."""
    (answer,) = engine.recommend([user], k=k)
    return answer.items
