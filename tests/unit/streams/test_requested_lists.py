"""Requests answered from a shard: each gets the list that it would get alone, filters and all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.dyngraph.small_logs import SMALL, random_log

from dyngraph.events import Item
from dyngraph.shard import LogRecord, Shard, ShardConfig
from models.system import open_shard
from streams.codec import BadMessage, decode
from streams.messages import Filters, RecommendationRequest
from streams.worker.requests import answers


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[Shard]:
    made = open_shard(ShardConfig(state_dir=tmp_path, clock="log"), 0, SMALL)
    made.put_items([Item(f"item-{n}", brand=f"b{n % 3}", categories=(f"c{n % 8}",), price=float(n)) for n in range(80)])
    made.apply([LogRecord(seq, one.ts, one) for seq, one in random_log(300, users=9, items=80, seed=2)])
    yield made
    made.close()


def number(item_id: str) -> int:
    return int(item_id.partition("-")[2])


def request(name: str, user: str = "user-1", k: int = 5, **settings: object) -> RecommendationRequest:
    exclude = settings.pop("exclude", ())
    filters = Filters(**settings) if settings else None  # type: ignore[arg-type]
    return RecommendationRequest(request_id=name, user_id=user, k=k, filters=filters, exclude=exclude)  # type: ignore[arg-type]


def test_filters_leave_full_lists_of_what_was_asked_for(shard: Shard) -> None:
    (made,), version = answers(shard, [request("r", categories=("c3",), price_min=10.0)])
    assert version == shard.engine.encoder.version
    assert len(made.items) == 5
    assert all(number(item.item_id) % 8 == 3 and number(item.item_id) >= 10 for item in made.items)
    (other,), _ = answers(shard, [request("r", without_categories=("c3", "c4"), brands=("b1",), k=20)])
    assert all(number(one.item_id) % 8 not in (3, 4) and number(one.item_id) % 3 == 1 for one in other.items)
    assert len(other.items) > 10


def test_what_was_bought_is_hidden_on_request(shard: Shard) -> None:
    bought = {one.item_id for one in shard.history("user-1", 100)}
    (plain,), _ = answers(shard, [request("r", k=30)])
    (hidden,), _ = answers(shard, [request("r", k=30, hide_after=("purchase",))])
    assert bought & {item.item_id for item in plain.items}
    assert not bought & {item.item_id for item in hidden.items}
    assert len(hidden.items) == 30


def test_requests_that_wait_together_are_answered_each_as_if_alone(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard, "now", shard.horizon.next)  # time goes by between two questions, and scores with it
    requests = [
        request("a"),
        request("b", "user-2", categories=("c3",)),
        request("c", "user-3", k=3),
        request("d", "user-1", exclude=("item-1", "item-2")),
        request("e", "user-4", categories=("c3",)),
        request("f", "user-1"),
        request("g", "stranger", k=2, categories=("c3",)),
    ]
    at = shard.horizon
    together, _ = answers(shard, requests)
    for one, made in zip(requests, together, strict=True):
        ((alone,), _) = answers(shard, [one])
        assert made.user_id == one.user_id
        assert len(made.items) == one.k
        assert [item.item_id for item in made.items] == [item.item_id for item in alone.items]
    assert shard.horizon == at


def test_hiding_after_impressions_is_refused_on_the_wire() -> None:
    body = b'{"request_id":"r","user_id":"u","filters":{"hide_after":["impression"]}}'
    with pytest.raises(BadMessage, match="impression"):
        decode(RecommendationRequest, body)
