"""Names of latent relations through a real broker: a table goes out, a model's names come back into the shard."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from llm_server import LlmServer
from worker_process import READY_WITHIN_S, WorkerProcess, producer, records, worker

from streams.artefact_messages import Relation, Relations
from streams.broker import EmbeddedBroker
from streams.codec import encode
from streams.messages import Horizon, ItemMessage
from streams.relation_names import names_of, table_of, wanted_names

pytestmark = pytest.mark.slow

ITEMS = [ItemMessage(item_id=f"{kind}{n}", title=f"{kind} number {n}") for kind in ("razor", "blade") for n in range(4)]


def table(version: int, partition: int = 0, names: tuple[str, ...] = ("razor with blade", "other")) -> Relations:
    """Its first relation leads from razors to blades, the second between items that nobody knows."""
    pairs = [Relation(head=f"razor{n}", tail=f"blade{(n + version) % 4}", relation=1, strength=0.9) for n in range(4)]
    pairs += [Relation(head=f"x{n}", tail=f"y{n}", relation=2, strength=0.5) for n in range(4)]
    return Relations(
        entity_id=f"shard-{partition}",
        version=version,
        horizon=Horizon(ts_ms=1, offset=1, partition=partition),
        producer="statistical",
        model_id="shared terms",
        prompt_version="none",
        created_at_ms=1,
        relations=tuple(pairs),
        names=names,
    )


def publish(broker: str, prefix: str, *tables: Relations) -> None:
    with producer(broker) as client:
        for item in ITEMS:
            client.send(f"{prefix}items", encode(item), key=item.item_id.encode())
        for one in tables:
            client.send(f"{prefix}relations", encode(one), key=one.entity_id.encode())
        client.flush()


def test_a_table_is_named_by_the_model_and_the_names_reach_the_shard(
    embedded_broker: EmbeddedBroker, prefix: str, tmp_path: Path
) -> None:
    broker = embedded_broker.address
    with LlmServer(text=json.dumps({"name": "refill of"})) as server, worker(broker, prefix, tmp_path) as graph:
        publish(broker, prefix, table(1), table(1, partition=7))
        settings = {"llm_producer": "endpoint", "llm_base_url": server.url, "llm_model": "small"}
        llm = WorkerProcess(broker, prefix, tmp_path, role="llm", **settings)
        try:
            llm.spawn()
            llm.until(lambda: llm.url is not None, "serving", READY_WITHIN_S)
            found = records(broker, f"{prefix}relations", 2, where=lambda one: (one.key or b"").startswith(b"names-"))
            named = {one.key: msgspec.json.decode(one.value or b"", type=Relations) for one in found}
            assert set(named) == {b"names-0", b"names-7"}
            said = named[b"names-0"]
            assert (said.version, said.names, said.producer) == (1, ("refill of", "other"), "endpoint")
            assert (said.model_id, said.prompt_version, said.relations) == ("small", "relations.v1", ())
            assert server.requests == 1, "both tables hold the same pairs, and items without texts cost no call"
            graph.until(lambda: graph.get("/state")["artefacts"].get("relations") == 1, "given its own names")

            # A newer version is named anew; one that has names already is not asked about again after a new start.
            publish(broker, prefix, table(2))
            llm.until(lambda: llm.get("/state")["published"]["named_tables"] == 3, "naming the new version")
            graph.until(lambda: graph.get("/state")["artefacts"]["relations"] == 2, "given them")
            assert llm.end() == 0
            llm.spawn()
            llm.until(lambda: llm.url is not None, "serving", READY_WITHIN_S)
            publish(broker, prefix, table(3))
            llm.until(lambda: llm.get("/state")["published"]["named_tables"] >= 1, "naming the third version")
            state = llm.get("/state")
            assert state["published"]["named_tables"] == 1 and state["relation_names"]["asked"] == 1
        finally:
            llm.close()


def test_what_travels_is_told_apart_by_its_key() -> None:
    one = table(4, partition=12)
    assert (table_of(one), names_of(one)) == (12, None)
    given = msgspec.structs.replace(one, entity_id="names-12", names=("refill of", ""))
    found = names_of(given)
    assert table_of(given) is None and found is not None
    assert (found.partition, found.version, found.names) == (12, 4, ("refill of", ""))
    for odd in ("shard-", "names-x", "shard-1 ", "somebody-1", "shard--1"):
        other = msgspec.structs.replace(one, entity_id=odd)
        assert (table_of(other), names_of(other)) == (None, None)
    wanted = wanted_names(one)
    assert [relation.name for relation in wanted] == ["razor with blade", "other"]
    assert (wanted[0].pairs[0].past, wanted[0].pairs[0].candidate) == ("razor0", "blade0")
    beyond = msgspec.structs.replace(one, relations=(Relation(head="a", tail="b", relation=9),))
    assert [relation.pairs for relation in wanted_names(beyond)] == [(), ()]
