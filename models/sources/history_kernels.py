"""Compiled loops of :mod:`models.sources.history`: event by event, on the table or on copies of its rows."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dyngraph.slots import Keys, Values, find_slot, take_slot

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Floats32 = NDArray[np.float32]

COLUMNS = (
    "touched",
    "last_seq",
    "last_ts",
    "events",
    "decayed",
    "refused",
    "baskets",
    "first_basket",
    "last_basket",
    "first_ts",
)
"""Of one user and item. Counts and last visit are those of positive events; baskets are numbered from 1 per user."""
TOUCHED, LAST_SEQ, LAST_TS, EVENTS, DECAYED, REFUSED, BASKETS, FIRST_BASKET, LAST_BASKET, FIRST_TS = range(10)

PERSON_COLUMNS = 4
"""Of one user: baskets so far, ts of the latest one, positive events, how many of them were repeats."""
ALL_BASKETS, BASKET_TS, TAKEN, REPEATED = range(PERSON_COLUMNS)

FEATURES = 18
_HOUR_MS = 3_600_000.0
_MANY = math.log1p(50)
"""Log count at which frequency is as high as it can be."""


class Rows(NamedTuple):
    """What is kept of users, a row each."""

    keys: Keys
    """``[rows, width]``"""
    values: Values
    """``[rows, width, 10]``"""
    people: Values
    """``[rows, 4]``"""


class Pending(NamedTuple):
    """:class:`dyngraph.earlier.Earlier` with what its events weigh."""

    start: Ints
    stop: Ints
    items: Ints
    ts: Ints
    seq: Ints
    sign: NDArray[np.int8]
    weight: Values
    """``[M]``"""
    fade: float
    """What observing these events would scale the decayed sums by first."""
    repeat: Flags
    """``[M]`` filled by :func:`after`: whether the event was a repeat."""
    order: Ints
    """``[U]`` queries by ``start``, then ``stop``: so that a row is copied once per user."""
    held: Ints
    """``[3]`` kept by :func:`after`: the user, start and stop that the scratch row stands for; -1 at first."""


@njit(cache=True)
def take(rows: Rows, row: int, item: int, ts: int, seq: int, sign: int, weight: float, may_widen: bool) -> int:
    """Apply one event (``sign`` +1 or -1) to a row: 1 if it was a repeat, else 0; -1, and nothing done, if the table
    must be widened first.
    """
    slot = take_slot(rows.keys, rows.values, row, item, may_widen)
    if slot < 0:
        return -1
    pair, person = rows.values[row, slot], rows.people[row]
    # A refusal is no visit, so recency stays; but it is as fresh as anything when slots run out.
    pair[TOUCHED] = seq + 1
    if sign < 0:
        pair[EVENTS] = max(pair[EVENTS] - 1, 0.0)
        pair[DECAYED] = max(pair[DECAYED] - weight, 0.0)
        pair[REFUSED] += weight
        return 0
    if person[ALL_BASKETS] == 0 or person[BASKET_TS] != ts:
        person[ALL_BASKETS] += 1
        person[BASKET_TS] = ts
    basket = person[ALL_BASKETS]
    if pair[BASKETS] == 0:
        pair[FIRST_BASKET], pair[FIRST_TS] = basket, ts
    if pair[LAST_BASKET] != basket:
        pair[BASKETS] += 1
        pair[LAST_BASKET] = basket
    repeat = 1 if pair[EVENTS] > 0 else 0
    pair[EVENTS] += 1
    pair[DECAYED] += weight
    pair[REFUSED] = 0
    pair[LAST_SEQ], pair[LAST_TS] = seq + 1, ts
    person[TAKEN] += 1
    person[REPEATED] += repeat
    return repeat


@njit(cache=True)
def learn(
    rows: Rows,
    item_counts: Values,
    users: Ints,
    items: Ints,
    ts: Ints,
    seq: Ints,
    sign: NDArray[np.int8],
    weight: Values,
    done: int,
    may_widen: bool,
) -> int:
    """Apply the events from place ``done`` on; how many are done, fewer than all if the table must be widened first.

    ``item_counts [items, 2]``: positive events, and how many of them were repeats.
    """
    for e in range(done, len(users)):
        if sign[e] == 0:
            continue
        repeat = take(rows, users[e], items[e], ts[e], seq[e], sign[e], weight[e], may_widen)
        if repeat < 0:
            return e
        if sign[e] > 0:
            item_counts[items[e], 0] += 1
            item_counts[items[e], 1] += repeat
    return len(users)


@njit(cache=True)
def _used(keys: Keys, row: int) -> int:
    used = 0
    while used < keys.shape[1] and keys[row, used] != 0:
        used += 1
    return used


@njit(cache=True)
def after(rows: Rows, scratch: Rows, users: Ints, pending: Pending, q: int) -> tuple[Rows, int]:
    """Where query q's user stands once the pending events are applied: a table and a row of it.

    The table itself where nothing is pending, else ``scratch``, of one row and wide enough. An item without a row
    is kept there under a negative key of its own, each time as a new item.
    """
    user, start, stop = users[q], pending.start[q], pending.stop[q]
    if start == stop and pending.fade == 1.0:
        return rows, user
    held = pending.held
    if held[0] != user or held[1] != start or held[2] > stop:
        held[0], held[1], held[2] = user, start, start
        _copy(rows, scratch, user, pending.fade)
    for e in range(held[2], stop):
        if pending.sign[e] != 0:
            item = pending.items[e] if pending.items[e] > 0 else -1 - e
            repeat = take(scratch, 0, item, pending.ts[e], pending.seq[e], pending.sign[e], pending.weight[e], False)
            pending.repeat[e] = repeat == 1
    held[2] = stop
    return scratch, 0


@njit(cache=True)
def _copy(rows: Rows, scratch: Rows, user: int, fade: float) -> None:
    used = _used(rows.keys, user)
    for slot in range(scratch.keys.shape[1]):
        scratch.keys[0, slot] = rows.keys[user, slot] if slot < used else 0
    for slot in range(used):
        for column in range(len(COLUMNS)):
            scratch.values[0, slot, column] = rows.values[user, slot, column]
        scratch.values[0, slot, DECAYED] *= fade
        scratch.values[0, slot, REFUSED] *= fade
    for column in range(PERSON_COLUMNS):
        scratch.people[0, column] = rows.people[user, column]


@njit(cache=True)
def _insert(slots: Ints, marks: Values, count: int, slot: int, mark: float) -> int:
    """Put ``slot`` among the ``count`` ones by falling mark, the lowest falling out if there is no room; new count."""
    if count == slots.shape[0]:
        if count == 0 or mark <= marks[count - 1]:
            return count
        count -= 1
    at = count
    while at > 0 and marks[at - 1] < mark:
        slots[at], marks[at] = slots[at - 1], marks[at - 1]
        at -= 1
    slots[at], marks[at] = slot, mark
    return count + 1


@njit(cache=True)
def recent(rows: Rows, scratch: Rows, users: Ints, pending: Pending, width: int) -> tuple[Ints, Ints]:
    """``[U, width]`` items that the users had, newest visit first, then 0; and when (ms) they had them last."""
    made, when = np.zeros((users.shape[0], width), np.int64), np.zeros((users.shape[0], width), np.int64)
    slots, marks = np.zeros(width, np.int64), np.zeros(width)
    for q in pending.order:
        table, row = after(rows, scratch, users, pending, q)
        count = 0
        for slot in range(_used(table.keys, row)):
            if table.keys[row, slot] > 0 and table.values[row, slot, EVENTS] > 0:
                count = _insert(slots, marks, count, slot, table.values[row, slot, LAST_SEQ])
        for place in range(count):
            made[q, place] = table.keys[row, slots[place]]
            when[q, place] = np.int64(table.values[row, slots[place], LAST_TS])
    return made, when


@njit(cache=True)
def propose(rows: Rows, scratch: Rows, users: Ints, pending: Pending, most: int) -> Ints:
    """``[U, 2 · most]``: the items of highest decayed count, then those visited last; 0 for an empty place."""
    made = np.zeros((users.shape[0], 2 * most), np.int64)
    slots, marks = np.zeros(most, np.int64), np.zeros(most)
    for q in pending.order:
        table, row = after(rows, scratch, users, pending, q)
        used = _used(table.keys, row)
        for half in range(2):
            count = 0
            for slot in range(used):
                if table.keys[row, slot] > 0:
                    mark = table.values[row, slot, DECAYED if half == 0 else LAST_SEQ]
                    count = _insert(slots, marks, count, slot, mark)
            for place in range(count):
                made[q, half * most + place] = table.keys[row, slots[place]]
    return made


@njit(cache=True)
def habits(rows: Rows, scratch: Rows, users: Ints, pending: Pending) -> Floats32:
    """``[U, 2]``: share of repeats among the user's positive events, and log(1 + baskets) / 5."""
    made = np.zeros((users.shape[0], 2), np.float32)
    for q in pending.order:
        table, row = after(rows, scratch, users, pending, q)
        person = table.people[row]
        made[q, 0] = person[REPEATED] / max(person[TAKEN], 1.0)
        made[q, 1] = math.log1p(person[ALL_BASKETS]) / 5
    return made


