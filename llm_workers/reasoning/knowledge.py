"""The knowledge base: links that held up, looked up before anybody is asked (LLMRG, self-improvement).

A link is kept under its two items, what the user said of themselves, who verified it (model and questions) and the
items' texts as they were: another model, prompt or title makes it unknown. It says nothing of whose it was: it is
shown to others and no erasure finds it, so the sentence of a model, which knew the user's other items, is not kept, and
a link is not that says more than a kind of reason in words besides the two items' own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from llm_workers.protocols import PastItem
from llm_workers.reasoning.facts import Facts, text_of
from llm_workers.reasoning.words import KINDS_OF_REASON, words
from llm_workers.store import Store

LEAST_SCORE = 60.0


class Known(msgspec.Struct, frozen=True, array_like=True):
    """A verified link."""

    relation: str
    concept: str
    score: float


_decoder = msgspec.json.Decoder(Known)


def tells_of_nobody(link: Known, earlier: PastItem, later: PastItem) -> bool:
    """Whether a link's words are those of its two items, or of its relation no more than a kind of reason.

    A term of the catalogue is not enough: it may be what another item of the user is about.
    """
    own = set[str]()
    for item in (earlier, later):
        own |= words(item.title, item.brand, *item.categories)
    return words(link.concept) <= own and words(link.relation) <= own | KINDS_OF_REASON


class KnowledgeBase:
    """Verified links of one model, in a store that anything else may lie in too; only scores from ``least`` are kept.

    In a replay from recorded answers begin with an empty one, and take the users in the order they were recorded in:
    what is known to one depends on who came before.
    """

    def __init__(self, store: Store, model_id: str, prompt_version: str, *, least: float = LEAST_SCORE) -> None:
        self._store, self._by, self._least = store, (model_id, prompt_version), least
        self.figures = {"asked": 0, "found": 0, "kept": 0, "too_low": 0, "too_personal": 0}
        """Items looked up and found with a link, and links kept or not."""

    def best(self, earlier: Sequence[PastItem], later: PastItem, facts: Facts) -> tuple[int, Known] | None:
        """The best link to ``later`` from one of ``earlier``, and from which; of equals the first."""
        self.figures["asked"] += 1
        best: tuple[int, Known] | None = None
        for at, item in enumerate(earlier):
            known = self._get(self._key(item, later, facts))
            if known is not None and (best is None or known.score > best[1].score):
                best = at, known
        self.figures["found"] += best is not None
        return best

    def keep(self, earlier: PastItem, later: PastItem, link: Known, facts: Facts) -> None:
        """Remember a link, unless a better one is known, it scored too little or its words could tell of who took the
        items.
        """
        if link.score < self._least:
            self.figures["too_low"] += 1
            return
        if not tells_of_nobody(link, earlier, later):
            self.figures["too_personal"] += 1
            return
        key = self._key(earlier, later, facts)
        if (known := self._get(key)) is None or known.score < link.score:
            self._store.put(key, msgspec.json.encode(link))
            self.figures["kept"] += 1

    def _get(self, key: str) -> Known | None:
        raw = self._store.get(key)
        if raw is None:
            return None
        try:
            known = _decoder.decode(raw)
        except msgspec.DecodeError:
            known = None
        if known is None or not self._least <= known.score <= 100:
            self._store.drop(key)
            return None
        return known

    def _key(self, earlier: PastItem, later: PastItem, facts: Facts) -> str:
        sides = [(item.item_id, text_of(item)) for item in (earlier, later)]
        content = [*self._by, sides, sorted(facts.request.attributes)]
        return f"link/{hashlib.blake2b(msgspec.json.encode(content), digest_size=20).hexdigest()}"
