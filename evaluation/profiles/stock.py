"""What profiles in a replay are made with: text vectors kept on disk between runs, the policy, and the producers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from dyngraph.engine import Engine
from dyngraph.events import Item
from dyngraph.profiles import FACETS
from llm_workers.producers.statistical import StatisticalProfiles
from llm_workers.producers.terms import Terms
from llm_workers.protocols import Facets, TextEncoder
from llm_workers.refresh.config import RefreshConfig
from llm_workers.refresh.policy import RefreshPolicy, policy_over
from llm_workers.store import Store
from llm_workers.vectors.cached import CachedEncoder
from llm_workers.vectors.facets import facet_vectors
from llm_workers.vectors.items import encode_items

TextModel = Literal["minilm", "hidden", "random"]

VECTORS_BYTES = 1 << 30
"""Most that is kept on disk; a vector takes about 1 kB."""

UNBOUNDED = RefreshConfig(jobs_per_1000=1_000, burst=100_000)
"""The policy of a replay: as live, but for the budget, which is the wallet's and not the method's."""


class TextStock:
    """Vectors of one text model, each made once: they are kept in ``folder`` (default: the user's cache folder).

    Raises :class:`~llm_workers.protocols.LlmError` where the model's weights are not installed.
    """

    def __init__(self, model: TextModel, folder: Path | None = None) -> None:
        self.encoder: TextEncoder = CachedEncoder(
            _encoder(model), Store((folder or cache_folder()) / "vectors.db", VECTORS_BYTES)
        )

    @property
    def width(self) -> int:
        """Numbers per vector."""
        return self.encoder.width

    def of_items(self, items: Sequence[Item]) -> dict[str, bytes]:
        """Float16 vectors by id of the items that have a text."""
        return {item.item_id: vector.astype("<f2").tobytes() for item, vector in encode_items(items, self.encoder)}

    def of_facets(self, several: Sequence[Facets]) -> list[bytes]:
        """As :func:`llm_workers.vectors.facets.facet_vectors`, for each."""
        phrases = (phrase for facets in several for facet in FACETS for phrase in getattr(facets, facet))
        # All that is new in one go: the text model is several times faster so.
        self.encoder.encode(list(dict.fromkeys(phrases)))
        return [facet_vectors(facets, self.encoder) for facets in several]


def cache_folder() -> Path:
    """Where what is expensive to make and belongs to no project is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evergraph"


def _encoder(model: TextModel) -> TextEncoder:
    """Imported here: each of them loads a library of its own."""
    if model == "minilm":
        from llm_workers.vectors.minilm import MiniLM

        return MiniLM()
    if model == "hidden":
        from llm_workers.vectors.hidden import HiddenStates

        return HiddenStates()
    from llm_workers.vectors.hashed import RandomVectors

    return RandomVectors()


def policy(engine: Engine) -> RefreshPolicy:
    """A fresh policy over the engine's own history."""
    return policy_over(UNBOUNDED, engine)


def statistical(items: Sequence[Item]) -> StatisticalProfiles:
    """The producer that counts, with the catalogue's document frequencies."""
    return StatisticalProfiles(Terms.of(items))
