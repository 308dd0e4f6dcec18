"""Latent relations, reasoning graphs and profiles in one engine: no future is seen, and a restart changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from integration.models.profiled import DYNLLM
from unit.dyngraph.small_logs import EVERY_KIND, SMALL, cut, random_log
from unit.models.living_parts import (
    CHAINS,
    LRD,
    SHOP,
    VECTORS,
    WIDTH,
    asking,
    chain_source,
    chained,
    chains_of,
    graph_of,
    living,
    reasoning,
    related,
    relation_source,
    texts,
)

from dyngraph.engine import Engine, StepResult
from dyngraph.events import Interaction, Item
from dyngraph.profiles import UserProfile
from dyngraph.reasoning import ReasoningGraph
from dyngraph.refreshing import Refresh, Wanted
from dyngraph.shard import LogRecord, Shard, ShardConfig
from evaluation.leakage import LeakageError, check_no_future, check_no_label
from evaluation.profiles.stock import TextStock
from evaluation.reasoning.feed import EACH_EVENT, ReasoningFeed, counting_builder, counting_feed
from llm_workers.reasoning.request import reasoning_request
from llm_workers.refresh import RefreshConfig
from llm_workers.refresh.policy import policy_over
from llm_workers.refresh.several import Policies
from models.system import SystemConfig, build_engine, open_shard

LOG = random_log(64, users=5, items=20, seed=5, kinds=EVERY_KIND)


def everything() -> Engine:
    """All three together, graphs made by counting after each step."""
    return reasoning(living(relations=LRD, chains=CHAINS, dynllm=DYNLLM))


PARTS: dict[str, Callable[[], Engine]] = {
    "relations": related,
    "chains": lambda: reasoning(chained()),
    "all": everything,
}


@pytest.mark.parametrize(
    ("parts", "batch", "events"),
    [("relations", 1, 10), ("relations", 8, 64), ("chains", 8, 48), ("all", 1, 8), ("all", 8, 40)],
)
def test_no_ranking_sees_future_or_label(parts: str, batch: int, events: int) -> None:
    assert check_no_future(PARTS[parts], LOG[:events], batch=batch) >= 50
    check_no_label(PARTS[parts], LOG[:events], batch=batch)


def told_before(engine: Engine, tell: Callable[[Sequence[tuple[int, Interaction]]], None]) -> Engine:
    """An engine that something is told of each step's events before it takes them."""
    plain = engine.step

    def step(events: Sequence[tuple[int, Interaction]], **options: Any) -> StepResult:
        tell(events)
        return plain(events, **options)

    engine.step = step  # type: ignore[method-assign]
    return engine


def early_graphs() -> Engine:
    """Graphs made of the very events that are to be ranked, taken before their time, and a horizon that nobody looks
    at.
    """
    engine = chained()
    model, known = chains_of(engine), engine.graph.user_ids
    store = engine.graph.reasoning
    store.judge = lambda made: "" if known.find([made.user_id]).any() else "stranger"  # type: ignore[method-assign]
    model.counts = lambda users, ts: model._horizon.view[users] >= 0  # type: ignore[method-assign]

    def tell(events: Sequence[tuple[int, Interaction]]) -> None:
        for seq, one in events:
            store.put(graph_of(one.user_id, one.ts + seq, ["item-1"], [(one.item_id, 90.0)]))
        rows = known.find(sorted({one.user_id for _, one in events}))
        model.renew_users(engine.graph, rows[rows > 0])

    return told_before(engine, tell)


def early_neighbours() -> Engine:
    """Neighbours of an item that know what the users who had it are about to take."""
    engine = related()
    source = relation_source(engine)

    def tell(events: Sequence[tuple[int, Interaction]]) -> None:
        rows = engine.graph.item_ids.find([one.item_id for _, one in events])
        source.neighbours._items.view[1:, 0] = int(rows.max())
        source.neighbours._strength.view[1:, 0] = 0.9

    return told_before(engine, tell)


@pytest.mark.parametrize("leaking", [early_graphs, early_neighbours])
def test_what_knows_too_early_is_caught(leaking: Callable[[], Engine]) -> None:
    with pytest.raises(LeakageError):
        check_no_label(leaking, LOG)


