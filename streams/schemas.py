"""JSON Schema and AsyncAPI 3, generated from the message types and the topic table: they cannot go stale."""

from __future__ import annotations

from typing import Any

import msgspec

from streams.topics import DEFAULT_PREFIX, DEFAULT_SHARERS, TOPICS, TopicSpec

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REF = "#/components/schemas/{name}"


def json_schema(spec: TopicSpec) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a topic's values, with all its definitions inside."""
    # Meta counts characters, so what JSON Schema can say about ids is a little wider than the 256 bytes that
    # are enforced.
    return {"$schema": _DIALECT, **msgspec.json.schema(spec.message)}


def asyncapi(
    version: str, prefix: str = DEFAULT_PREFIX, partitions: int = 1, llm_partitions: int = DEFAULT_SHARERS
) -> dict[str, Any]:
    """An AsyncAPI 3.0 document of all topics, seen from Evergraph: it receives what producers send."""
    _, schemas = msgspec.json.schema_components([spec.message for spec in TOPICS], ref_template=_REF)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Evergraph",
            "version": version,
            "description": "Interactions in, fresh recommendations out, over Kafka.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {spec.name: _channel(spec, prefix, spec.partitions(partitions, llm_partitions)) for spec in TOPICS},
        "operations": {_operation_name(spec): _operation(spec) for spec in TOPICS},
        "components": {
            "messages": {spec.message.__name__: _message(spec) for spec in TOPICS},
            "schemas": schemas,
        },
    }


def _channel(spec: TopicSpec, prefix: str, partitions: int) -> dict[str, Any]:
    configs: dict[str, Any] = dict(spec.kafka_configs())
    configs["cleanup.policy"] = configs["cleanup.policy"].split(",")
    for name in ("retention.ms", "max.message.bytes"):
        if name in configs:
            configs[name] = int(configs[name])
    known = {"cleanup.policy", "retention.ms", "max.message.bytes"}  # what the binding has a place for
    return {
        "address": spec.full_name(prefix),
        "title": spec.name,
        "description": spec.about + (" (internal)" if spec.internal else ""),
        "messages": {spec.message.__name__: {"$ref": f"#/components/messages/{spec.message.__name__}"}},
        "bindings": {
            "kafka": {
                "topic": spec.full_name(prefix),
                "partitions": partitions,
                "topicConfiguration": {name: value for name, value in configs.items() if name in known},
                "bindingVersion": "0.5.0",
            }
        },
    }


_FROM_PRODUCERS = frozenset({"interactions", "items", "users", "recommendation-requests"})


def _operation_name(spec: TopicSpec) -> str:
    return f"{'receive' if spec.name in _FROM_PRODUCERS else 'send'}-{spec.name}"


def _operation(spec: TopicSpec) -> dict[str, Any]:
    return {
        "action": "receive" if spec.name in _FROM_PRODUCERS else "send",
        "channel": {"$ref": f"#/channels/{spec.name}"},
        "summary": spec.about,
    }


def _message(spec: TopicSpec) -> dict[str, Any]:
    name = spec.message.__name__
    return {
        "name": name,
        "title": name,
        "contentType": "application/json",
        "payload": {"$ref": _REF.format(name=name)},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": f"{spec.key} (UTF-8)"},
                "bindingVersion": "0.5.0",
            }
        },
    }
