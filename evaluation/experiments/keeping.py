"""Outcomes on disk, found again by what they depend on, so that a stopped experiment goes on where it stood."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from evaluation.protocols.outcome import Outcome, load_outcome, save_outcome
from evaluation.protocols.plan import Plan

FOLDER = "outcomes"


def fingerprint(contender: str, *, log: str, plan: Plan, code: str, options: Mapping[str, int | str | None]) -> str:
    """Sixteen hex digits of everything that can change an outcome.

    ``log`` and ``code`` are digests of the data and of the code that runs, ``options`` those that the contender reads.
    """
    parts = {"contender": contender, "log": log, "plan": plan.settings(), "code": code, **options}
    return hashlib.blake2b(msgspec.json.encode(parts, order="sorted"), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Keeper:
    """Keeps one file per contender and fingerprint below ``folder``. ``fresh``: what lies there is not taken again."""

    folder: Path
    fresh: bool = False

    def path(self, contender: str, mark: str) -> Path:
        """Where the outcome lies, or would lie."""
        return self.folder / FOLDER / f"{re.sub(r'[^A-Za-z0-9]+', '-', contender).strip('-')}-{mark}.npz"

    def find(self, contender: str, mark: str) -> Outcome | None:
        """The outcome if it is there. Raises OutcomeFileError for a file that holds none."""
        path = self.path(contender, mark)
        return load_outcome(path) if not self.fresh and path.exists() else None

    def keep(self, contender: str, mark: str, outcome: Outcome) -> None:
        """Write the outcome; a reader sees all of it or nothing."""
        save_outcome(outcome, self.path(contender, mark))
