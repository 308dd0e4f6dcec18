"""What is made with an encoder: facet vectors, item vectors, and the cache before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dyngraph.events import Item
from llm_workers.protocols import Facets
from llm_workers.store import Store
from llm_workers.vectors.cached import CachedEncoder
from llm_workers.vectors.facets import facet_vectors, falling
from llm_workers.vectors.hashed import RandomVectors
from llm_workers.vectors.items import AT_ONCE, encode_items, item_text


class Counted(RandomVectors):
    """Remembers what it was asked."""

    def __init__(self, width: int = 8, seed: int = 0) -> None:
        super().__init__(width, seed)
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        return super().encode(texts)


def rows(raw: bytes, width: int) -> NDArray[np.float32]:
    return np.frombuffer(raw, "<f2").reshape(4, width).astype(np.float32)


def test_a_facet_is_the_mean_of_its_phrases_falling_by_rank() -> None:
    encoder = RandomVectors(8)
    found = rows(facet_vectors(Facets(categories=("a", "b", "c"), brands=("a",)), encoder), 8)
    a, b, c = encoder.encode(["a", "b", "c"])
    mean = a / np.log2(2) + b / np.log2(3) + c / np.log2(4)
    np.testing.assert_allclose(found[2], mean / np.linalg.norm(mean), atol=1e-3)
    np.testing.assert_allclose(found[3], a, atol=1e-3)
    assert not found[:2].any()


def test_facets_come_in_the_order_of_profiles_and_equal_phrases_are_encoded_once() -> None:
    encoder = Counted()
    found = rows(facet_vectors(Facets(("s",), ("i",), ("s",), ("b",)), encoder), 8)
    assert encoder.asked == ["s", "i", "b"]
    expected = RandomVectors(8).encode(["s", "i", "s", "b"])
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert not rows(facet_vectors(Facets(), Counted()), 8).any()


def test_weights_fall_by_rank() -> None:
    np.testing.assert_allclose(falling(3), [1, 1 / np.log2(3), 0.5], rtol=1e-6)


def test_what_was_encoded_once_is_kept_in_a_file(tmp_path: Path) -> None:
    encoder = Counted()
    store = Store(tmp_path / "cache.sqlite", 1 << 20)
    first = CachedEncoder(encoder, store).encode(["a", "b", "a", ""])
    store.close()
    cached = CachedEncoder(encoder, Store(tmp_path / "cache.sqlite", 1 << 20))
    np.testing.assert_array_equal(cached.encode(["a", "b", "a", ""]), first)
    assert encoder.asked == ["a", "b"]
    assert (cached.asked, cached.found) == (2, 2)
    np.testing.assert_allclose(first[:2], RandomVectors(8).encode(["a", "b"]), atol=1e-3)
    assert not first[3].any()


def test_two_models_share_a_store_but_no_vector() -> None:
    store = Store(None, 1 << 20)
    one = CachedEncoder(Counted(seed=1), store).encode(["a"])
    two = CachedEncoder(Counted(seed=2), store).encode(["a"])
    assert np.abs(one - two).max() > 0.01


def test_an_entry_of_another_length_is_encoded_again() -> None:
    class Broken:
        def __init__(self) -> None:
            self.kept: dict[str, bytes] = {}

        def get(self, key: str) -> bytes | None:
            return self.kept.get(key, b"short")

        def put_many(self, entries: Iterable[tuple[str, bytes, str]]) -> None:
            self.kept.update((key, value) for key, value, _ in entries)

    cached = CachedEncoder(Counted(), Broken())
    np.testing.assert_allclose(cached.encode(["a"]), RandomVectors(8).encode(["a"]), atol=1e-3)
    cached.encode(["a"])
    assert (cached.asked, cached.found) == (2, 1)


def test_an_items_text_is_bounded_and_one_line() -> None:
    hostile = Item("1", "x\n\x00y " * 5_000, "b" * 900, tuple(f"{'c' * 500} > {n}" for n in range(60)))
    text = item_text(hostile)
    assert len(text) < 600
    assert text.isprintable()
    assert item_text(Item("1")) == ""
    assert item_text(Item("1", brand="Unknown", categories=("Comedy", "Drama"))) == "Comedy, Drama"


def test_a_catalogue_is_encoded_once_per_text_and_progress_is_told() -> None:
    items = [Item(str(n), f"title {n % (AT_ONCE + 88)}") for n in range(2 * AT_ONCE)] + [Item("empty")]
    told: list[tuple[int, int]] = []
    encoder = Counted()
    vectors = {item.item_id: vector for item, vector in encode_items(items, encoder, lambda *n: told.append(n))}
    assert len(encoder.asked) == AT_ONCE + 88
    assert told == [(AT_ONCE, AT_ONCE + 88), (AT_ONCE + 88, AT_ONCE + 88)]
    assert vectors.keys() == {item.item_id for item in items} - {"empty"}
    np.testing.assert_allclose(vectors["7"], RandomVectors(8).encode(["title 7"])[0], atol=1e-3)
