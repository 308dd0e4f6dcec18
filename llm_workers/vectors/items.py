"""Items as text, and a catalogue as vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dyngraph.events import Item
from llm_workers.producers.terms import brand_of, category_paths
from llm_workers.protocols import TextEncoder

LONGEST_TITLE = 200
MOST_CATEGORIES = 3
AT_ONCE = 512
"""Texts between two reports of progress."""

Progress = Callable[[int, int], None]
"""Told how many are done, and of how many."""


def item_text(item: Item) -> str:
    """Title, brand and the last levels of up to three categories, bounded; empty for an item without text.

    >>> item_text(Item("i", title="Red  Shatter", brand="OPI", categories=("Makeup > Nails > Nail Polish",)))
    'Red Shatter. OPI. Nails, Nail Polish'
    """
    title = " ".join("".join(c if c.isprintable() else " " for c in item.title[: 4 * LONGEST_TITLE]).split())
    levels = dict.fromkeys(level for path in category_paths(item)[:MOST_CATEGORIES] for level in path[-2:])
    return ". ".join(filter(None, (title[:LONGEST_TITLE].rstrip(), brand_of(item), ", ".join(levels))))


def encode_items(
    items: Sequence[Item], encoder: TextEncoder, progress: Progress | None = None
) -> Iterator[tuple[Item, NDArray[np.float16]]]:
    """Each item that has text, with its vector ``[w]`` of length 1; equal texts are encoded once.

    ``progress`` is told after every :data:`AT_ONCE` texts.
    """
    texts = [item_text(item) for item in items]
    distinct = [text for text in dict.fromkeys(texts) if text]
    # Texts of about equal length together: the encoder pads less, and progress slows down evenly.
    distinct.sort(key=len)
    vectors: dict[str, NDArray[np.float16]] = {}
    for start in range(0, len(distinct), AT_ONCE):
        part = distinct[start : start + AT_ONCE]
        vectors.update(zip(part, encoder.encode(part).astype(np.float16), strict=True))
        if progress is not None:
            progress(start + len(part), len(distinct))
    for item, text in zip(items, texts, strict=True):
        if text:
            yield item, vectors[text]
