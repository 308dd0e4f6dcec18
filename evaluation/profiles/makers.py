"""The producers of a replay that are not counting: a language model in this process, and answers recorded before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from dyngraph.events import Item
from evaluation.profiles.rows import ROWS, Maker
from evaluation.profiles.stock import statistical
from llm_workers.cache import AnswerCache, RecordedAnswerer
from llm_workers.protocols import ProfileProducer

ANSWERS_BYTES = 1 << 40
"""Reading evicts nothing."""


class Recorded(msgspec.Struct, frozen=True):
    """Answers of one model in a cache file that ``evergraph llm import-answers`` has filled; ValueError without one."""

    path: Path
    model: str

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise ValueError(f"{self.path}: there is no such cache; `evergraph llm import-answers` makes it")


def recorded(answers: Recorded, items: Sequence[Item]) -> ProfileProducer:
    """Profiles from recorded answers; where one is missing, by counting."""
    from llm_workers.producers.endpoint import LlmProfiles

    cache = AnswerCache(answers.path, ANSWERS_BYTES)
    return LlmProfiles(RecordedAnswerer(cache, answers.model), fallback=statistical(items))


def embedded(items: Sequence[Item]) -> ProfileProducer:
    """Profiles with the help of the embedded language model."""
    from llm_workers.producers.embedded import EmbeddedProfiles
    from llm_workers.producers.terms import Terms

    return EmbeddedProfiles(Terms.of(items))


def producers(rows: Sequence[str], items: Sequence[Item], answers: Recorded | None) -> dict[Maker, ProfileProducer]:
    """What the rows need besides counting. Raises ValueError for recorded facets without answers."""
    makers = {ROWS[name].maker for name in rows if name in ROWS}
    made: dict[Maker, ProfileProducer] = {}
    if "embedded" in makers:
        made["embedded"] = embedded(items)
    if "recorded" in makers:
        if answers is None:
            raise ValueError("recorded facets: name the cache with the answers (--answers) and their model (--model)")
        made["recorded"] = recorded(answers, items)
    return made
