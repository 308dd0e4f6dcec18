"""LLMRG's graph encoders: reasoning graphs as arrays, SR-GNN over them, and their fusion with a base model."""

from models.llmrg.chains import Chains, PlacedChains, gathered
from models.llmrg.fusion import FusionConfig, ReasoningFusion
from models.llmrg.graphs import GraphBatch, divergent_graphs, reasoning_graphs
from models.llmrg.srgnn import SRGNN

__all__ = [
    "SRGNN",
    "Chains",
    "FusionConfig",
    "GraphBatch",
    "PlacedChains",
    "ReasoningFusion",
    "divergent_graphs",
    "gathered",
    "reasoning_graphs",
]
