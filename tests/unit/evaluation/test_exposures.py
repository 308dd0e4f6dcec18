"""From published lists and interactions to what a policy would have earned: each of them counts once, and in time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from dyngraph.events import EventType
from evaluation.exposures import always, join_exposures, off_policy_report, read_lists
from evaluation.off_policy import OffPolicyError
from streams.messages import Horizon, RecommendationMessage, RecommendedItem

HOUR_MS = 3_600_000
HOURS = timedelta(hours=1)


def published(
    list_id: str, user: str, hour: float, *items: str, explored: str | None = None, chance: float = 0.5
) -> bytes:
    """A list as it lies on the topic, ``explored`` in its last place."""
    places = [RecommendedItem(item_id=item, score=1.0, rank=n, source="graph") for n, item in enumerate(items, start=1)]
    if explored is not None:
        rank = len(items) + 1
        places.append(RecommendedItem(item_id=explored, score=0.1, rank=rank, source="exploration", probability=chance))
    horizon = Horizon(ts_ms=int(hour * HOUR_MS), offset=1)
    message = RecommendationMessage(
        list_id=list_id, user_id=user, variant="v", horizon=horizon, model_version="m", items=tuple(places)
    )
    return msgspec.json.encode(message)


def lists_file(folder: Path, *lines: bytes) -> Path:
    path = folder / "lists.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def did(*rows: tuple[str, str, float], kind: EventType = EventType.CLICK) -> pl.DataFrame:
    """(user, item, hour) as interactions."""
    return pl.DataFrame(
        [(user, item, int(kind), int(hour * HOUR_MS)) for user, item, hour in rows],
        schema={"user_id": pl.String, "item_id": pl.String, "event_type": pl.Int8, "ts": pl.Int64},
        orient="row",
    )


def rewarded(exposures: pl.DataFrame) -> set[tuple[str, str]]:
    return set(exposures.filter(pl.col("reward") > 0).select("list_id", "item_id").iter_rows())


def test_lists_are_read_as_they_were_published_and_a_repeat_counts_once(tmp_path: Path) -> None:
    one = published("l1", "ann", 1, "tea", "cup", explored="lamp", chance=0.25)
    frame = read_lists(lists_file(tmp_path, one, b"", published("l2", "bob", 2, "cup"), one))
    assert frame.select("list_id", "user_id", "item_id", "rank", "probability", "shown_ts").rows() == [
        ("l1", "ann", "tea", 1, None, HOUR_MS),
        ("l1", "ann", "cup", 2, None, HOUR_MS),
        ("l1", "ann", "lamp", 3, 0.25, HOUR_MS),
        ("l2", "bob", "cup", 1, None, 2 * HOUR_MS),
    ]


@pytest.mark.parametrize(
    "broken", [b"{", b'{"list_id": "x"}', b'{"list_id":"x","user_id":"u","horizon":{},"items":[]}']
)
def test_a_line_that_is_no_list_is_named(tmp_path: Path, broken: bytes) -> None:
    with pytest.raises(OffPolicyError, match=r"lists\.jsonl, line 2: no list as published"):
        read_lists(lists_file(tmp_path, published("l1", "ann", 1, "tea"), broken))


def test_an_interaction_counts_for_the_latest_list_before_it_within_the_window(tmp_path: Path) -> None:
    lists = read_lists(
        lists_file(
            tmp_path,
            published("l3", "ann", 5, "tea"),
            published("l1", "ann", 1, "tea", "cup"),
            published("l2", "ann", 2, "tea"),
            published("l4", "bob", 2, "tea"),
        )
    )
    at = 2 * HOURS
    assert rewarded(join_exposures(lists, did(("ann", "tea", 3)), at)) == {("l2", "tea")}
    assert rewarded(join_exposures(lists, did(("ann", "tea", 4.5)), at)) == set(), "the window has passed"
    assert rewarded(join_exposures(lists, did(("ann", "cup", 3)), at)) == {("l1", "cup")}, "to its end"
    # The event at a list's own moment is the one that brought the list about.
    assert rewarded(join_exposures(lists, did(("ann", "tea", 2)), at)) == {("l1", "tea")}
    assert rewarded(join_exposures(lists, did(("ann", "tea", 1), ("ann", "lamp", 3), ("eve", "tea", 3)), at)) == set()
    twice = join_exposures(lists, did(("ann", "tea", 3), ("ann", "tea", 3.5)), at)
    assert twice["reward"].sum() == 1
    assert twice.height == lists.height


def test_refusals_and_impressions_are_no_reward(tmp_path: Path) -> None:
    lists = read_lists(lists_file(tmp_path, published("l1", "ann", 1, "tea")))
    for kind in (EventType.DISLIKE, EventType.REMOVE, EventType.IMPRESSION):
        assert not rewarded(join_exposures(lists, did(("ann", "tea", 2), kind=kind), HOURS))


def test_an_interaction_that_names_its_list_counts_for_that_one(tmp_path: Path) -> None:
    lists = read_lists(lists_file(tmp_path, published("l1", "ann", 1, "tea"), published("l2", "ann", 2, "tea")))
    named = did(("ann", "tea", 30), ("ann", "tea", 3)).with_columns(list_id=pl.Series(["l1", None]))
    assert rewarded(join_exposures(lists, named, 2 * HOURS)) == {("l1", "tea"), ("l2", "tea")}
    other = named.with_columns(list_id=pl.lit("never published"))
    assert not rewarded(join_exposures(lists, other, 2 * HOURS))


def test_missing_columns_are_named() -> None:
    with pytest.raises(OffPolicyError, match="lists lack the columns"):
        join_exposures(pl.DataFrame({"user_id": ["u"]}), did(("ann", "tea", 1)))


def test_the_report_finds_what_each_item_would_earn_if_it_were_always_shown(tmp_path: Path) -> None:
    rates, chances = {"lamp": 0.5, "bowl": 0.1}, {"lamp": 0.2, "bowl": 0.8}
    rng = np.random.default_rng(4)
    lines, clicks = [], []
    for number in range(2_000):
        item = "lamp" if rng.random() < chances["lamp"] else "bowl"
        lines.append(published(f"l{number}", f"u{number % 500}", number, "tea", explored=item, chance=chances[item]))
        if rng.random() < rates[item]:
            clicks.append((f"u{number % 500}", item, number + 0.5))
    path = lists_file(tmp_path, *lines)
    report = off_policy_report(path, did(*clicks), window=HOURS)
    assert report["exposures"].unique().to_list() == [2_000]
    assert report["policy"].unique(maintain_order=True).to_list() == ["as logged", "always bowl", "always lamp"]
    logged = report.row(0, named=True)
    assert logged["value"] == pytest.approx(len(clicks) / 2_000)
    for row in report[1:].iter_rows(named=True):
        truth = rates[row["policy"].partition(" ")[2]]
        assert row["low"] <= truth <= row["high"], row
        assert row["value"] == pytest.approx(truth, rel=0.2)
        assert row["effective_size"] < 2_000
    half = off_policy_report(
        path, did(*clicks), window=HOURS, policies={"half": lambda frame: [0.5] * len(frame)}, clip=1
    )
    assert half["estimator"].to_list() == ["as logged", "ips", "snips", "ips, weights up to 1"]
    even = half.filter(pl.col("estimator") == "ips").row(0, named=True)
    assert even["low"] <= sum(rates.values()) / 2 <= even["high"]


def test_lists_without_exploration_or_a_policy_without_support_are_refused(tmp_path: Path) -> None:
    path = lists_file(tmp_path, published("l1", "ann", 1, "tea"))
    with pytest.raises(OffPolicyError, match="no place with a probability; switch the exploration slot on"):
        off_policy_report(path, did(("ann", "tea", 2)))
    path = lists_file(tmp_path, published("l1", "ann", 1, "tea", explored="lamp"))
    with pytest.raises(OffPolicyError, match="takes none of the logged actions"):
        off_policy_report(path, did(("ann", "tea", 2)), policies={"other": always("bowl")})
