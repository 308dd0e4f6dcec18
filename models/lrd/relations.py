"""Which relations there are between two items, in the order of every array that has one entry per relation."""

from __future__ import annotations

from dataclasses import dataclass

VIRTUAL = "together"
"""Relation 0: taken by the same user, for whatever reason."""
COMPLEMENT, SUBSTITUTE = "complement", "substitute"


@dataclass(frozen=True)
class Relations:
    """The virtual relation, links between items, attributes that two items may share, and K latent relations.

    >>> relations = Relations(links=(COMPLEMENT,), attributes=("category", "brand"), latent=2)
    >>> relations.names
    ('together', 'complement', 'category', 'brand', 'latent 1', 'latent 2')
    >>> relations.attribute_at, relations.latent_at, len(relations)
    (2, 4, 6)
    """

    links: tuple[str, ...] = ()
    """Relations given as pairs of items."""
    attributes: tuple[str, ...] = ()
    """Relations given as a value per item."""
    latent: int = 0

    def __post_init__(self) -> None:
        if self.latent < 0:
            raise ValueError(f"latent={self.latent}: use 0 or more")
        if len(set(self.names)) < len(self):
            raise ValueError(f"relations {', '.join(self.names)} are not distinct; name each once")

    @property
    def names(self) -> tuple[str, ...]:
        """``[R]``"""
        return (VIRTUAL, *self.links, *self.attributes, *(f"latent {k + 1}" for k in range(self.latent)))

    def __len__(self) -> int:
        return 1 + len(self.links) + len(self.attributes) + self.latent

    @property
    def attribute_at(self) -> int:
        """Where attributes begin."""
        return 1 + len(self.links)

    @property
    def latent_at(self) -> int:
        """Where latent relations begin."""
        return self.attribute_at + len(self.attributes)
