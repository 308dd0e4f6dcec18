"""What a product engineer sees: interactions in, fresh explained lists out, requests answered, reads over
HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import msgspec
import pytest
from worker_process import event, keyed, producer, records, worker

from streams.messages import MetricPoint, RecommendationMessage

pytestmark = pytest.mark.slow

TS = 1_700_000_000_000


def _basket(user: str, place: int, items: tuple[str, ...]) -> list[dict[str, object]]:
    return [event(user, item, TS + 60_000 * place + number) for number, item in enumerate(items)]


def test_interactions_in_fresh_lists_out_requests_answered_and_everything_read_over_http(
    broker: str, prefix: str, tmp_path: Path
) -> None:
    with worker(broker, prefix, tmp_path) as graph, producer(broker) as client:
        interactions, answers = f"{prefix}interactions", f"{prefix}recommendations"
        client.send(f"{prefix}items", msgspec.json.encode({"item_id": "tea", "title": "Green tea"}), key=b"tea")
        client.send(
            f"{prefix}items",
            msgspec.json.encode({"item_id": "gone", "title": "Sold out", "available": False}),
            key=b"gone",
        )
        # Topics have no order among each other, so the worker must know the items before the events come.
        graph.until(lambda: graph.get("/state")["catalogue"] == 2, "aware of both items")
        for place in range(30):
            for message in _basket(f"buyer-{place}", place, ("tea", "cup", "gone")):
                client.send(interactions, msgspec.json.encode(message), key=keyed(message))
        message = event("newcomer", "cup", TS + 60_000 * 40)
        last = client.send(interactions, msgspec.json.encode(message), key=b"newcomer").get(30)
        graph.until_applied(last.offset)

        (record, *_) = records(broker, answers, 1, where=lambda record: record.key == b"newcomer")
        made = msgspec.json.decode(record.value or b"", type=RecommendationMessage)
        assert made.horizon.offset == last.offset, "the list sees the event that caused it"
        assert made.items
        assert all(item.reasons for item in made.items)
        assert "gone" not in {item.item_id for item in made.items}
        assert next(item.title for item in made.items if item.item_id == "tea") == "Green tea"
        assert made.timings["event_to_list_ms"] >= 0

        requests = f"{prefix}recommendation-requests"
        for number, user in enumerate(("newcomer", "never-seen")):
            ask = {"request_id": f"r{number}", "user_id": user, "k": 1, "exclude": ["cup"]}
            client.send(requests, msgspec.json.encode(ask), key=user.encode())
        found = records(broker, answers, 2, where=lambda record: b'"request_id"' in (record.value or b""))
        answered = {
            answer.request_id: answer
            for answer in (msgspec.json.decode(record.value or b"", type=RecommendationMessage) for record in found)
        }
        assert set(answered) == {"r0", "r1"}
        assert [item.item_id for item in answered["r1"].items] == ["tea"], "an unknown user gets what is popular"

        shown = graph.get("/lists/newcomer?k=2")
        assert [item["rank"] for item in shown["items"]] == [1, 2]
        assert graph.get("/history/newcomer")["events"][0]["item_id"] == "cup"
        assert graph.get("/health/ready") == {"status": "ready"}
        state = graph.get("/state?digest=1")
        assert state["lag"] == 0
        assert state["counters"]["requests"] == 2
        assert len(state["shards"][0]["digest"]) >= 32
        assert "evergraph" in state["shards"][0]["prequential"]

        (point, *_) = records(broker, f"{prefix}metrics", 1)
        assert msgspec.json.decode(point.value or b"", type=MetricPoint).series in ("hr@10", "ndcg@10", "mrr")


def test_reads_that_make_no_sense_are_told_error_rule_and_fix(broker: str, prefix: str, tmp_path: Path) -> None:
    with worker(broker, prefix, tmp_path) as graph:
        for path, status in (
            ("/lists/u?k=0", 400),
            ("/lists/u?k=ten", 400),
            ("/history/u?n=-1", 400),
            ("/nothing", 404),
        ):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(f"{graph.url}{path}", timeout=10)
            assert caught.value.code == status
            assert set(msgspec.json.decode(caught.value.read())) == {"error", "rule", "fix"}
        assert graph.get("/")["paths"]


def test_a_tombstone_erases_once_and_not_again_after_a_start(broker: str, prefix: str, tmp_path: Path) -> None:
    with worker(broker, prefix, tmp_path) as graph, producer(broker) as client:
        interactions = f"{prefix}interactions"
        client.send(interactions, msgspec.json.encode(event("u", "before", TS)), key=b"u").get(30)
        graph.until_applied(0)
        client.send(f"{prefix}users", None, key=b"u").get(30)
        graph.until(lambda: graph.get("/history/u")["events"] == [], "erased")
        client.send(interactions, msgspec.json.encode(event("u", "after", TS + 1)), key=b"u").get(30)
        graph.until_applied(1)
        assert graph.end() == 0
        graph.start()
        assert [entry["item_id"] for entry in graph.get("/history/u")["events"]] == ["after"]


def test_items_published_while_the_worker_runs_are_known_to_the_next_list(
    broker: str, prefix: str, tmp_path: Path
) -> None:
    with worker(broker, prefix, tmp_path) as graph, producer(broker) as client:
        interactions = f"{prefix}interactions"
        for place, user in enumerate(("a", "b", "c")):
            client.send(interactions, msgspec.json.encode(event(user, "tea", TS + place)), key=user.encode())
        client.flush()
        graph.until_applied(2)
        item = {"item_id": "tea", "title": "Green tea"}
        client.send(f"{prefix}items", msgspec.json.encode(item), key=b"tea").get(30)
        graph.until(lambda: [entry["title"] for entry in graph.get("/lists/d?k=1")["items"]] == ["Green tea"], "titled")
