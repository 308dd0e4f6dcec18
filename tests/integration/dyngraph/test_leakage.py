"""No ranking sees the future or its label; an engine that does is caught."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from unit.dyngraph.small_logs import EVERY_KIND, SMALL, random_log

from dyngraph.batch import Columns, EventBatch
from dyngraph.engine import Engine, StepResult
from dyngraph.events import EventType, Interaction
from dyngraph.graph import DynamicGraph
from dyngraph.protocols import Cause, Feature, Queries, Signal
from dyngraph.state import State
from evaluation.leakage import LeakageError, check_no_future, check_no_label
from models.ranker import GatedRanker
from models.system import CONTEXT, SystemConfig, build_engine
from models.tgn import preset

PURCHASES = random_log(48, users=5, items=9, seed=3)
EVERYTHING = random_log(48, users=5, items=30, seed=4, kinds=EVERY_KIND)


def sound() -> Engine:
    return build_engine(SMALL)


@pytest.mark.parametrize("log", [PURCHASES, EVERYTHING], ids=["purchases", "every kind of event"])
@pytest.mark.parametrize("batch", [1, 8])
def test_no_ranking_sees_the_future(log: Sequence[tuple[int, Interaction]], batch: int) -> None:
    assert check_no_future(sound, log[:10] if batch == 1 else log, batch=batch) > 100


@pytest.mark.parametrize("log", [PURCHASES, EVERYTHING], ids=["purchases", "every kind of event"])
@pytest.mark.parametrize("batch", [1, 8])
def test_no_ranking_sees_its_label(log: Sequence[tuple[int, Interaction]], batch: int) -> None:
    assert check_no_label(sound, log[:10] if batch == 1 else log, batch=batch) >= 8


def test_no_ranking_sees_future_or_label_where_seen_items_are_masked() -> None:
    def masking() -> Engine:
        return build_engine(SystemConfig(tgn=SMALL.tgn, mask_seen=True))

    check_no_future(masking, EVERYTHING)
    check_no_label(masking, EVERYTHING)


FAMILY = {
    "jodie": preset("jodie", dim=8, time_dim=4, neighbours=4),
    "dyrep": preset("dyrep", dim=8, time_dim=4, neighbours=4),
    "tgat": preset("tgat", dim=8, time_dim=4, neighbours=4),
    "two layers, mean, replay": preset(
        "tgn", dim=8, time_dim=4, neighbours=4, layers=2, aggregator="mean", replay=32, learn_events=8
    ),
    "bpr, nothing cached": preset("tgn", dim=8, time_dim=4, neighbours=4, loss="bpr", cache=False, learn_events=8),
}


@pytest.mark.parametrize("member", FAMILY)
def test_no_member_of_the_family_sees_future_or_label(member: str) -> None:
    def built() -> Engine:
        return build_engine(SystemConfig(tgn=FAMILY[member]))

    check_no_future(built, EVERYTHING, batch=8)
    check_no_label(built, EVERYTHING, batch=8)


def test_new_items_crowd_no_known_one_out_of_a_large_catalogue() -> None:
    # With more items than a source proposes, an item nobody has met may take the place of a candidate.
    log = random_log(240, users=12, items=150, seed=3)
    check_no_future(sound, log, batch=40)
    check_no_label(sound, log, batch=40)


# -- engines that break the rule ------------------------------------------------------------------------------------


class _CommitsFirst(Engine):
    """Ranks a batch only after it has been committed."""

    def step(self, events: Sequence[tuple[int, Interaction]], *, learn: bool = True) -> StepResult:
        super().step(events, learn=learn)
        return super().step(events, learn=learn)


class _Peeking:
    """A source that was told the labels; it may propose them, describe them, or both."""

    name = "peeking"

    def __init__(self, *, proposes: bool, describes: bool) -> None:
        self.proposes = proposes
        self.features = (Feature("label", Signal.RAISES),) if describes else ()
        self.labels: dict[tuple[str, int], str] = {}

    def grow(self, users: int, items: int) -> None: ...

    def truncate(self, users: int, items: int) -> None: ...

    def _labels(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        moments = zip(queries.users.tolist(), queries.ts.tolist(), strict=True)
        return graph.item_ids.find([self.labels.get((graph.user_ids[user], ts), "") for user, ts in moments])

    def propose(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        return self._labels(graph, queries).unsqueeze(1) * self.proposes

    def describe(self, graph: DynamicGraph, queries: Queries, items: Tensor) -> Tensor:
        hit = (items == self._labels(graph, queries).unsqueeze(1)).to(torch.float32)
        return hit.unsqueeze(2)[:, :, : len(self.features)]

    def observe(self, graph: DynamicGraph, batch: EventBatch) -> None: ...

    def explain(self, graph: DynamicGraph, queries: Queries, causes: Sequence[Cause]) -> list[str]:
        return ["" for _ in causes]

    def forget_user(self, user: int) -> None: ...

    def state(self) -> State:
        return {}

    def load_state(self, state: State) -> None: ...


class _Peeks(Engine):
    """Tells its last source what will happen in the batch."""

    def step(self, events: Sequence[tuple[int, Interaction]], *, learn: bool = True) -> StepResult:
        for source in self.sources:
            if isinstance(source, _Peeking):
                source.labels = {(event.user_id, event.ts): event.item_id for _, event in events}
        return super().step(events, learn=learn)


class _CountsFirst(Engine):
    """Lets popularity take in the batch before it is ranked."""

    def step(self, events: Sequence[tuple[int, Interaction]], *, learn: bool = True) -> StepResult:
        popularity = next(source for source in self.sources if source.name == "popularity")
        popularity.observe(self.graph, self.graph.find(Columns(events)))
        return super().step(events, learn=learn)


def broken(kind: type[Engine], peeking: _Peeking | None = None) -> Engine:
    parts = sound()
    sources = [*parts.sources, *([peeking] if peeking else [])]
    features = [feature for source in sources for feature in source.features]
    ranker = GatedRanker(features, CONTEXT)
    return kind(parts.graph, parts.encoder, sources, ranker, parts.habits, parts.baselines)


def test_an_engine_that_commits_before_it_ranks_is_caught_by_both() -> None:
    with pytest.raises(LeakageError, match="after event"):
        check_no_future(lambda: broken(_CommitsFirst), PURCHASES)
    with pytest.raises(LeakageError, match="instead of"):
        check_no_label(lambda: broken(_CommitsFirst), PURCHASES)


def test_a_source_that_counts_the_batch_before_it_is_ranked_is_caught() -> None:
    with pytest.raises(LeakageError, match="everything after event"):
        check_no_future(lambda: broken(_CountsFirst), PURCHASES)


def test_a_source_that_knows_the_label_is_caught() -> None:
    with pytest.raises(LeakageError, match="the score of"):
        check_no_label(lambda: broken(_Peeks, _Peeking(proposes=False, describes=True)), PURCHASES)


def test_candidates_that_include_the_label_are_caught() -> None:
    # Fewer candidates than items, or the label would stand among them anyway.
    def narrow() -> Engine:
        engine = broken(_Peeks, _Peeking(proposes=True, describes=False))
        engine.sources[:] = [source for source in engine.sources if source.name in ("history", "peeking")]
        engine.ranker = GatedRanker([f for source in engine.sources for f in source.features], CONTEXT)
        return engine

    with pytest.raises(LeakageError, match="in one run only"):
        check_no_label(narrow, PURCHASES)


def test_a_sound_engine_with_an_idle_source_is_not_accused() -> None:
    check_no_label(lambda: broken(Engine, _Peeking(proposes=False, describes=True)), PURCHASES)


def test_a_log_out_of_order_is_refused() -> None:
    with pytest.raises(ValueError, match="not in time order; sort the log"):
        check_no_future(sound, [*PURCHASES[8:16], *PURCHASES[:8]], batch=16)


def test_impressions_are_left_out_of_the_comparison() -> None:
    log = random_log(16, seed=8, kinds=(EventType.VIEW, EventType.IMPRESSION))
    assert check_no_future(sound, log) > 0
