"""The jobs of a replay without its models: what would be asked along a log, so that it can be answered beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dyngraph.profiles import FACETS
from evaluation.coded import CodedLog
from evaluation.contending_engine import Walk
from evaluation.profiles.feed import Line, ProfileFeed
from evaluation.profiles.stock import TextStock, policy, statistical
from evaluation.profiles.walk import bare_engine
from evaluation.protocols.plan import Plan
from evaluation.readers.log import InteractionLog
from llm_workers.protocols import ProfileRequest
from models.sources.graph import GraphSource
from models.tgn import TGN, TGNConfig

TINY = TGNConfig(dim=2, heads=1, time_dim=2, neighbours=1)
"""An encoder that nobody asks for anything."""


def jobs_along(
    log: InteractionLog, coded: CodedLog, batch: int, progress: Callable[[int], None] = lambda events: None
) -> Iterator[ProfileRequest]:
    """The requests of a replay of ``coded``, which is ``log`` as arrays, in steps of ``batch``, in their order.

    They are those of ``evergraph ablate dynllm`` with the same step: each holds nothing later than its horizon, so its
    answer can be recorded and used there without leakage.
    """
    texts = TextStock("minilm")
    encoder = TGN(TINY)
    graph = encoder.graph(text_dim=texts.width)
    graph.texts.put(texts.of_items(log.items))
    plan = Plan()
    engine = bare_engine(encoder, graph, log, plan, GraphSource(encoder))
    asked: list[ProfileRequest] = []
    nothing = bytes(2 * len(FACETS) * texts.width)
    line = Line(statistical(log.items), lambda several: [nothing] * len(several), graph.profiles)
    feed = ProfileFeed(policy(engine), [line], asked=asked.append)
    ordered = InteractionLog(log.name, log.frame[coded.order], log.items)
    walk = Walk(engine, ordered, coded, plan, {}, lambda done, figures: None, batch, [feed])
    for start, stop, _ in walk.steps(ordered, learns=lambda stop: False):
        yield from asked
        asked.clear()
        progress(stop - start)
