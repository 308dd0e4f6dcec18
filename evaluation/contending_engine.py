"""The engine itself as a contender: the step that serves, walked over a coded log.

Events go through :meth:`dyngraph.engine.Engine.step` in batches, each basket ranked before any of its batch is learned.
What a user did earlier in the same batch is known to the ranking; what others did there is not, so against baselines
that learn after every basket the engine lags by up to a batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from dyngraph.engine import Engine, StepResult
from dyngraph.events import Interaction
from evaluation.coded import CodedLog
from evaluation.prequential import cuts
from evaluation.protocols.candidates import Histories
from evaluation.protocols.holdout import held_out, sampled_among
from evaluation.protocols.outcome import Outcome, OutcomeBuilder
from evaluation.protocols.plan import TRAIN_UNTIL, Plan, evaluated_rows
from evaluation.ranking import middle_ranks, top_items
from evaluation.readers.log import InteractionLog
from models.baselines.recommender import Setting
from models.system import SystemConfig, build_engine

BATCH = 64
"""Events of one step."""
ASKED_AT_ONCE = 64
"""Users ranked together where events are held out."""

Progress = Callable[[int, dict[str, float]], None]


def run_engine(
    name: str, log: InteractionLog, coded: CodedLog, plan: Plan, progress: Progress, *, without: tuple[str, ...] = ()
) -> Outcome:
    """Walk ``coded``, which is ``log`` as arrays, with a fresh engine that lacks the sources ``without``.

    Raises ValueError for a plan with ``leave_out_group``, which the step does not know.
    """
    if plan.leave_out_group:
        raise ValueError("evergraph: leaving out the true items of a group is for baselines only; drop that option")
    held = plan.protocol.startswith("leave-one-out")
    config = SystemConfig(
        mask_seen=plan.mask_seen and not held,
        candidates="all" if held else "proposed",
        without=without,
        seed=plan.seed,
    )
    engine = build_engine(config)
    engine.kept = plan.k
    engine.graph.catalogue.put(log.items)
    ordered = InteractionLog(log.name, log.frame[coded.order], log.items)
    settings: dict[str, Setting] = {
        "batch": BATCH,
        "dim": config.tgn.dim,
        "candidates": config.candidates,
        "sources": ", ".join(source.name for source in engine.sources),
    }
    builder = OutcomeBuilder(coded, plan, name, settings)
    walk = _held_out if held else _in_time
    begun = time.perf_counter()
    events = walk(engine, ordered, coded, plan, builder, progress)
    return builder.outcome(time.perf_counter() - begun, events)


def _in_time(
    engine: Engine, log: InteractionLog, coded: CodedLog, plan: Plan, builder: OutcomeBuilder, progress: Progress
) -> int:
    evaluated = evaluated_rows(coded, plan)
    learned_until = int(TRAIN_UNTIL * len(coded)) if plan.protocol == "time-split" and plan.freeze else len(coded)
    for start, stop, result in _steps(engine, log, lambda stop: stop <= learned_until):
        rows = start + np.flatnonzero(evaluated[start:stop])
        ranks = result.ranks["evergraph"]
        for row in rows.tolist():
            builder.add(row, float(ranks[row - start]), _shown(result.top[row - start]))
        progress(stop, builder.lately() if len(builder) else {})
    return len(coded)


def _steps(engine: Engine, log: InteractionLog, learns: Callable[[int], bool]) -> Iterator[tuple[int, int, StepResult]]:
    events: list[tuple[int, Interaction]] = list(enumerate(log.interactions()))
    for start, stop in cuts(log, BATCH):
        yield start, stop, engine.step(events[start:stop], learn=learns(stop))


def _held_out(
    engine: Engine, log: InteractionLog, coded: CodedLog, plan: Plan, builder: OutcomeBuilder, progress: Progress
) -> int:
    rows = held_out(coded, plan)
    known = InteractionLog(log.name, log.frame[rows.learned], log.items)
    for _, stop, _ in _steps(engine, known, lambda stop: True):
        progress(stop, {})
    followed = np.sort(rows.validation)
    events = list(enumerate(InteractionLog(log.name, log.frame[followed], log.items).interactions(), len(known)))
    _follow(engine, events)
    histories, rng = Histories(coded), np.random.default_rng(plan.seed)
    done = len(known) + len(events)
    # The engine has its own item rows: those of its learned events, in their order.
    of_coded = np.zeros(engine.graph.sizes()[1], np.int64)
    place = {item_id: row for row, item_id in enumerate(coded.item_ids)}
    for row in range(1, len(of_coded)):
        of_coded[row] = place[engine.graph.item_ids[row]]
    for first in range(0, len(rows.tests), ASKED_AT_ONCE):
        tests = rows.tests[first : first + ASKED_AT_ONCE]
        items, scores = engine.candidates([coded.user_ids[user] for user in coded.users[tests]])
        for test, candidates, given in zip(tests.tolist(), items.numpy(), scores.numpy(), strict=True):
            target = int(coded.items[test])
            every = np.full(coded.n_items + 1, -np.inf)
            every[of_coded[candidates]] = given
            every[0] = -np.inf
            met = histories.whole(int(coded.users[test]))
            every = _behind(every)
            if plan.protocol == "leave-one-out-sampled":
                every = sampled_among(every, target, met, plan.negatives, rng)
            elif plan.mask_seen:
                every[met[met != target]] = -np.inf
            builder.add(test, float(middle_ranks(every, np.array([target]))[0]), top_items(every, plan.k))
        done += len(tests)
        progress(done, builder.lately())
    return done


def _follow(engine: Engine, events: list[tuple[int, Interaction]]) -> None:
    """Take in validation events, which are known but not learned from; they may be older than the newest event."""
    horizon = engine.graph.horizon.ts
    for start in range(0, len(events), BATCH):
        late = [
            (seq, Interaction(e.event_id, e.user_id, e.item_id, e.event_type, max(e.ts, horizon), e.value))
            for seq, e in events[start : start + BATCH]
        ]
        engine.step(late, learn=False)


def _behind(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Items without a score stand tied behind all that have one."""
    scored = scores[scores > -np.inf]
    least = np.nextafter(scored.min(), -np.inf) if len(scored) else 0.0
    made: NDArray[np.float64] = np.maximum(scores, least)
    made[0] = -np.inf
    return made


def _shown(top: NDArray[np.int64]) -> NDArray[np.int64]:
    return top[top > 0]
