"""The table of topics, and the schemas made from it."""

from __future__ import annotations

import json

import pytest

from streams import schemas
from streams.topics import TOPICS, UnknownTopic, topic

DESIGNED = {
    "interactions",
    "items",
    "users",
    "recommendation-requests",
    "recommendations",
    "llm-jobs",
    "profiles",
    "item-vectors",
    "reasoning-graphs",
    "relations",
    "indices",
    "item-messages",
    "item-memory",
    "weights",
    "dead-letters",
    "metrics",
}


def test_all_topics_of_the_design_are_there_once() -> None:
    assert [spec.name for spec in TOPICS] == list(dict.fromkeys(spec.name for spec in TOPICS))
    assert {spec.name for spec in TOPICS} == DESIGNED


def test_the_prefix_goes_before_the_name() -> None:
    assert topic("interactions").full_name() == "evergraph.interactions"
    assert topic("interactions").full_name("shop-7.") == "shop-7.interactions"


def test_an_unknown_topic_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownTopic, match=r"'interaction'.*interactions, items"):
        topic("interaction")


def test_topics_cut_by_user_have_one_partition_per_shard_jobs_as_many_as_may_share_them_and_others_one() -> None:
    counts = {spec.name: spec.partitions(3, sharers=5) for spec in TOPICS}
    assert {name for name, count in counts.items() if count == 3} == {
        "interactions",
        "recommendation-requests",
        "recommendations",
    }
    assert {name for name, count in counts.items() if count == 5} == {"llm-jobs"}
    assert set(counts.values()) == {1, 3, 5}


def test_a_bad_record_of_any_allowed_size_fits_into_a_dead_letter() -> None:
    room = topic("dead-letters").max_message_bytes
    assert all(spec.max_message_bytes * 4 / 3 + 64 * 1024 < room for spec in TOPICS if spec.name == "interactions")
    assert topic("interactions").max_message_bytes > 5_000_000


def test_compact_topics_are_compacted_and_logs_are_not() -> None:
    assert topic("items").kafka_configs()["cleanup.policy"] == "compact"
    assert topic("interactions").kafka_configs()["cleanup.policy"] == "delete"
    assert topic("interactions").kafka_configs()["message.timestamp.type"] == "LogAppendTime"


@pytest.mark.parametrize("spec", TOPICS, ids=lambda spec: spec.name)
def test_every_topic_has_a_json_schema_with_its_bounds(spec) -> None:  # type: ignore[no-untyped-def]
    schema = schemas.json_schema(spec)
    definition = schema["$defs"][spec.message.__name__]
    assert "schema_version" in definition["properties"]
    assert json.dumps(schema)


def test_the_schema_says_what_is_required_and_how_long_an_id_is() -> None:
    schema = schemas.json_schema(topic("interactions"))["$defs"]["InteractionMessage"]
    assert schema["required"] == ["user_id", "item_id", "event_type", "ts_ms"]
    assert schema["properties"]["user_id"]["maxLength"] == 256
    assert "additionalProperties" not in schema


def test_the_asyncapi_document_points_only_at_what_it_holds() -> None:
    document = schemas.asyncapi("0.1.0", "shop.", partitions=3)
    assert document["asyncapi"] == "3.0.0"
    assert document["channels"]["interactions"]["address"] == "shop.interactions"
    assert document["channels"]["interactions"]["bindings"]["kafka"]["partitions"] == 3
    text = json.dumps(document)
    references = {part.partition('"')[0] for part in text.split('"$ref": "#/')[1:]}
    assert references
    for reference in references:
        place = document
        for step in reference.split("/"):
            place = place[step]