def test_graphs_of_the_feed_come_after_the_events_that_they_were_made_from(tmp_path: Path) -> None:
    config = msgspec.structs.replace(CHAINS, text_dim=384)
    engine = build_engine(SystemConfig(tgn=SMALL.tgn, chains=config))
    engine.graph.catalogue.put(SHOP)
    feed = counting_feed(engine, SHOP, TextStock("random", tmp_path))
    counted = 0
    for step in cut(LOG, 4):
        rows = engine.graph.user_ids.find([one.user_id for _, one in step])
        for row, (_, one) in zip(rows.tolist(), step, strict=True):
            made = engine.graph.reasoning.newest(row, one.ts) if row else None
            if made is not None:
                counted += 1
                assert made.ts < one.ts and all(at.ts <= made.ts for at in made.steps)
                assert len(made.steps) == len({(at.item_id, at.ts) for at in made.steps})
        feed.after_step(engine, engine.step(step), step[-1][0])
    assert counted > 20 and not feed.failed
    assert feed.taken == feed.jobs.asked > 20
    later = engine.graph.horizon._replace(ts=engine.graph.horizon.ts + 1)
    queries = asking(engine, *(f"user-{n}" for n in range(5)), at=later)
    assert chain_source(engine).propose(engine.graph, queries).any(1).sum() >= 3


def test_a_late_answer_counts_late_and_is_made_of_no_more() -> None:
    def graphs(delay_ms: int) -> tuple[list[list[int]], list[ReasoningGraph | None]]:
        engine = chained()
        builder = counting_builder(engine.graph.catalogue.get, SHOP, VECTORS)
        feed = ReasoningFeed(policy_over(EACH_EVENT, engine, "reasoning"), builder, delay_ms)
        horizons = []
        for step in cut(LOG, 4):
            feed.after_step(engine, engine.step(step), step[-1][0])
            horizons.append(engine.graph.reasoning.horizons(np.arange(1, 6)).ts.tolist())
        return horizons, [engine.graph.reasoning.newest(row) for row in range(1, 6)]

    at_once, late = graphs(0), graphs(600_000)
    assert all(
        now >= then
        for one, other in zip(at_once[0], late[0], strict=True)
        for now, then in zip(one, other, strict=True)
    )
    assert at_once[0] != late[0]
    for made in late[1]:
        assert made is None or all(step.ts <= made.ts for step in made.steps)


# -- a shard that is killed -----------------------------------------------------------------------------------------

RECORDS = [LogRecord(seq, one.ts, one) for seq, one in random_log(120, users=6, items=20, seed=41, kinds=EVERY_KIND)]
END = RECORDS[-1].offset
SYSTEM = SystemConfig(tgn=SMALL.tgn, relations=LRD, chains=CHAINS, dynllm=DYNLLM)
ASKING = RefreshConfig(min_events=2, new_events=2, growth=0, jobs_per_1000=400, burst=20)
BORDER = 6
LATE = 9
"""Offsets between a job and its graph."""
PEOPLE = [f"user-{n}" for n in range(6)]


def policies(engine: Engine) -> Refresh:
    return Policies({"profile": policy_over(ASKING, engine), "reasoning": policy_over(ASKING, engine, "reasoning")})


def opened(folder: Path, snapshot_events: int) -> Shard:
    config = ShardConfig(folder, snapshot_events=snapshot_events, snapshot_seconds=1e9, keep_snapshots=2)
    shard = open_shard(config, 0, SYSTEM, policies)
    shard.start_new_log("the log")
    return shard


class World:
    """What is outside of the shard: topics that keep what was sent, and an LLM worker that answers late."""

    def __init__(self) -> None:
        self._builder = counting_builder({item.item_id: item for item in SHOP}.get, SHOP, VECTORS)
        self.graphs: dict[tuple[str, int], tuple[int, ReasoningGraph]] = {}
        """From when on each is there, by user and horizon."""

    def answer(self, jobs: Sequence[Wanted]) -> None:
        """Make the graphs of jobs; one that was asked for before is the same."""
        for job in jobs:
            if job.kind == "reasoning":
                made = asyncio.run(self._builder.graph(reasoning_request(job, {i.item_id: i for i in SHOP}.get)))
                before = self.graphs.setdefault((made.user_id, made.ts), (job.offset + LATE, made))
                assert before[1] == made, "a shard taken up again asks for the same"

    def put(self, shard: Shard, after: int, until: int) -> None:
        """Send what came into being behind offset ``after`` and up to ``until``."""
        graphs = sorted(self.graphs.values(), key=lambda one: (one[0], one[1].user_id, one[1].ts))
        shard.offer_reasoning([made for there, made in graphs if after < there <= until])
        for at, put in self._others():
            if after < at <= until:
                put(shard)

    def _others(self) -> Iterator[tuple[int, Callable[[Shard], None]]]:
        yield -1, lambda shard: shard.put_items(SHOP)
        yield 11, lambda shard: shard.put_text_vectors(texts(SHOP[:12]))
        yield 47, lambda shard: shard.put_text_vectors(texts())
        yield 59, lambda shard: shard.offer_profiles([profile("user-1", 50), profile("user-3", 53)])
        yield 71, lambda shard: shard.put_items([Item(item.item_id, item.title, "one brand") for item in SHOP[:9]])
        yield 83, lambda shard: shard.put_text_vectors({"item-3": texts()["item-9"], "item-5": texts()["item-4"]})


