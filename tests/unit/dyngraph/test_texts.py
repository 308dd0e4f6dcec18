"""Text vectors of items by row agree with what was put by id, whichever of row and vector came first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dyngraph.ids import IdTable
from dyngraph.state import digest
from dyngraph.texts import TextVectors, Vector

WIDTH = 2
NAMES = st.sampled_from([f"item-{number}" for number in range(6)])
VECTORS = st.tuples(st.sampled_from([0.0, 0.5, -2.0]), st.sampled_from([1.0, 0.25]))


class VectorsAndRows(RuleBasedStateMachine):
    """Rows come, are taken back and loaded; vectors are put, replaced and forgotten; in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = IdTable()
        self.texts = TextVectors(self.ids, WIDTH)
        self.kept: dict[str, tuple[float, ...]] = {}
        self.copy: dict[int, list[float]] = {}
        self.read_at = 0

    @rule(vectors=st.dictionaries(NAMES, VECTORS, max_size=4), packed=st.booleans())
    def put(self, vectors: dict[str, tuple[float, ...]], packed: bool) -> None:
        news = sum(self.kept.get(name) != vector for name, vector in vectors.items())
        given: dict[str, Vector] = {
            name: np.array(vector, "<f2").tobytes() if packed else vector for name, vector in vectors.items()
        }
        assert self.texts.put(given) == news
        self.kept |= vectors

    @rule(name=NAMES)
    def forget(self, name: str) -> None:
        self.texts.forget(name)
        self.kept.pop(name, None)

    @rule(names=st.lists(NAMES, max_size=3))
    def rows_come(self, names: list[str]) -> None:
        self.ids.add(names)

    @rule(names=st.lists(NAMES, max_size=3), seen=st.booleans())
    def rows_come_and_are_taken_back(self, names: list[str], seen: bool) -> None:
        size = len(self.ids)
        self.ids.add(names)
        if seen:
            assert len(self.texts.rows) == len(self.ids)
        self.ids.truncate(size)

    @rule(names=st.lists(NAMES, unique=True))
    def all_is_loaded_with_other_rows(self, names: list[str]) -> None:
        other = IdTable()
        other.add(names)
        state = self.texts.state()
        self.ids.load_state(other.state())
        self.texts.load_state(state)
        assert digest(self.texts.state()) == digest(state)

    @rule()
    def a_consumer_reads_what_has_changed(self) -> None:
        """One that keeps a copy of each row, and reads only those it is told of."""
        if self.texts.version != self.read_at:
            changed = self.texts.changed_since(self.read_at).tolist()
            self.copy |= {row: self.texts.rows[row].tolist() for row in changed}
            self.read_at = self.texts.version
        for row in range(1, len(self.ids)):
            assert self.copy.get(row, [0.0, 0.0]) == self.texts.rows[row].tolist()

    @invariant()
    def every_row_is_what_was_put(self) -> None:
        expected = [list(self.kept.get(self.ids[row], (0.0, 0.0))) for row in range(len(self.ids))]
        assert self.texts.rows.tolist() == expected
        assert self.texts.rows.dtype == np.float32
        assert len(self.texts) == len(self.kept)


TestVectorsAndRows = VectorsAndRows.TestCase
TestVectorsAndRows.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


@pytest.mark.parametrize("vector", [[1.0], [1.0, 2.0, 3.0], [1.0, np.nan], [1.0, 1e6], [[1.0, 2.0]], b"abc", b""])
def test_a_vector_that_does_not_fit_is_counted_and_left_out(vector: Vector) -> None:
    ids = IdTable()
    texts = TextVectors(ids, WIDTH)
    ids.add(["tea"])
    assert texts.put({"tea": vector, "jam": [0.5, 1.0]}) == 1
    assert texts.refused == {"unfit": 1}
    assert texts.get("tea") is None
    assert not texts.rows.any()


def test_equal_vectors_put_again_leave_the_version_as_it_is() -> None:
    ids = IdTable()
    ids.add(["tea", "jam"])
    texts = TextVectors(ids, WIDTH)
    texts.put({"tea": [0.5, 1.0]})
    version = texts.version
    assert texts.put({"tea": np.array([0.5, 1.0])}) == 0
    assert texts.version == version
    texts.put({"jam": [0.1, 0.2], "not yet a row": [1.0, 1.0]})
    assert texts.changed_since(version).tolist() == [2]


def test_a_store_without_width_takes_nothing() -> None:
    texts = TextVectors(IdTable(), 0)
    assert texts.put({"tea": [], "jam": b""}) == 0
    assert texts.rows.shape == (1, 0)
