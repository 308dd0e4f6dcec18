"""What reasoning did, counted: work, calls saved, and everything that was bad."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

CALLS_PER_LINK = 3
"""What a link from the knowledge base saves: the link itself, filling in and scoring."""


@dataclass
class Figures:
    """Of one builder, or of several that share them, since the first was made."""

    graphs: int = 0
    steps: int = 0
    opened: int = 0
    """Steps that opened a chain."""
    known: int = 0
    """Links found in the knowledge base."""
    verified: int = 0
    """Links and imagined items that held up."""
    dropped: int = 0
    """Those that scored below the threshold."""
    imagined: int = 0

    # --- bad input
    without_text: int = 0
    """New items that nothing is known of but their id."""
    equal_text: int = 0
    """New items with the very text of another item of the user."""
    unmatched: int = 0
    """Imagined names that nothing in the catalogue is like."""
    unavailable: int = 0
    """Imagined items that the user has had, or an id that the catalogue does not have."""
    untouched: int = 0
    """Links to something that is none of the user's items."""
    cyclic: int = 0
    """Links to the item itself."""
    other_people: int = 0
    """Answers that name a user, a customer, a handle or an e-mail address."""
    invalid_answers: int = 0
    """Answers that did not fit their form, after all repairs."""
    previous_refused: int = 0
    """Versions to be extended that were another user's, from the future, or not sound."""

    calls: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("link", "diverge", "fill", "score"), 0))
    """Operations asked of the reasoner."""

    @property
    def saved(self) -> float:
        """Share of the calls that the knowledge base made needless."""
        spared = CALLS_PER_LINK * self.known
        return spared / max(1, spared + sum(self.calls.values()))

    def as_dict(self) -> dict[str, float]:
        """Flat, with the calls as ``calls_…`` and the share ``saved``."""
        flat = asdict(self)
        calls = flat.pop("calls")
        return {**flat, **{f"calls_{name}": count for name, count in calls.items()}, "saved": self.saved}
