"""A step that fails leaves the state as it was, wherever it fails and whoever it would have brought."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from unit.dyngraph.small_logs import SMALL, Event, event, fed, feed, random_log

from dyngraph.engine import Engine
from models.system import build_engine

LOG = random_log(48, seed=17)
NEWCOMERS = [event(49 + n, f"new user {n}", f"new item {n}") for n in range(70)]
MIXED = [event(48, "user-1", "item-2"), *NEWCOMERS]


class Broken(RuntimeError):
    """Raised by the part under test."""


def fails(*_: Any, **__: Any) -> Any:
    raise Broken("on purpose")


def part(name: str) -> Callable[[Engine], Any]:
    if name in ("encoder", "ranker"):
        return lambda engine: getattr(engine, name)
    return lambda engine: next(source for source in engine.sources if source.name == name)


FAILURES = [
    ("encoder", "embed"),
    ("encoder", "plan"),
    ("encoder", "grow"),
    ("ranker", "gates"),
    ("ranker", "plan"),
    *((source, method) for source in ("graph", "history", "popularity") for method in ("grow", "propose", "describe")),
]


@pytest.mark.parametrize(("name", "method"), FAILURES, ids=lambda value: value)
@pytest.mark.parametrize("batch", [LOG[:8], MIXED], ids=["known nodes", "new nodes"])
def test_a_step_that_fails_changes_nothing_and_can_be_taken_again(
    name: str, method: str, batch: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = fed(LOG, 16)
    before, horizon = engine.digest(), engine.graph.horizon
    with monkeypatch.context() as patch:
        patch.setattr(part(name)(engine), method, fails)
        with pytest.raises(Broken):
            engine.step(batch)
    assert engine.digest() == before
    assert engine.graph.horizon == horizon
    untroubled = fed(LOG, 16)
    again, straight = engine.step(batch), untroubled.step(batch)
    assert engine.digest() == untroubled.digest()
    assert {model: ranks.tolist() for model, ranks in again.ranks.items()} == {
        model: ranks.tolist() for model, ranks in straight.ranks.items()
    }


def test_the_very_first_step_may_fail_too(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = build_engine(SMALL)
    before = engine.digest()
    with monkeypatch.context() as patch:
        patch.setattr(engine.encoder, "plan", fails)
        with pytest.raises(Broken):
            engine.step(LOG[:8])
    assert engine.digest() == before
    feed(engine, LOG, 16)
    assert engine.digest() == fed(LOG, 16).digest()
