"""An engine whose profiles arrive as they would live: asked for after each step, counting for later events only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unit.dyngraph.small_logs import SMALL

from dyngraph.engine import Engine, StepResult
from dyngraph.events import Interaction, Item
from evaluation.profiles.feed import Line, ProfileFeed
from evaluation.profiles.stock import statistical
from llm_workers.protocols import Facets
from llm_workers.refresh.config import RefreshConfig
from llm_workers.refresh.policy import policy_over
from llm_workers.vectors.facets import facet_vectors
from llm_workers.vectors.hashed import RandomVectors
from llm_workers.vectors.items import encode_items
from models.dynllm import DynLLMConfig
from models.system import SystemConfig, build_engine

WIDTH = 12
EAGER = RefreshConfig(min_events=1, new_events=1, growth=0.0, jobs_per_1000=1_000, burst=1_000)
DYNLLM = DynLLMConfig(text_dim=WIDTH, dim=8, kept=5, learn_events=6, draws=16)
CATALOGUE = [
    Item(f"item-{n}", f"thing number {n}", f"brand {n % 3}", (f"kind {n % 4} > sort {n % 7}",)) for n in range(40)
]
VECTORS = RandomVectors(WIDTH)


def profiled(dynllm: DynLLMConfig = DYNLLM, **changes: Any) -> Engine:
    """The small system with profiles, each made right after the step that asked for it."""
    engine = build_engine(SystemConfig(tgn=SMALL.tgn, dynllm=dynllm, **changes))
    feed(engine)
    return engine


def feed(engine: Engine) -> ProfileFeed:
    """Describe the items, and bring profiles from now on."""
    engine.graph.catalogue.put(CATALOGUE)
    engine.graph.texts.put(
        {item.item_id: vector.astype("<f2").tobytes() for item, vector in encode_items(CATALOGUE, VECTORS)}
    )
    line = Line(statistical(CATALOGUE), vectors_of, engine.graph.profiles)
    bringing = ProfileFeed(policy_over(EAGER, engine), [line])
    plain = engine.step

    def step(events: Sequence[tuple[int, Interaction]], **options: Any) -> StepResult:
        result = plain(events, **options)
        bringing.after_step(engine, result, events[-1][0])
        return result

    engine.step = step  # type: ignore[method-assign]
    return bringing


def vectors_of(several: Sequence[Facets]) -> list[bytes]:
    """Random vectors, alike for equal phrases."""
    return [facet_vectors(facets, VECTORS) for facets in several]
