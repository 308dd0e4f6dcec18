"""What was once published can be read for good: each message type has golden files, and they never change."""

from __future__ import annotations

import typing
from pathlib import Path

import msgspec
import pytest

from dyngraph.events import EventType
from streams import artefact_messages, messages
from streams.codec import decode, encode
from streams.messages import EventName, Message
from streams.topics import TOPICS

GOLDEN = Path(__file__).parents[2] / "golden"
TYPES: list[type[Message]] = [spec.message for spec in TOPICS]
FILES = sorted(GOLDEN.glob("v*/*.json"))


def type_of(file: Path) -> type[Message]:
    name = file.name.partition(".")[0]
    kind: type[Message] = getattr(messages, name, None) or getattr(artefact_messages, name)
    return kind


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_every_type_has_a_golden_file_of_the_current_version(kind: type[Message]) -> None:
    for suffix in ("", ".minimal"):
        assert (GOLDEN / f"v{messages.SCHEMA_VERSION}" / f"{kind.__name__}{suffix}.json").is_file()


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_golden_file_is_still_read(file: Path) -> None:
    message = decode(type_of(file), file.read_bytes())
    assert message.schema_version == int(file.parent.name[1:])


@pytest.mark.parametrize("file", [f for f in FILES if f.stem.count(".") == 0], ids=lambda file: file.stem)
def test_a_full_golden_file_comes_out_as_it_went_in(file: Path) -> None:
    again = encode(decode(type_of(file), file.read_bytes()))
    assert msgspec.json.decode(again) == msgspec.json.decode(file.read_bytes())


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_the_full_golden_file_uses_every_field(kind: type[Message]) -> None:
    golden = msgspec.json.decode((GOLDEN / "v1" / f"{kind.__name__}.json").read_bytes())
    assert set(golden) == {field.encode_name for field in msgspec.structs.fields(kind)}


def test_every_message_says_its_version_on_the_wire() -> None:
    message = messages.InteractionMessage(user_id="u", item_id="i", event_type="view", ts_ms=1)
    assert encode(message) == b'{"schema_version":1,"user_id":"u","item_id":"i","event_type":"view","ts_ms":1}'


def test_the_wire_knows_exactly_the_event_types_of_the_graph() -> None:
    assert set(typing.get_args(EventName)) == {kind.label for kind in EventType}


def test_bytes_of_a_dead_letter_survive_whatever_they_are() -> None:
    letter = decode(messages.DeadLetter, (GOLDEN / "v1" / "DeadLetter.json").read_bytes())
    assert letter.value == b"\xff{broken"
