"""The engine itself as a contender: the step that serves, walked over a coded log.

Events go through :meth:`dyngraph.engine.Engine.step` in batches, each basket ranked before any of its batch is learned.
What a user did earlier in the same batch is known to the ranking; what others did there is not, so against baselines
that learn after every basket the engine lags by up to a batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from dyngraph.engine import Engine, StepResult
from dyngraph.events import Interaction
from dyngraph.protocols import Scorer
from evaluation.coded import CodedLog
from evaluation.due_jobs import WHOLE
from evaluation.parts import Part
from evaluation.prequential import cuts
from evaluation.profiles.feed import Line, ProfileFeed
from evaluation.profiles.stock import TextStock, policy, statistical
from evaluation.protocols.candidates import Histories
from evaluation.protocols.holdout import held_out, sampled_among
from evaluation.protocols.outcome import Outcome, OutcomeBuilder
from evaluation.protocols.plan import TRAIN_UNTIL, Plan, evaluated_rows
from evaluation.ranking import middle_ranks, top_items
from evaluation.readers.log import InteractionLog
from evaluation.reasoning.feed import counting_feed
from models.baselines.recommender import Setting
from models.dynllm import DynLLMConfig
from models.llmrg.stream import StreamChainsConfig
from models.lrd.stream_config import StreamLrdConfig
from models.system import SystemConfig, build_engine

ASKED_AT_ONCE = 64
"""Users ranked together where events are held out."""

Progress = Callable[[int, dict[str, float]], None]


def run_engine(
    name: str,
    log: InteractionLog,
    coded: CodedLog,
    plan: Plan,
    progress: Progress,
    *,
    without: tuple[str, ...] = (),
    parts: Sequence[Part] = (),
    batch: int,
) -> Outcome:
    """Walk ``coded``, which is ``log`` as arrays, with a fresh engine that lacks the sources ``without``, in steps of
    ``batch`` events and has the ``parts`` besides. Raises LlmError where these need weights that are not installed.
    """
    held = plan.protocol.startswith("leave-one-out")
    text = TextStock("minilm") if parts else None
    config = SystemConfig(
        mask_seen=plan.mask_seen and not held,
        candidates="all" if held else "proposed",
        without=without,
        seed=plan.seed,
        dynllm=DynLLMConfig(text_dim=text.width) if text is not None and "profiles" in parts else None,
        chains=StreamChainsConfig(text_dim=text.width) if text is not None and "chains" in parts else None,
        relations=stream_relations(text.width) if text is not None and "relations" in parts else None,
    )
    engine = build_engine(config)
    engine.kept = plan.k
    engine.graph.catalogue.put(log.items)
    feeds: list[Feed] = []
    if text is not None:
        engine.graph.texts.put(text.of_items(log.items))
        if "profiles" in parts:
            line = Line(statistical(log.items), text.of_facets, engine.graph.profiles)
            feeds.append(ProfileFeed(policy(engine), [line]))
        if "chains" in parts:
            feeds.append(counting_feed(engine, log.items, text))
    ordered = InteractionLog(log.name, log.frame[coded.order], log.items)
    settings: dict[str, Setting] = {
        "batch": batch,
        "dim": config.tgn.dim,
        "candidates": config.candidates,
        "sources": ", ".join(source.name for source in engine.sources),
    }
    builder = OutcomeBuilder(coded, plan, name, settings)
    walk = Walk(engine, ordered, coded, plan, {WHOLE: builder}, progress, batch, feeds)
    begun = time.perf_counter()
    events = walk.held_out() if held else walk.in_time()
    return builder.outcome(time.perf_counter() - begun, events)


class Feed(Protocol):
    """What brings artefacts to the engine's graph."""

    def after_step(self, engine: Engine, step: StepResult, offset: int) -> None:
        """Take in what a step did (``offset``: the last one applied), and bring what is due by now."""
        ...


