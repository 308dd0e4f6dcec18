"""What may differ between two DynLLMs; every part of the method can be switched off to see what it adds."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from dyngraph.profiles import FACETS

Distillation = Literal["placed", "ordered", "off"]
Fusion = Literal["attention", "mean"]


class DynLLMConfig(msgspec.Struct, frozen=True):
    """Parts, sizes and learning rate. Raises ValueError for settings that do not go together."""

    temporal_dim: int = 64
    """Width D of the temporal embeddings that it is handed."""
    text_dim: int = 384
    """Width w of text vectors."""
    dim: int = 64
    """Width d of facet memory and of an item's static half."""
    heads: int = 2
    distillation: Distillation = "placed"
    """Which form a distilled facet has: ``placed`` leaves the kept dimensions where they are, ``ordered`` packs them by
    falling score, so that their identity is lost (the authors' release), ``off`` keeps all."""
    kept: int = 40
    """k, the dimensions that distillation keeps: 5/8 of d, the share of the authors' 80 of 128."""
    fusion: Fusion = "attention"
    """``mean``: every facet counts the same, whoever asks."""
    facets: tuple[str, ...] = FACETS
    """The facets that are read; none: nobody has a profile."""
    time_projection: bool = True
    item_text: bool = True
    """Whether items have a static half made of their text."""
    familiarity: bool = True
    """Whether the two halves of a score weigh by how often the item was met: a new item has little but its text."""
    residual: bool = True
    """Whether facet memory also reaches the score directly, so that texts match before anything is learned."""
    lr: float = 2e-3
    learn_events: int = 64
    """Fewest events that an update learns from; smaller steps let their examples wait for company."""
    draws: int = 256
    """Most items drawn per update that share the softmax with the events' own items, 8 per event if fewer."""
    clip: float = 1.0
    """Largest global norm of the gradient."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, kind in (("distillation", Distillation), ("fusion", Fusion)):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name}={getattr(self, name)!r} is unknown; use one of: {', '.join(get_args(kind))}")
        if unknown := set(self.facets) - set(FACETS):
            raise ValueError(f"facets={', '.join(sorted(unknown))} are unknown; use some of: {', '.join(FACETS)}")
        if self.dim % self.heads:
            raise ValueError(f"dim={self.dim} cannot be split into heads={self.heads}; use a multiple")
        if not 1 <= self.kept <= self.dim:
            raise ValueError(f"kept={self.kept}: distillation keeps 1 to dim={self.dim} dimensions")

    @property
    def distilled_dim(self) -> int:
        """Width of a distilled facet."""
        return self.kept if self.distillation == "ordered" else self.dim
