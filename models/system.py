"""The whole system, put together: one place that says which parts an engine is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal

import msgspec

from dyngraph.engine import Engine
from dyngraph.graph import DynamicGraph
from dyngraph.met import MetItems
from dyngraph.protocols import Source
from dyngraph.refreshing import Refresh
from dyngraph.shard import Shard, ShardConfig
from models.diversity import MaximalMarginalRelevance
from models.dynllm import DynLLM, DynLLMConfig
from models.exploration import ExplorationConfig, ExplorationSlot
from models.llmrg.online import OnlineChains
from models.llmrg.stream import StreamChainsConfig
from models.lrd.online import OnlineRelations
from models.lrd.stream_config import StreamLrdConfig
from models.ranker import GatedRanker
from models.sources.attributes import AttributeSource
from models.sources.chains import ChainSource
from models.sources.graph import GraphSource
from models.sources.history import DAY_MS, HistorySource
from models.sources.newcomers import NewcomerSource
from models.sources.popularity import DecayedPopularity, Popularity, PopularitySource
from models.sources.profiles import ProfileSource
from models.sources.relations import RelationSource
from models.sources.transitions import TransitionSource
from models.tgn import TGN, TGNConfig

CONTEXT = 6
"""Width of the engine's context vector."""


class SystemConfig(msgspec.Struct, frozen=True):
    """What may differ between two engines. Half-lives in days."""

    tgn: TGNConfig = TGNConfig()
    dynllm: DynLLMConfig | None = None
    """User profiles and item texts as a source; None: without them."""
    relations: StreamLrdConfig | None = None
    """Latent relations between items as a source; None: without them."""
    chains: StreamChainsConfig | None = None
    """Users' reasoning graphs as a source; None: without them."""
    popularity_half_life: float = 7.0
    trend_half_life: float = 1.0
    history_half_life: float = 30.0
    history_capacity: int = 512
    """Own items kept per user, at most; what a user has met is known beyond them."""
    mask_seen: bool = False
    candidates: Literal["proposed", "all"] = "proposed"
    """Whether the union of what the sources propose is ranked, or every item of the catalogue (small ones only)."""
    within_batch: bool = True
    """Whether a ranking knows what its user did earlier in the same step."""
    without: tuple[str, ...] = ()
    """Names of sources to leave out (ablation)."""
    diversity: float = 0.0
    """How much lists are varied by brand, category and item vectors: 0 (off) to 1."""
    exploration: ExplorationConfig = ExplorationConfig()
    seed: int = 0


def open_shard(
    config: ShardConfig,
    partition: int,
    system: SystemConfig | None = None,
    refresh: Callable[[Engine], Refresh] | None = None,
) -> Shard:
    """The shard of one partition with the whole system in it, as it last stood; ``refresh`` makes its policy."""
    system = system or SystemConfig()
    fingerprint = hashlib.blake2b(msgspec.json.encode(system), digest_size=8).hexdigest()
    return Shard.open(config, partition, lambda: build_engine(system), fingerprint, refresh)


def build_engine(config: SystemConfig | None = None) -> Engine:
    """An empty engine. Raises ValueError for an unknown source name in ``without``."""
    config = config or SystemConfig()
    encoder = TGN(msgspec.structs.replace(config.tgn, seed=config.seed))
    graph = encoder.graph(text_dim=_text_dim(config), concept_dim=config.chains.text_dim if config.chains else 0)
    history = HistorySource(config.history_half_life * DAY_MS, config.history_capacity)
    popularity = PopularitySource(
        config.trend_half_life * DAY_MS,
        config.popularity_half_life * DAY_MS,
        propose=None if config.candidates == "all" else 40,
    )
    met = MetItems()
    # What asks the history how things stood before a batch has to observe the batch before the history does.
    sources: list[Source] = [
        GraphSource(encoder),
        *([ProfileSource(_dynllm(config, encoder, graph))] if config.dynllm is not None else []),
        *([ChainSource(_chains(config, encoder, graph))] if config.chains is not None else []),
        *([RelationSource(_relations(config, graph, met), history)] if config.relations is not None else []),
        TransitionSource(history),
        NewcomerSource(history),
        AttributeSource(history),
        history,
        popularity,
    ]
    unknown = set(config.without) - {source.name for source in sources}
    if unknown:
        known = ", ".join(source.name for source in sources)
        raise ValueError(f"no source is called {', '.join(sorted(unknown))}; use one of: {known}")
    if config.candidates == "all" and "popularity" in config.without:
        raise ValueError("candidates = all come from the source popularity, which --without names; keep one of the two")
    ranked = [source for source in sources if source.name not in config.without]
    features = [feature for source in ranked for feature in source.features]
    varied = MaximalMarginalRelevance(config.diversity, lambda: encoder.item_vectors)
    explorer = ExplorationSlot(config.exploration, met, config.seed)
    return Engine(
        graph,
        encoder,
        ranked,
        GatedRanker(features, CONTEXT),
        history,
        # Baselines and the seen filter need their counters also where the source itself is left out.
        (Popularity(popularity), DecayedPopularity(popularity)),
        watched=[source for source in (history, popularity) if source not in ranked],
        seed=config.seed,
        mask_seen=config.mask_seen,
        met=met,
        rerank=varied if config.diversity else None,
        explorer=explorer if config.exploration.slots else None,
        within_batch=config.within_batch,
    )


def _text_dim(config: SystemConfig) -> int:
    """Width of item texts, 0 where nothing reads them. Raises ValueError where parts do not agree."""
    widths = {config.dynllm.text_dim} if config.dynllm is not None else set()
    widths |= {config.chains.text_dim} if config.chains is not None else set()
    widths |= {config.relations.method.text_dim} if config.relations is not None else set()
    if len(widths) > 1:
        raise ValueError(f"text vectors are to be {sorted(widths)} numbers wide at once; give all parts one text_dim")
    return widths.pop() if widths else 0


def _chains(config: SystemConfig, encoder: TGN, graph: DynamicGraph) -> OnlineChains:
    assert config.chains is not None
    made = msgspec.structs.replace(config.chains, temporal_dim=config.tgn.dim, seed=config.seed)
    return OnlineChains(made, lambda: encoder.item_vectors, graph.texts)


def _relations(config: SystemConfig, graph: DynamicGraph, met: MetItems) -> OnlineRelations:
    assert config.relations is not None
    method = msgspec.structs.replace(config.relations.method, seed=config.seed)
    return OnlineRelations(msgspec.structs.replace(config.relations, method=method), graph.texts, met)


def _dynllm(config: SystemConfig, encoder: TGN, graph: DynamicGraph) -> DynLLM:
    assert config.dynllm is not None
    made = msgspec.structs.replace(config.dynllm, temporal_dim=config.tgn.dim, seed=config.seed)
    return DynLLM(made, lambda: encoder.item_vectors, graph.profiles, graph.texts)
