"""What was asked, answered, spent and paid, per artefact kind."""

from __future__ import annotations

from collections import defaultdict

from llm_workers.protocols import Spent

Figures = dict[str, dict[str, float]]


class Usage:
    """Counters since the start of the process."""

    def __init__(self) -> None:
        self._kinds: defaultdict[str, dict[str, float]] = defaultdict(
            lambda: {
                "requests": 0,
                "answers": 0,
                "prompt_tokens": 0,
                "completion_tokens": 0,
                "seconds": 0.0,
                "usd": 0.0,
            }
        )

    def asked(self, kind: str) -> None:
        """A request goes out."""
        self._kinds[kind]["requests"] += 1

    def answered(self, kind: str, spent: Spent) -> None:
        """A request came back with an answer, good or bad."""
        figures = self._kinds[kind]
        figures["answers"] += 1
        figures["prompt_tokens"] += spent.prompt_tokens
        figures["completion_tokens"] += spent.completion_tokens
        figures["seconds"] += spent.seconds
        figures["usd"] += spent.usd

    def failed(self, kind: str, code: str) -> None:
        """A request ended in an error of this code."""
        figures = self._kinds[kind]
        figures[f"failed_{code}"] = figures.get(f"failed_{code}", 0) + 1

    def as_dict(self) -> Figures:
        """A copy: artefact kind -> figure -> value."""
        return {kind: dict(figures) for kind, figures in self._kinds.items()}
