"""From published lists and what people did then, to logged actions: what was explored, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import msgspec
import polars as pl
from numpy.typing import ArrayLike

from dyngraph.events import POSITIVE
from evaluation.off_policy import Estimate, OffPolicyError, ips, logged, snips

Policy = Callable[[pl.DataFrame], ArrayLike]
"""Takes exposures ``[N]`` and gives the chance ``[N]`` with which the policy would have shown the same item."""

DAY = timedelta(days=1)

SCHEMA = {
    "list_id": pl.String,
    "user_id": pl.String,
    "item_id": pl.String,
    "rank": pl.Int64,
    "source": pl.String,
    "probability": pl.Float64,
    "shown_ts": pl.Int64,
}


class _Place(msgspec.Struct):
    item_id: str
    rank: int
    source: str
    probability: float | None = None


class _Horizon(msgspec.Struct):
    ts_ms: int


class _List(msgspec.Struct):
    list_id: str
    user_id: str
    horizon: _Horizon
    items: list[_Place]


def read_lists(path: Path | str) -> pl.DataFrame:
    """The records of the topic `recommendations`, one JSON object a line, as a row per place (:data:`SCHEMA`).

    ``shown_ts`` is the event time (ms UTC) of the newest event that the list had seen; a list that comes twice counts
    once. Raises :class:`OffPolicyError`, which names the line, for a line that is no list.
    """
    lists: dict[str, _List] = {}
    decoder = msgspec.json.Decoder(_List)
    with Path(path).open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    one = decoder.decode(line)
                except msgspec.DecodeError as error:
                    raise OffPolicyError(
                        f"{path}, line {number}: no list as published on `recommendations` ({error}); write one JSON "
                        "object a line"
                    ) from None
                lists[one.list_id] = one
    rows = [
        (one.list_id, one.user_id, place.item_id, place.rank, place.source, place.probability, one.horizon.ts_ms)
        for one in lists.values()
        for place in one.items
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def join_exposures(lists: pl.DataFrame, interactions: pl.DataFrame, window: timedelta = DAY) -> pl.DataFrame:
    """``lists`` (as :func:`read_lists` gives them) with a ``reward``: 1 if the user took the item, else 0.

    ``interactions`` have ``user_id``, ``item_id``, ``event_type`` (number), ``ts`` (ms UTC) and perhaps ``list_id``;
    types of interest count. One that names a list counts for that list. Another counts for the latest list that showed
    the user the item strictly before, at most ``window`` earlier, and for that one only. Raises :class:`OffPolicyError`
    where a column is missing.
    """
    for frame, name, needed in (
        (lists, "lists", set(SCHEMA)),
        (interactions, "interactions", {"user_id", "item_id", "event_type", "ts"}),
    ):
        if missing := needed - set(frame.columns):
            raise OffPolicyError(f"{name} lack the columns {', '.join(sorted(missing))}; they have {frame.columns}")
    taken = interactions.filter(pl.col("event_type").is_in([int(kind) for kind in POSITIVE]))
    if "list_id" not in taken.columns:
        taken = taken.with_columns(list_id=pl.lit(None, dtype=pl.String))
    key = ["list_id", "user_id", "item_id"]
    by_name = taken.filter(pl.col("list_id").is_not_null()).select(key)
    by_time = (
        taken.filter(pl.col("list_id").is_null())
        .drop("list_id")
        .sort("ts")
        .join_asof(
            lists.select(*key, "shown_ts").sort("shown_ts"),
            left_on="ts",
            right_on="shown_ts",
            by=["user_id", "item_id"],
            strategy="backward",
            # The event at the list's own moment is the one that the list has seen.
            allow_exact_matches=False,
            check_sortedness=False,
        )
        .filter(pl.col("ts") - pl.col("shown_ts") <= window // timedelta(milliseconds=1))
        .select(key)
    )
    rewarded = pl.concat((by_name, by_time)).unique().with_columns(reward=pl.lit(1.0))
    return lists.join(rewarded, on=key, how="left", maintain_order="left").with_columns(pl.col("reward").fill_null(0.0))


def always(item_id: str) -> Policy:
    """The policy that gives every explored place to one item."""
    return lambda exposures: (exposures["item_id"] == item_id).cast(pl.Float64).to_numpy()


def off_policy_report(
    lists: Path | str,
    interactions: pl.DataFrame,
    *,
    window: timedelta = DAY,
    policies: Mapping[str, Policy] | None = None,
    clip: float | None = None,
    seed: int = 0,
) -> pl.DataFrame:
    """What each of ``policies`` would have earned per explored place, beside what was earned.

    ``lists`` is a file of published lists (:func:`read_lists`), ``interactions`` what people did
    (:func:`join_exposures`). Without ``policies``: each of the ten most shown items, as if it were always shown.
    Columns: policy, estimator (``as logged``, ``ips``, ``snips``, and with ``clip`` IPS with weights up to it), value,
    low, high (95 % over users), effective_size, exposures. Raises :class:`OffPolicyError` where no list has an explored
    place, or the policy shows nothing that was explored.
    """
    exposures = join_exposures(read_lists(lists), interactions, window).filter(pl.col("probability").is_not_null())
    if not exposures.height:
        raise OffPolicyError(f"{lists}: no place with a probability; switch the exploration slot on and log lists then")
    shown = exposures["item_id"].value_counts(sort=True).sort("count", "item_id", descending=[True, False])
    policies = policies or {f"always {item}": always(item) for item in shown["item_id"].head(10)}
    propensity, reward, users = (exposures[name].to_numpy() for name in ("probability", "reward", "user_id"))
    made: list[tuple[str, Estimate]] = []
    own = ips(logged(propensity, reward, propensity, users), seed=seed)
    made.append(("as logged", Estimate("as logged", own.value, own.effective_size)))
    for name, policy in policies.items():
        actions = logged(propensity, reward, policy(exposures), users)
        made += [(name, ips(actions, seed=seed)), (name, snips(actions, seed=seed))]
        if clip is not None:
            made.append((name, ips(actions, clip=clip, seed=seed)))
    return pl.DataFrame(
        [
            {
                "policy": name,
                "estimator": one.name,
                "value": one.value.mean,
                "low": one.value.low,
                "high": one.value.high,
                "effective_size": one.effective_size,
                "exposures": exposures.height,
            }
            for name, one in made
        ]
    )
