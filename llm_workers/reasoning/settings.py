"""What can be set of reasoning."""

from __future__ import annotations

import math

import msgspec

from dyngraph.reasoning_store import MOST_IMAGINED, MOST_STEPS

MOST_CHAIN = 4
"""Steps of a chain that are looked at before a masked one: older ones say little."""


class ReasoningSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizes and the threshold. Raises ``ValueError`` for a bad one, naming the rule and the default."""

    threshold: float = 30.0
    """τ: what scores less in its verification is dropped, 0 to 100."""
    verify: bool = True
    """Off: everything proposed is taken, with score 100 (an ablation)."""
    most_steps: int = 50
    """Steps kept, the newest."""
    proposals: int = 3
    """Links that are tried for an item, the best first."""
    chains: int = 3
    """Newest chains that are extended to imagined items; 0 extends none (an ablation)."""
    ideas: int = 4
    """Imagined items asked for per chain."""
    most_imagined: int = 12
    most_pending: int = 3
    """Imagined names kept that the catalogue has nothing like."""
    repeats: bool = False
    """Whether an item that the user has had already may be imagined."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.threshold) and 0 <= self.threshold <= 100):
            raise ValueError(f"threshold = {self.threshold!r}: must lie in 0 to 100; the default is 30")
        for name, least in (("most_steps", 1), ("proposals", 1), ("ideas", 1), ("chains", 0), ("most_imagined", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)!r}: must be {least} or more")
        if self.most_pending < 0:
            raise ValueError(f"most_pending = {self.most_pending!r}: must be 0 or more")
        if self.most_steps > MOST_STEPS:
            raise ValueError(f"most_steps = {self.most_steps!r}: a graph has room for {MOST_STEPS}; the default is 50")
        if self.most_imagined + self.most_pending > MOST_IMAGINED:
            raise ValueError(
                f"most_imagined + most_pending = {self.most_imagined} + {self.most_pending}: a graph has room for "
                f"{MOST_IMAGINED} together; the defaults are 12 and 3"
            )
