"""Compiling before serving: numba compiles a loop when it first runs, which must not happen while a list is waited for.

What was compiled is kept on disk beside the code (or in the user's cache folder), so only the first start takes long.
"""

from __future__ import annotations

import torch

from dyngraph.events import EventType, Interaction, Item
from dyngraph.protocols import Cause, Queries
from models.dynllm import DynLLMConfig
from models.llmrg.stream import StreamChainsConfig
from models.lrd.stream_config import StreamLrdConfig
from models.system import SystemConfig, build_engine

_MINUTE = 60_000


def warm_up() -> None:
    """Run a throw-away engine with every source through steps and lists of every kind. Some seconds the first time,
    then under one.
    """
    engine = build_engine(
        SystemConfig(dynllm=DynLLMConfig(), chains=StreamChainsConfig(), relations=StreamLrdConfig(), mask_seen=True)
    )
    engine.graph.catalogue.put([Item("a", title="A", brand="B", categories=("C",)), Item("b", brand="B")])
    kinds = (EventType.PURCHASE, EventType.DISLIKE, EventType.PURCHASE)
    for start in (0, 8):
        engine.step(
            [
                (seq, Interaction(str(seq), f"user {seq % 3}", "abcd"[seq % 4], kinds[seq % 3], seq * _MINUTE, None))
                for seq in range(start, start + 8)
            ]
        )
    engine.recommend(["user 1", "nobody"])
    # Reasons are made by loops of their own, and which source gives one here is chance: each is asked.
    rows, ts, seq = (torch.tensor([number]) for number in (1, 16 * _MINUTE, 16))
    queries = Queries(rows, ts, seq, engine.encoder.embed(engine.graph, rows, ts, seq), names=["user 0"])
    for source in engine.sources:
        source.explain(engine.graph, queries, [Cause(0, 1, feature.name) for feature in source.features])
