"""The rows of the study: what each changes about KDA with latent relations, and which row it is measured against."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from evaluation.profiles.stock import TextModel
from models.lrd.config import LrdConfig

_RCF: dict[str, Any] = {"recommender": "rcf"}
_BASE: dict[str, Any] = {"latent": 0, "lambda_": 0.0, "posterior_at_inference": False}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    against: str | None = None
    """The row that it should beat."""
    texts: TextModel = "minilm"
    changes: dict[str, Any] = field(default_factory=dict)

    def config(self, common: LrdConfig, seed: int) -> LrdConfig:
        """The study's common settings with this row's changes."""
        return msgspec.structs.replace(common, seed=seed, **self.changes)


MAIN = (
    Row("kda", changes=_BASE),
    Row("kda+lrd", "kda"),
    Row("rcf", changes={**_RCF, **_BASE}),
    Row("rcf+lrd", "rcf", changes={**_RCF, "latent": 5, "leave_one_latent": False}),
)
"""With LRD as released: K = 8 with relation 0 left out of the reconstruction for KDA, K = 5 with it for RCF."""
TEXT = (
    Row("kda, text", "kda", changes={**_BASE, "amortised": True}),
    Row("kda+lrd, text", "kda", changes={"amortised": True}),
    Row("rcf, text", "rcf", changes={**_RCF, **_BASE, "amortised": True}),
    Row("rcf+lrd, text", "rcf", changes={**_RCF, "latent": 5, "leave_one_latent": False, "amortised": True}),
)
"""The same with text in the items' vectors, as on line: with latent relations, and, to tell what these add, without."""
CONTROLS = (
    Row("kda+lrd, lambda = 0", "kda", changes={"lambda_": 0.0, "posterior_at_inference": False}),
    Row("kda+lrd, random vectors", "kda", texts="random"),
    Row("kda+lrd, text, random vectors", "kda", texts="random", changes={"amortised": True}),
    Row("kda+lrd, K = 2", "kda", changes={"latent": 2}),
    Row("kda+lrd, K = 4", "kda", changes={"latent": 4}),
    Row("kda+lrd, K = 16", "kda", changes={"latent": 16}),
    Row("kda+lrd, entropy off", "kda", changes={"entropy": "off"}),
    Row("kda+lrd, entropy subtracted", "kda", changes={"entropy": "subtracted"}),
    Row("kda+lrd, q at inference", "kda", changes={"posterior_at_inference": True}),
    Row("kda+lrd, lambda = 10", "kda", changes={"lambda_": 10.0}),
    Row("kda+lrd, balanced", "kda", changes={"balance": 1.0, "normalised": True}),
    Row(
        "kda+lrd, balanced, q at inference",
        "kda",
        changes={"balance": 1.0, "normalised": True, "posterior_at_inference": True},
    ),
    Row("kda+lrd, K = 0", "kda", changes={"latent": 0}),
)
"""For ``kda+lrd, lambda = 0`` the relation slots are there and nothing is reconstructed."""
ROWS = {row.name: row for row in (*MAIN, *TEXT, *CONTROLS)}
