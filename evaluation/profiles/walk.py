"""DynLLM's ablation in one walk: all rows read the same temporal embeddings at the same moments, and learn each on its
own. What differs between two rows is therefore what the row changes, and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from torch import Tensor

from dyngraph.engine import Engine
from dyngraph.graph import DynamicGraph
from dyngraph.profiles import ProfileStore
from dyngraph.protocols import Queries, Scorer
from dyngraph.texts import TextVectors
from evaluation.coded import CodedLog
from evaluation.contending_engine import Walk
from evaluation.profiles.feed import Line, ProfileFeed
from evaluation.profiles.rows import ROWS, TEMPORAL, Maker, Row
from evaluation.profiles.stock import TextModel, TextStock, policy, statistical
from evaluation.protocols.outcome import Outcome, OutcomeBuilder
from evaluation.protocols.plan import Plan
from evaluation.readers.log import InteractionLog
from llm_workers.protocols import ProfileProducer
from models.baselines.recommender import Setting
from models.dynllm import DynLLM
from models.ranker import GatedRanker
from models.sources.graph import GraphSource
from models.sources.history import DAY_MS, HistorySource
from models.sources.profiles import ProfileSource
from models.system import CONTEXT, SystemConfig
from models.tgn import TGN, TGNConfig

Progress = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class _Temporal:
    """The temporal graph network alone, as a row."""

    source: GraphSource
    name: str = TEMPORAL

    def logits(self, graph: DynamicGraph, queries: Queries) -> Tensor:
        """Its own score."""
        return self.source.logits(graph, queries)


class _Shelf:
    """The stores of one walk: item texts per text model, profiles per text model and producer."""

    def __init__(self, log: InteractionLog, graph: DynamicGraph, producers: Mapping[Maker, ProfileProducer]) -> None:
        self._log, self._graph, self._producers = log, graph, producers
        self._stocks: dict[TextModel, TextStock] = {}
        self._texts: dict[TextModel, TextVectors] = {}
        self.lines: dict[tuple[Maker, TextModel], Line] = {}

    def texts(self, model: TextModel) -> TextVectors:
        if model not in self._texts:
            stock = self._stocks[model] = TextStock(model)
            own = model == "minilm"
            store = self._texts[model] = self._graph.texts if own else TextVectors(self._graph.item_ids, stock.width)
            store.put(stock.of_items(self._log.items))
        return self._texts[model]

    def profiles(self, maker: Maker, model: TextModel) -> ProfileStore:
        if (maker, model) not in self.lines:
            texts, own = self.texts(model), (maker, model) == ("statistical", "minilm")
            store = self._graph.profiles if own else ProfileStore(self._graph.user_ids, texts.width)
            self.lines[maker, model] = Line(self._producers[maker], self._stocks[model].of_facets, store)
        return self.lines[maker, model].store


def run_rows(
    names: Sequence[str],
    log: InteractionLog,
    coded: CodedLog,
    plan: Plan,
    progress: Progress,
    *,
    batch: int,
    producers: Mapping[Maker, ProfileProducer] | None = None,
) -> list[Outcome]:
    """Walk ``coded``, which is ``log`` as arrays, once with all the rows ``names``; their outcomes in that order.

    ``producers`` make the profiles of rows that are not statistical. Raises ValueError for a protocol that holds events
    out, LlmError where weights are not installed, KeyError for a producer that is not there.
    """
    if plan.protocol.startswith("leave-one-out"):
        raise ValueError(f"protocol {plan.protocol!r} has no order of events to make profiles in; use prequential")
    config = TGNConfig(seed=plan.seed)
    encoder = TGN(config)
    graph = encoder.graph(text_dim=TextStock("minilm").width)
    shelf = _Shelf(log, graph, {"statistical": statistical(log.items), **(producers or {})})
    shelf.profiles("statistical", "minilm")
    temporal = GraphSource(encoder)
    heads = [_head(name, ROWS[name], encoder, shelf, plan.seed) for name in names if name != TEMPORAL]
    engine = bare_engine(encoder, graph, log, plan, temporal, heads)
    beside: list[Scorer] = [*heads, *([_Temporal(temporal)] if TEMPORAL in names else [])]
    builders = {name: OutcomeBuilder(coded, plan, name, _settings(name, batch, config)) for name in names}
    feed = ProfileFeed(policy(engine), list(shelf.lines.values()))
    ordered = InteractionLog(log.name, log.frame[coded.order], log.items)
    walk = Walk(engine, ordered, coded, plan, builders, progress, batch, [feed], beside)
    begun = time.perf_counter()
    events = walk.in_time()
    seconds = time.perf_counter() - begun
    return [builders[name].outcome(seconds, events) for name in names]


def bare_engine(
    encoder: TGN,
    graph: DynamicGraph,
    log: InteractionLog,
    plan: Plan,
    temporal: GraphSource,
    heads: Sequence[ProfileSource] = (),
) -> Engine:
    """An engine that ranks by the temporal graph network alone, and lets ``heads`` learn beside it."""
    live = SystemConfig()
    history = HistorySource(live.history_half_life * DAY_MS, live.history_capacity)
    graph.catalogue.put(log.items)
    return Engine(
        graph,
        encoder,
        [temporal],
        GatedRanker(temporal.features, CONTEXT),
        history,
        watched=[history, *heads],
        seed=plan.seed,
        mask_seen=plan.mask_seen,
        kept=plan.k,
    )


def _head(name: str, row: Row, encoder: TGN, shelf: _Shelf, seed: int) -> ProfileSource:
    texts = shelf.texts(row.vectors)
    settings = msgspec.structs.replace(row.config(texts.width), temporal_dim=encoder.config.dim, seed=seed)
    profiles = shelf.profiles(row.maker, row.vectors)
    return ProfileSource(DynLLM(settings, lambda: encoder.item_vectors, profiles, texts), name=name)


def _settings(name: str, batch: int, config: TGNConfig) -> dict[str, Setting]:
    settings: dict[str, Setting] = {"batch": batch, "dim": config.dim, "walked": "with all rows at once"}
    if name != TEMPORAL:
        settings |= {"profiles": ROWS[name].maker, "texts": ROWS[name].vectors}
        settings |= {key: str(value) for key, value in ROWS[name].changes.items()}
    return settings