def profile(user: str, at: int) -> UserProfile:
    vectors = np.ascontiguousarray(VECTORS.encode([f"{user} {at} {n}" for n in range(4)]), "<f2").tobytes()
    ts = max(record.interaction.ts for record in RECORDS[: at + 1] if record.interaction)
    return UserProfile(user, ts, at, at + 1, (("people",), ("things",), (), ()), vectors, "statistical")


def go_on(shard: Shard, world: World, until: int) -> Shard:
    """Take the log up to an offset, in steps of six, while things come."""
    # A group-less reader begins at the beginning of every topic.
    world.put(shard, -2, shard.applied_offset)
    while shard.applied_offset < until:
        first = shard.applied_offset + 1
        border = shard.next_border(first)
        last = border if border is not None else first + BORDER - 1
        result = shard.apply(RECORDS[first : last + 1])
        world.answer(result.wanted)
        world.put(shard, first - 1, last)
    return shard


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    return go_on(opened(tmp_path_factory.mktemp("whole"), 40), World(), END)


def test_a_shard_with_all_parts_learns_from_what_arrives(whole: Shard) -> None:
    graph = whole.engine.graph
    assert len(graph.reasoning) >= 5 and len(graph.profiles) == 2
    assert not graph.reasoning.refused
    assert chains_of(whole.engine).learned.updates > 2
    assert relation_source(whole.engine).model.learned.updates > 5
    assert relation_source(whole.engine).table.table is not None
    assert "item-5" in {item.item_id for item in SHOP} and graph.texts.get("item-5") is not None
    later = graph.horizon._replace(ts=graph.horizon.ts + 1)
    lists = whole.engine.recommend(PEOPLE, later, k=20)
    told = {reason.split(" ")[0] for made in lists for item in made.items for reason in item.reasons}
    assert told >= {"chain", "relation"}


@pytest.mark.parametrize("snapshot_events", [40, 10_000])
@pytest.mark.parametrize("killed", [(5, 29), (47, 59, 65), (83, 113)])
def test_killed_and_opened_again_it_ends_where_it_would_have(
    killed: tuple[int, ...], snapshot_events: int, tmp_path: Path, whole: Shard
) -> None:
    world = World()
    for offset in killed:
        go_on(opened(tmp_path, snapshot_events), world, offset)
        # Nothing is closed: the process is gone, and what it had not written with it.
    shard = go_on(opened(tmp_path, snapshot_events), world, END)
    assert shard.applied_offset == whole.applied_offset
    assert shard.digest() == whole.digest()
    later = whole.horizon._replace(ts=whole.horizon.ts + 1)
    assert shard.engine.recommend(PEOPLE, later) == whole.engine.recommend(PEOPLE, later)


def test_an_erased_user_is_in_no_file_and_the_shard_goes_on(tmp_path: Path) -> None:
    world = World()
    shard = go_on(opened(tmp_path, 40), world, 89)
    row = int(shard.engine.graph.user_ids.find(["user-2"])[0])
    words = [step.reason for _, made in world.graphs.values() if made.user_id == "user-2" for step in made.steps]
    assert shard.engine.graph.reasoning.newest(row) is not None and words
    shard.erase("user-2")
    assert shard.engine.graph.reasoning.newest(row) is None
    files = [path for path in tmp_path.rglob("*") if path.is_file() and "journal" not in str(path)]
    side = [path for path in files if "inputs" in str(path)]
    assert side and not any(b'"user-2"' in path.read_bytes() for path in side)
    world.graphs = {key: one for key, one in world.graphs.items() if key[0] != "user-2"}
    again = go_on(opened(tmp_path, 40), world, 101)
    assert chains_of(again.engine).horizon(row) == -1


def test_an_engine_without_these_parts_keeps_nothing_of_them() -> None:
    names = build_engine(SMALL).state()
    assert not [name for name in names if "relations" in name or "chains" in name or "reasoning" in name]


def test_parts_of_different_text_widths_are_refused() -> None:
    wide = msgspec.structs.replace(CHAINS, text_dim=WIDTH + 1)
    with pytest.raises(ValueError, match=r"\[12, 13\] numbers wide at once; give all parts one text_dim"):
        build_engine(SystemConfig(tgn=SMALL.tgn, relations=LRD, chains=wide))
