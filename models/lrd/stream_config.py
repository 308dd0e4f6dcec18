"""What may differ between two LRD models that learn on line."""

from __future__ import annotations

import msgspec

from models.lrd.config import LrdConfig

SMALL = LrdConfig(
    latent=6,
    dim=32,
    history=10,
    n_dft=32,
    lambda_=1.0,
    balance=1.0,
    normalised=True,
    posterior_at_inference=True,
)


class StreamLrdConfig(msgspec.Struct, frozen=True):
    """The method's settings, and how much of it is done per event. Raises ValueError for a count below 1."""

    method: LrdConfig = SMALL
    """Of its settings ``layers``, ``heads``, ``l2`` and ``gamma`` mean nothing here: contexts are mixed linearly, and
    relations between items that are given as triplets are not learned on line."""
    rows_lr: float = 0.1
    """Adagrad's, of the vectors of users, items and attribute values."""
    lr: float = 2e-3
    """Adam's, of everything else."""
    clip: float = 5.0
    draws: int = 4
    """Items that each learned event is told from."""
    pool: int = 128
    """Items that an update draws them from: so many drawn with replacement, less those that nobody has met."""
    learn_events: int = 64
    """Events that are learned at a time."""
    learn_every: int = 2
    """One event of so many is learned from, by its place in the log. Lists are as good as with every event; see
    ``docs/performance.md`` for that and for the cost."""
    neighbours: int = 16
    """Relation neighbours kept per item."""
    looked_at: int = 512
    """Items that are looked at, besides those kept, when an item's neighbours are renewed."""
    renew_every: int = 24
    """Events per renewal of one item's neighbours."""
    name_every: int = 10_000
    """Events between two versions of the relation table."""
    name_first: int = 1_000
    """Events before the first version."""
    propose: int = 60
    """Candidates per list."""

    def __post_init__(self) -> None:
        counts = (
            "draws",
            "pool",
            "learn_events",
            "learn_every",
            "neighbours",
            "looked_at",
            "renew_every",
            "name_every",
            "name_first",
            "propose",
        )
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: use 1 or more")
