"""Small engines with latent relations, reasoning graphs and profiles in them, and a shop with odd texts.

One item has no text, two have equal ones, and so every test that takes the log meets them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from unit.dyngraph.small_logs import MINUTE_MS, SMALL, START_MS, Event

from dyngraph.engine import Engine, StepResult
from dyngraph.events import Interaction, Item
from dyngraph.order import Moment
from dyngraph.protocols import Queries
from dyngraph.reasoning import NO_STEP, Imagined, ReasoningGraph, Step
from evaluation.reasoning.feed import EACH_EVENT, ReasoningFeed, counting_builder
from llm_workers.reasoning.settings import ReasoningSettings
from llm_workers.refresh.policy import policy_over
from llm_workers.vectors.hashed import RandomVectors
from llm_workers.vectors.items import encode_items
from models.llmrg.online import OnlineChains
from models.llmrg.stream import StreamChainsConfig
from models.lrd.config import LrdConfig
from models.lrd.online import OnlineRelations
from models.lrd.stream_config import StreamLrdConfig
from models.sources.chains import ChainSource
from models.sources.relations import RelationSource
from models.system import SystemConfig, build_engine

WIDTH = 12
VECTORS = RandomVectors(WIDTH)
METHOD = LrdConfig(latent=3, dim=6, heads=2, history=5, n_dft=8, text_dim=WIDTH, lambda_=1.0, seed=1)
LRD = StreamLrdConfig(
    learn_every=1,
    method=METHOD,
    learn_events=6,
    pool=16,
    draws=4,
    neighbours=4,
    looked_at=10,
    renew_every=2,
    name_every=40,
    name_first=20,
    propose=8,
)
CHAINS = StreamChainsConfig(dim=8, text_dim=WIDTH, learn_events=4, draws=8, propose=8)
MUTE, TWINS = "item-5", ("item-6", "item-7")
"""An item without text, and two with one text."""


def shop(count: int = 24) -> list[Item]:
    """Items of three brands and four categories."""
    items = [Item(f"item-{n}", f"thing number {n}", f"brand {n % 3}", (f"kind {n % 4}",)) for n in range(count)]
    items[6] = msgspec.structs.replace(items[7], item_id=TWINS[0])
    return items


SHOP = shop()


def texts(items: Sequence[Item] = SHOP) -> dict[str, bytes]:
    """Vectors by item id, none for :data:`MUTE`."""
    made = {item.item_id: vector.astype("<f2").tobytes() for item, vector in encode_items(items, VECTORS)}
    return {name: vector for name, vector in made.items() if name != MUTE}


def living(**parts: Any) -> Engine:
    """A small engine with these parts of a :class:`SystemConfig`, which knows the shop and its texts. It takes graphs
    about whatever items: made-up ones do.
    """
    engine = build_engine(SystemConfig(tgn=SMALL.tgn, **parts))
    engine.graph.reasoning.met = None
    engine.graph.catalogue.put(SHOP)
    engine.graph.texts.put(texts())
    return engine


def related(config: StreamLrdConfig = LRD) -> Engine:
    """With latent relations."""
    return living(relations=config)


def chained(config: StreamChainsConfig = CHAINS) -> Engine:
    """With chains; no graph comes by itself."""
    return living(chains=config)


def reasoning(engine: Engine) -> Engine:
    """Let graphs made by counting come after each step from now on."""
    settings = ReasoningSettings(threshold=0.0)
    builder = counting_builder(engine.graph.catalogue.get, SHOP, VECTORS, settings)
    feed = ReasoningFeed(policy_over(EACH_EVENT, engine, "reasoning"), builder)
    plain = engine.step

    def step(events: Sequence[tuple[int, Interaction]], **options: Any) -> StepResult:
        result = plain(events, **options)
        feed.after_step(engine, result, events[-1][0])
        return result

    engine.step = step  # type: ignore[method-assign]
    return engine


def relation_source(engine: Engine) -> RelationSource:
    (source,) = [source for source in engine.sources if isinstance(source, RelationSource)]
    return source


def relations_of(engine: Engine) -> OnlineRelations:
    return relation_source(engine).model


def chain_source(engine: Engine) -> ChainSource:
    (source,) = [source for source in engine.sources if isinstance(source, ChainSource)]
    return source


def chains_of(engine: Engine) -> OnlineChains:
    return chain_source(engine).model


def asking(engine: Engine, *users: str, at: Moment | None = None) -> Queries:
    """What the engine would hand its sources for lists of ``users``, by default just after the newest event."""
    at = at or engine.graph.horizon.next()
    rows = engine.graph.user_ids.find(users)
    ts, seq = torch.full_like(rows, at.ts), torch.full_like(rows, at.seq)
    return Queries(rows, ts, seq, engine.encoder.embed(engine.graph, rows, ts, seq), None, users)


def copied(engine: Engine, **parts: Any) -> Engine:
    """A fresh engine with the state of another, as after a restart: the texts and graphs are part of the state."""
    other = build_engine(SystemConfig(tgn=SMALL.tgn, **parts))
    other.graph.reasoning.met = None
    other.load_state({name: value.clone() for name, value in engine.state().items()})
    other.graph.catalogue.put(engine.graph.catalogue.items())
    return other


def graph_of(
    user: str,
    ts: int,
    items: Sequence[str] = ("item-1", "item-2"),
    imagined: Sequence[tuple[str, float]] = (),
    *,
    concept: str = "kind 1",
    width: int = WIDTH,
    **fields: Any,
) -> ReasoningGraph:
    """A chain through ``items``, with items and scores imagined behind its end."""
    steps = tuple(
        Step(item, max(ts - len(items) + place, 0), place - 1 if place else NO_STEP, "follows", concept, "why", 80.0)
        for place, item in enumerate(items)
    )
    after = tuple(
        Imagined(len(steps) - 1, f"like {item}", item, 1.0 if item else 0.0, "follows", "because", score)
        for item, score in imagined
    )
    concepts = (concept,) if concept else ()
    vectors = np.ascontiguousarray(VECTORS.encode(concepts)[:, :width], "<f2").tobytes() if concept else b""
    given: dict[str, Any] = {"offset": -1, "events": 1, "steps": steps, "imagined": after}
    given |= {"concepts": concepts, "vectors": vectors, "producer": "statistical"}
    return ReasoningGraph(user, ts, **(given | fields))


def minute(seq: int) -> int:
    """When the event ``seq`` of :func:`unit.dyngraph.small_logs.event` is."""
    return START_MS + seq * MINUTE_MS


def brought(engine: Engine, number: int, wanted: int = 3) -> None:
    """Graphs of some users as of now, as an LLM worker would make them; each is another one."""
    graph = engine.graph
    for turn in range(wanted):
        user = f"user-{(number + turn) % 6}"
        row = int(graph.user_ids.find([user])[0])
        if row and int(graph.users.last_ts[row]) > 0:
            items = [f"item-{(number * 5 + turn + n) % 16}" for n in range(1 + number % 4)]
            behind = [(f"item-{(number + n) % 24}", 20.0 * n) for n in range(5)]
            made = graph_of(user, int(graph.users.last_ts[row]), items, behind, concept=f"kind {number % 4}")
            graph.reasoning.put(made)


def failing(engine: Engine, step: Sequence[Event]) -> tuple[str, str]:
    """Digests before and after a step that the encoder refuses."""
    before, plan = engine.digest(), engine.encoder.plan

    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no")

    engine.encoder.plan = broken  # type: ignore[method-assign,assignment]
    with pytest.raises(RuntimeError, match="no"):
        engine.step(step)
    engine.encoder.plan = plan  # type: ignore[method-assign]
    return before, engine.digest()