@njit(cache=True)
def _mark(keys: Keys, row: int, used: int, place: NDArray[np.int32], on: bool) -> None:
    """Write slot + 1 of each item of a row into ``place [items]``, or take it back: a look-up at no cost per miss."""
    for slot in range(used):
        if keys[row, slot] > 0:
            place[keys[row, slot]] = slot + 1 if on else 0


@njit(cache=True)
def had(rows: Rows, scratch: Rows, users: Ints, pending: Pending, items: Ints, place: NDArray[np.int32]) -> Flags:
    """``[U, C]``: which of ``items [U, C]`` the users had; ``place [items]`` is all 0."""
    made = np.zeros(items.shape, np.bool_)
    for q in pending.order:
        table, row = after(rows, scratch, users, pending, q)
        used = _used(table.keys, row)
        _mark(table.keys, row, used, place, True)
        for c in range(items.shape[1]):
            slot = place[items[q, c]] - 1
            made[q, c] = slot >= 0 and table.values[row, slot, EVENTS] > 0
        _mark(table.keys, row, used, place, False)
    return made


@njit(cache=True)
def visits(rows: Rows, scratch: Rows, users: Ints, pending: Pending, query: Ints, items: Ints) -> Values:
    """``[n, 2]``: how often query ``query [n]``'s user had ``items [n]``, and the ts of the last time."""
    made = np.zeros((query.shape[0], 2))
    for n in range(query.shape[0]):
        table, row = after(rows, scratch, users, pending, query[n])
        slot = find_slot(table.keys, row, items[n])
        if slot >= 0:
            made[n, 0], made[n, 1] = table.values[row, slot, EVENTS], table.values[row, slot, LAST_TS]
    return made


