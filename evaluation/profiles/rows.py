"""The rows of DynLLM's ablation: what each of them changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from dyngraph.profiles import FACETS
from evaluation.profiles.stock import TextModel
from models.dynllm import DynLLMConfig

Maker = Literal["statistical", "embedded", "recorded"]

KEPT = (8, 16, 24, 32, 48)
"""Values of k beside the default."""


@dataclass(frozen=True)
class Row:
    """One DynLLM: the settings that it changes, who made its profiles, and whose vectors texts have."""

    changes: dict[str, Any] = field(default_factory=dict)
    maker: Maker = "statistical"
    vectors: TextModel = "minilm"

    def config(self, text_dim: int) -> DynLLMConfig:
        """Settings for text vectors of that width."""
        return DynLLMConfig(text_dim=text_dim, **self.changes)


TEMPORAL = "tgn"
"""The row without texts and profiles: the temporal graph network alone, by its own score."""
WHOLE = "dynllm"
RECORDED = "dynllm, recorded facets"

ROWS: dict[str, Row] = {
    WHOLE: Row(),
    "dynllm, no profile": Row({"facets": ()}),
    "dynllm, item text off": Row({"item_text": False}),
    "dynllm, no profile, item text off": Row({"facets": (), "item_text": False}),
    "dynllm, LLM facets": Row(maker="embedded"),
    RECORDED: Row(maker="recorded"),
    "dynllm, no distillation": Row({"distillation": "off"}),
    **{f"dynllm, k = {kept}": Row({"kept": kept}) for kept in KEPT},
    "dynllm, ordered": Row({"distillation": "ordered"}),
    "dynllm, mean": Row({"fusion": "mean"}),
    **{f"dynllm, no {facet}": Row({"facets": tuple(one for one in FACETS if one != facet)}) for facet in FACETS},
    "dynllm, no time projection": Row({"time_projection": False}),
    "dynllm, no familiarity": Row({"familiarity": False}),
    "dynllm, no residual": Row({"residual": False}),
    "dynllm, hidden vectors": Row(vectors="hidden"),
    "dynllm, random vectors": Row(vectors="random"),
}


def row_names() -> list[str]:
    """All rows, the temporal graph network first."""
    return [TEMPORAL, *ROWS]


def default_rows() -> list[str]:
    """All that need nothing but the text model: no language model, and no answers recorded elsewhere."""
    every = [name for name, row in ROWS.items() if row.maker == "statistical" and row.vectors != "hidden"]
    return [WHOLE, TEMPORAL, *every[1:]]


def is_recorded(name: str) -> bool:
    """Whether ``name`` is a row whose profiles are recorded answers."""
    return name in ROWS and ROWS[name].maker == "recorded"


def is_row(name: str) -> bool:
    """Whether ``name`` is a row of this ablation."""
    return name == TEMPORAL or name in ROWS
