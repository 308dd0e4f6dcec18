"""A small shop, and users to reason about."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dyngraph.events import Item
from dyngraph.reasoning import ReasoningGraph
from dyngraph.refreshing import Related
from llm_workers.reasoning.request import ReasoningRequest
from llm_workers.requests import past_item

SHOP = {
    item.item_id: item
    for item in (
        Item("red", "Red polish", "OPI", ("Makeup > Nails > Nail Polish",)),
        Item("blue", "Blue polish", "OPI", ("Makeup > Nails > Nail Polish",)),
        Item("green", "Green polish", "Essie", ("Makeup > Nails > Nail Polish",)),
        Item("top", "Top coat", "Essie", ("Makeup > Nails > Top Coats",)),
        Item("file", "Glass nail file", "Tools Co", ("Tools > Nail Files",)),
        Item("shampoo", "Mild shampoo", "Acme", ("Hair > Shampoos",)),
        Item("rinse", "Hair rinse", "Acme", ("Hair > Conditioners",)),
        Item("comb", "Wooden comb", "Combs", ("Hair > Combs",)),
        Item("twin", "Wooden comb", "Combs", ("Hair > Combs",)),
        Item("bare"),
    )
}
NEAR = (
    Related("red", "blue", "follows", 0.4),
    Related("red", "green", "follows", 0.3),
    Related("blue", "top", "follows", 0.3),
    Related("blue", "green", "follows", 0.2),
    Related("top", "file", "follows", 0.5),
    Related("top", "green", "together", 0.2),
    Related("shampoo", "rinse", "follows", 0.6),
    Related("rinse", "comb", "follows", 0.1),
)


def request(
    *item_ids: str,
    user_id: str = "anna",
    neighbours: Sequence[Related] = NEAR,
    previous: ReasoningGraph | None = None,
    attributes: tuple[tuple[str, str], ...] = (),
) -> ReasoningRequest:
    """Of a user who took these items, one a moment."""
    past = tuple(past_item(SHOP.get, item_id, at, 1.0) for at, item_id in enumerate(item_ids, start=1))
    return ReasoningRequest(user_id, len(past), len(past), len(past), past, tuple(neighbours), previous, attributes)


class WordCounts:
    """A text encoder whose cosine is the share of common words."""

    model_id, width = "words", 256

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``[n, 256]``."""
        counts = np.zeros((len(texts), self.width), np.float32)
        for row, text in enumerate(texts):
            for word in text.casefold().replace(".", " ").replace(",", " ").split():
                counts[row, zlib.crc32(word.encode()) % self.width] += 1
        lengths = np.linalg.norm(counts, axis=1, keepdims=True)
        return counts / np.maximum(lengths, 1e-9)