@njit(cache=True)
def describe(
    rows: Rows,
    scratch: Rows,
    users: Ints,
    pending: Pending,
    item_counts: Values,
    items: Ints,
    ts: Ints,
    now: Values,
    place: NDArray[np.int32],
) -> Floats32:
    """``[U, C, 18]`` features of ``items [U, C]`` at ``ts [U]``; ``now [U]`` makes sums decayed counts, ``place
    [items]`` is all 0.
    """
    made = np.zeros((*items.shape, FEATURES), np.float32)
    width = scratch.keys.shape[1]
    order, marks, nearer = np.zeros(width, np.int64), np.zeros(width), np.zeros(width, np.int64)
    since = np.zeros((width, 2))
    for q in pending.order:
        table, row = after(rows, scratch, users, pending, q)
        used = _used(table.keys, row)
        values, total, count = table.values[row], 0.0, 0
        # From the last slot on, because items visited once stand in the order of their visits.
        for slot in range(used - 1, -1, -1):
            if values[slot, EVENTS] > 0:
                total += values[slot, EVENTS]
                count = _insert(order, marks, count, slot, values[slot, LAST_SEQ])
        for at in range(count):
            nearer[order[at]] = at
        since[:] = 0
        for e in range(pending.start[q], pending.stop[q]):
            slot = find_slot(table.keys, row, pending.items[e])
            if slot >= 0 and pending.sign[e] > 0:
                since[slot, 0] += 1
                since[slot, 1] += pending.repeat[e]
        _mark(table.keys, row, used, place, True)
        for c in range(items.shape[1]):
            slot = place[items[q, c]] - 1
            if slot < 0:
                continue
            pair, out = values[slot], made[q, c]
            # One fresh refusal gives 1, and each further one more, so that refusing again never helps an item.
            refused = pair[REFUSED] * now[q]
            out[17] = 2 * refused / (1 + refused)
            if pair[EVENTS] > 0:
                _describe_visits(out, pair, nearer[slot], total, ts[q], now[q])
                _describe_baskets(out, pair, table.people[row, ALL_BASKETS], ts[q])
                events, repeats = (
                    item_counts[items[q, c], 0] + since[slot, 0],
                    item_counts[items[q, c], 1] + since[slot, 1],
                )
                out[16] = math.log((repeats + 0.5) / (events + 2)) / 4
        _mark(table.keys, row, used, place, False)
    return made


@njit(cache=True)
def _fading(age: float, half_life: float) -> float:
    # Far below what float32 holds in full: arithmetic on subnormal numbers is a hundred times slower than on zeros.
    return math.exp(-math.log(2) * age / half_life) if age < 100 * half_life else 0.0


@njit(cache=True)
def _describe_visits(out: Floats32, pair: Values, nearer: int, total: float, ts: int, now: float) -> None:
    age = max(ts - pair[LAST_TS], 0.0)
    out[0] = min(math.log1p(pair[DECAYED] * now) / _MANY, 1.0)
    out[1] = 1 / (1 + nearer)
    out[2] = pair[EVENTS] / total
    out[3] = _fading(age, _HOUR_MS / 60)
    out[4] = _fading(age, _HOUR_MS)
    out[5] = _fading(age, 24 * _HOUR_MS)
    out[6] = _fading(age, 168 * _HOUR_MS)
    out[7] = 1


@njit(cache=True)
def _describe_baskets(out: Floats32, pair: Values, baskets: float, ts: int) -> None:
    gap = baskets - pair[LAST_BASKET]
    since_first = baskets - pair[FIRST_BASKET]
    out[8] = gap == 0
    out[9] = gap == 1
    out[10] = 1 / (1 + gap)
    out[11] = pair[BASKETS] / baskets
    out[12] = pair[BASKETS] / (since_first + 1)
    out[13] = math.log((pair[BASKETS] + 0.3) / (since_first + 1.5)) / 3
    if pair[BASKETS] >= 2:
        age = max(ts - pair[LAST_TS], 0.0)
        usual = max(pair[LAST_TS] - pair[FIRST_TS], 0.0) / (pair[BASKETS] - 1)
        out[14] = (min(age, usual) + _HOUR_MS) / (max(age, usual) + _HOUR_MS)
        out[15] = 1
