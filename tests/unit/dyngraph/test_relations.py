"""The relation table as an artefact: it travels whole, and refuses what is none."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from dyngraph.relations import Pair, RelationSlot, RelationTable

VECTORS = np.arange(8, dtype="<f2").reshape(2, 4)


def table(**changes: object) -> RelationTable:
    slots = (
        RelationSlot(VECTORS[0].tobytes(), 0.75, (Pair("a", "b", 0.9),), "refill of"),
        RelationSlot(VECTORS[1].tobytes(), 0.25),
    )
    return msgspec.structs.replace(RelationTable(2, 1_000, 17, slots, "statistical"), **changes)


def test_a_table_comes_back_from_json_as_it_was() -> None:
    there = msgspec.json.decode(msgspec.json.encode(table()), type=RelationTable)
    assert there == table()
    np.testing.assert_array_equal(there.embeddings(), VECTORS.astype(np.float32))
    assert there.dim == 4
    assert there.usage == [0.75, 0.25]


def test_a_relation_is_called_by_its_name_or_its_number() -> None:
    assert table().label(1) == "refill of"
    assert table().label(2) == "latent relation 2"
    for number in (0, 3):
        with pytest.raises(ValueError, match=f"relation {number} is none of this table's; it has 1 to 2"):
            table().label(number)


def test_a_table_without_slots_is_one() -> None:
    empty = table(slots=())
    assert empty.dim == 0
    assert empty.embeddings().shape == (0, 0)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"version": 0}, "versions count from 1"),
        ({"slots": (RelationSlot(bytes(4), 0.5), RelationSlot(bytes(6), 0.5))}, "the same number of float16"),
        ({"slots": (RelationSlot(bytes(3), 0.5),)}, "the same number of float16"),
        ({"slots": (RelationSlot(b"", 0.5),)}, "the same number of float16"),
        ({"slots": (RelationSlot(bytes(4), -0.5),)}, "usage -0.5 of relation 1"),
        ({"slots": (RelationSlot(bytes(4), math.nan),)}, "usage nan of relation 1"),
        ({"slots": (RelationSlot(np.array([np.inf], "<f2").tobytes(), 0.5),)}, "embedding of relation 1"),
    ],
)
def test_what_is_no_table_is_refused(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        table(**wrong)


def test_a_decoded_table_is_checked_too() -> None:
    broken = msgspec.json.encode(msgspec.to_builtins(table()) | {"version": 0})
    with pytest.raises(msgspec.ValidationError, match="versions count from 1"):
        msgspec.json.decode(broken, type=RelationTable)
