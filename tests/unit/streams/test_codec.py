"""Every bad record gets its code, every good one becomes an event."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dyngraph.events import EventType, Interaction
from streams import codec
from streams.codec import BadMessage, decode, decode_interaction, encode, to_interaction, to_message
from streams.messages import InteractionMessage, ItemMessage

GOOD = {"user_id": "u", "item_id": "i", "event_type": "purchase", "ts_ms": 1_291_191_960_000}


def record(**changes: Any) -> bytes:
    fields = {**GOOD, **changes}
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not ...})


def code_of(value: bytes | None, key: bytes | None = b"u") -> str:
    with pytest.raises(BadMessage) as caught:
        decode_interaction(value, key)
    assert caught.value.code in codec.CODES
    assert caught.value.message
    return caught.value.code


def raw(field: str, literal: str) -> bytes:
    """The good record with one field given as a JSON literal."""
    return record().replace(b'"%s":' % field.encode(), b'"%s":%s,"was":' % (field.encode(), literal.encode()))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "null_value"),
        (b"", "not_json"),
        (b"{broken", "not_json"),
        (b"\xff\xfe\x00", "not_json"),
        (record().replace(b'"u"', b'"\xff"'), "not_utf8"),
        (record() + b"x", "not_json"),
        (record().replace(b'"u"', b'"\\ud800"'), "not_json"),
        (b'{"deep":' + b"[" * 30_000 + b"]" * 30_000 + b"}", "not_json"),
        (b"[]", "wrong_type"),
        (b"null", "wrong_type"),
        (b'"text"', "wrong_type"),
        (b"{}", "missing_field"),
        (record(user_id=...), "missing_field"),
        (record(item_id=...), "missing_field"),
        (record(event_type=...), "missing_field"),
        (record(ts_ms=...), "missing_field"),
        (record(user_id=7), "wrong_type"),
        (record(user_id=None), "wrong_type"),
        (record(ts_ms="1291191960000"), "wrong_type"),
        (record(ts_ms=1.5), "wrong_type"),
        (record(ts_ms=1_291_191_960_000.0), "wrong_type"),
        (record(ts_ms=True), "wrong_type"),
        (record(value="3"), "wrong_type"),
        (record(context={"a": {"b": 1}}), "wrong_type"),
        (raw("ts_ms", "NaN"), "not_json"),
        (raw("ts_ms", "-1"), "out_of_bounds"),
        (raw("ts_ms", "1" + "0" * 23), "out_of_bounds"),
        (raw("ts_ms", "-1" + "0" * 23), "out_of_bounds"),
        (raw("ts_ms", "1e23"), "wrong_type"),
        (record(ts_ms=32_503_680_000_000), "out_of_bounds"),  # the year 3000
        (record(ts_ms=4_102_444_800_000), "out_of_bounds"),
        (record(user_id=""), "out_of_bounds"),
        (record(user_id="u" * 10_000), "out_of_bounds"),
        (record(item_id="i" * 257), "out_of_bounds"),
        (record(item_id="é" * 129), "out_of_bounds"),
        (record(event_id=""), "out_of_bounds"),
        (record(event_id="漢" * 86), "out_of_bounds"),
        (record(value=1e300), "out_of_bounds"),
        (record()[:-1] + b',"value":1e999}', "out_of_bounds"),
        (record()[:-1] + b',"value":NaN}', "not_json"),
        (record()[:-1] + b',"value":Infinity}', "not_json"),
        (record(rank=0), "out_of_bounds"),
        (record(event_type="teleport"), "unknown_event_type"),
        (record(event_type="PURCHASE"), "unknown_event_type"),
        (record(event_type=4), "wrong_type"),
        (record(schema_version=2), "unknown_schema_version"),
        (record(schema_version=0), "unknown_schema_version"),
        (record(schema_version=2, ts_ms="later versions may change anything"), "unknown_schema_version"),
        (record(schema_version="1"), "wrong_type"),
        (record(note="x" * 70_000), "too_large"),
        (b"x" * 5_000_000, "too_large"),
    ],
)
def test_a_bad_record_is_refused_with_its_code(value: bytes | None, code: str) -> None:
    assert code_of(value) == code


def test_a_null_key_and_a_foreign_key_are_told_apart_and_carry_the_event() -> None:
    assert code_of(record(), None) == "null_key"
    assert code_of(record(), b"") == "key_mismatch"
    assert code_of(record(), b"\xff") == "key_mismatch"
    with pytest.raises(BadMessage, match="set the record key to user_id") as caught:
        decode_interaction(record(), b"someone else")
    assert caught.value.interaction == decode_interaction(record(), b"u")


def test_a_bad_value_under_a_bad_key_carries_no_event() -> None:
    with pytest.raises(BadMessage) as caught:
        decode_interaction(record(ts_ms=-1), b"someone else")
    assert (caught.value.code, caught.value.interaction) == ("out_of_bounds", None)


def test_unknown_fields_are_tolerated() -> None:
    message = decode_interaction(record(added_in_2031={"deep": [1, 2]}), b"u")
    assert message.user_id == "u"


@pytest.mark.parametrize("user", ["u" * 256, "é" * 128, "漢" * 85, "a/b:c d", "\x00"])
def test_ids_up_to_256_bytes_pass(user: str) -> None:
    assert decode_interaction(record(user_id=user), user.encode()).user_id == user


def test_messages_name_the_field_and_the_fix() -> None:
    with pytest.raises(BadMessage, match=r"`\$\.ts_ms`.*evergraph topics schema"):
        decode_interaction(record(ts_ms="x"), b"u")
    with pytest.raises(BadMessage, match=r"teleport.*allowed: view, click"):
        decode_interaction(record(event_type="teleport"), b"u")


def test_an_event_keeps_its_fields_and_its_own_id() -> None:
    message = decode_interaction(record(event_id="e-1", value=2.5), b"u")
    assert to_interaction(message) == Interaction(
        event_id="e-1",
        user_id="u",
        item_id="i",
        event_type=EventType.PURCHASE,
        ts=1_291_191_960_000,
        value=2.5,
    )


@pytest.mark.parametrize("kind", list(EventType))
def test_every_event_type_goes_through_the_wire(kind: EventType) -> None:
    message = decode_interaction(record(event_type=kind.label), b"u")
    assert to_interaction(message).event_type is kind
    assert to_message(to_interaction(message)) == message


def test_a_missing_event_id_is_derived_for_good() -> None:
    derived = to_interaction(decode_interaction(record(), b"u")).event_id
    assert derived == codec.derive_event_id("u", "i", "purchase", 1_291_191_960_000)
    assert derived == "7c55f9b6fe10a29681d7e0c31b467cad"  # a new value here would make all repeats look new


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_different_events_get_different_ids(one: tuple[str, str], other: tuple[str, str]) -> None:
    if one != other:
        assert codec.derive_event_id(*one, "view", 1) != codec.derive_event_id(*other, "view", 1)


def test_the_derived_id_depends_on_each_part() -> None:
    parts = [("u", "i", "view", 1), ("u", "i", "view", 2), ("u", "i", "cart", 1), ("ui", "", "view", 1)]
    assert len({codec.derive_event_id(*part) for part in parts}) == 4


def test_list_and_letter_ids_follow_from_their_place() -> None:
    assert codec.dead_letter_id("evergraph.interactions", 0, 7) == "evergraph.interactions/0/7"
    first = codec.list_id("u", 0, 7, "evergraph")
    assert first == codec.list_id("u", 0, 7, "evergraph")
    others = [
        codec.list_id("v", 0, 7, "evergraph"),
        codec.list_id("u", 1, 7, "evergraph"),
        codec.list_id("u", 0, 8, "evergraph"),
        codec.list_id("u", 0, 7, "popularity"),
        codec.list_id("u", 0, 7, "evergraph", "r-1"),
    ]
    assert len({first, *others}) == 6


@given(
    st.builds(
        InteractionMessage,
        user_id=st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
        item_id=st.text(st.characters(codec="utf-8"), min_size=1, max_size=60),
        event_type=st.sampled_from(["view", "purchase", "dislike"]),
        ts_ms=st.integers(0, 4_102_444_799_999),
        value=st.none() | st.floats(-1e12, 1e12),
    )
)
def test_what_is_encoded_is_decoded_again(message: InteractionMessage) -> None:
    assert decode_interaction(encode(message), message.user_id.encode()) == message


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_bad_message(value: bytes) -> None:
    with pytest.raises(BadMessage):
        decode_interaction(value, b"u")


def test_other_topics_have_the_same_rules() -> None:
    assert decode(ItemMessage, b'{"item_id":"i","title":"T"}').title == "T"
    with pytest.raises(BadMessage, match="ItemMessage"):
        decode(ItemMessage, b'{"item_id":""}')
    with pytest.raises(BadMessage, match="more than 10"):
        decode(ItemMessage, b'{"item_id":"i","title":"T"}', max_bytes=10)


def test_decoding_costs_microseconds_not_more() -> None:
    value, rounds = record(value=1.0), 20_000
    started = time.perf_counter()
    for _ in range(rounds):
        decode_interaction(value, b"u")
    # Measured 0.7 us; the bound only catches a fall back to something much slower on a busy machine.
    assert (time.perf_counter() - started) / rounds < 20e-6
