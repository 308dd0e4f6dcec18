"""The producers of a replay that are not counting: a language model in this process, and answers recorded before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from dyngraph.events import Item
from evaluation.coded import CodedLog
from evaluation.profiles.rows import ROWS, Maker
from evaluation.profiles.stock import statistical
from evaluation.readers.log import InteractionLog
from llm_workers.cache import AnswerCache, RecordedAnswerer
from llm_workers.prompts.profile import profile_prompt
from llm_workers.protocols import ProfileProducer
from models.baselines.recommender import Setting

ANSWERS_USED, ANSWERS_MISSING = "answers_used", "answers_missing"
"""In the settings of an outcome."""
ANSWERS_BYTES = 1 << 40
"""Reading evicts nothing."""
FILL = "give one that `evergraph llm export-jobs --data` began for this log and model and `import-answers` filled"


class Recorded(msgspec.Struct, frozen=True):
    """Answers of one model in a cache file that ``evergraph llm import-answers`` has filled; ValueError without any."""

    path: Path
    model: str

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise ValueError(
                f"{self.path}: there is no such cache; `evergraph llm export-jobs` makes it, `import-answers` fills it"
            )
        if not self.path.stat().st_size:
            raise ValueError(f"{self.path}: is no answer cache, it is empty; {FILL}")

    def cache(self) -> AnswerCache:
        """The file, opened. Raises :class:`~llm_workers.store.StoreError` for one that is no cache."""
        return AnswerCache(self.path, ANSWERS_BYTES, given=True)

    def digest(self) -> str:
        """Of the answers. Raises :class:`~llm_workers.store.StoreError`."""
        cache = self.cache()
        try:
            return cache.store.digest()
        finally:
            cache.close()


def recorded(answers: Recorded, items: Sequence[Item]) -> ProfileProducer:
    """Profiles from recorded answers; where one is missing, by counting."""
    from llm_workers.producers.endpoint import LlmProfiles

    return LlmProfiles(RecordedAnswerer(answers.cache(), answers.model), fallback=statistical(items))


def check_answers(answers: Recorded, log: InteractionLog, coded: CodedLog, batch: int) -> None:
    """Raises ValueError where the walk of ``coded`` in steps of ``batch`` would use none of the answers.

    Keys of answers do not tell their model, so the questions of the walk are asked until one is answered.
    """
    from evaluation.profiles.jobs import jobs_along

    cache = answers.cache()
    try:
        if not len(cache.store):
            raise ValueError(f"{answers.path}: holds no answer at all; {FILL}")
        asked = 0
        for request in jobs_along(log, coded, batch):
            prompt = profile_prompt(request)
            if prompt is not None and cache.get(answers.model, prompt) is not None:
                return
            asked += prompt is not None
    finally:
        cache.close()
    raise ValueError(f"{answers.path}: holds no answer of {answers.model!r} to the {asked:,} prompts asked; {FILL}")


def told_of(producer: ProfileProducer) -> dict[str, Setting]:
    """How many recorded answers a walk used, and how many profiles were counted for want of one."""
    from llm_workers.producers.endpoint import LlmProfiles

    if not isinstance(producer, LlmProfiles):
        return {}
    return {ANSWERS_USED: producer.figures["from_cache"], ANSWERS_MISSING: producer.figures["fell_back"]}


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