@dataclass(frozen=True)
class Walk:
    """One engine over one log, in steps of ``batch`` events."""

    engine: Engine
    log: InteractionLog
    """In the order of ``coded``."""
    coded: CodedLog
    plan: Plan
    builders: Mapping[str, OutcomeBuilder]
    """Of the engine (:data:`WHOLE`), or of models that are ranked beside it."""
    progress: Progress
    batch: int
    feeds: Sequence[Feed] = ()
    """What brings artefacts after each step."""
    beside: Sequence[Scorer] = ()
    """Models that are ranked at the events that count."""

    def in_time(self) -> int:
        """Rank before learning; how many events were walked."""
        coded, plan, builders = self.coded, self.plan, self.builders
        first = next(iter(builders.values()))
        evaluated = evaluated_rows(coded, plan)
        learned_until = int(TRAIN_UNTIL * len(coded)) if plan.protocol == "time-split" and plan.freeze else len(coded)
        counts = np.concatenate(([0], np.cumsum(evaluated)))
        for start, stop, result in self.steps(self.log, lambda stop: stop <= learned_until, counts):
            rows = start + np.flatnonzero(evaluated[start:stop])
            for name, builder in builders.items() if len(rows) else ():
                ranks, top = result.ranks[name], result.top if name == WHOLE else result.tops[name]
                for row in rows.tolist():
                    builder.add(row, float(ranks[row - start]), _shown(top[row - start]))
            self.progress(stop, first.lately() if len(first) else {})
        return len(coded)

    def held_out(self) -> int:
        """Learn what is known, rank what is held out; how many events were learned or ranked."""
        log, coded, plan, builder = self.log, self.coded, self.plan, self.builders[WHOLE]
        rows = held_out(coded, plan)
        known = InteractionLog(log.name, log.frame[rows.learned], log.items)
        for _, stop, _ in self.steps(known, lambda stop: True):
            self.progress(stop, {})
        self._follow(InteractionLog(log.name, log.frame[np.sort(rows.validation)], log.items), len(known))
        histories, rng = Histories(coded), np.random.default_rng(plan.seed)
        done = len(known) + len(rows.validation)
        of_coded = self._coded_rows()
        for first in range(0, len(rows.tests), ASKED_AT_ONCE):
            tests = rows.tests[first : first + ASKED_AT_ONCE]
            items, scores = self.engine.candidates([coded.user_ids[user] for user in coded.users[tests]])
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
            self.progress(done, builder.lately())
        return done

    def steps(
        self, log: InteractionLog, learns: Callable[[int], bool], counts: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[int, int, StepResult]]:
        """Steps of ``log``; models beside are ranked where events count, ``counts [N + 1]`` of them before each."""
        events = enumerate(log.interactions())
        for start, stop in cuts(log, self.batch):
            ranked = counts is not None and counts[stop] > counts[start]
            self.engine.scorers = list(self.beside) if ranked else []
            apart = self.coded.target[start:stop] if self.plan.leave_out_group else None
            result = self.engine.step(list(islice(events, stop - start)), learn=learns(stop), apart=apart)
            for feed in self.feeds:
                feed.after_step(self.engine, result, stop - 1)
            yield start, stop, result

    def _follow(self, log: InteractionLog, seq: int) -> None:
        """Take in validation events, which are known but not learned from; they may be older than the newest event."""
        horizon = self.engine.graph.horizon.ts
        events = enumerate(log.interactions(), seq)
        while step := list(islice(events, self.batch)):
            late = [
                (seq, Interaction(e.event_id, e.user_id, e.item_id, e.event_type, max(e.ts, horizon), e.value))
                for seq, e in step
            ]
            self.engine.step(late, learn=False)

    def _coded_rows(self) -> NDArray[np.int64]:
        """Item rows of the coded log for those of the engine, which come in the order of what it learned."""
        ids = self.engine.graph.item_ids
        place = {item_id: row for row, item_id in enumerate(self.coded.item_ids)}
        return np.array([0, *(place[ids[row]] for row in range(1, self.engine.graph.sizes()[1]))])


def _behind(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Items without a score stand tied behind all that have one."""
    scored = scores[scores > -np.inf]
    least = np.nextafter(scored.min(), -np.inf) if len(scored) else 0.0
    made: NDArray[np.float64] = np.maximum(scores, least)
    made[0] = -np.inf
    return made


def stream_relations(text_dim: int) -> StreamLrdConfig:
    """Latent relations as contenders have them, over text vectors of this width."""
    default = StreamLrdConfig()
    return msgspec.structs.replace(default, method=msgspec.structs.replace(default.method, text_dim=text_dim))


def _shown(top: NDArray[np.int64]) -> NDArray[np.int64]:
    return top[top > 0]
