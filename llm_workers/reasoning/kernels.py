"""The statistical reasoner over arrays: the same steps and imagined items as one by one, for all users at once.

What :mod:`llm_workers.reasoning.evidence`, :mod:`~llm_workers.reasoning.statistical` and the builder say in words of
one user is done here for one user's whole history; a test holds the two to be equal.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from llm_workers.reasoning.counted import neighbours_of
from llm_workers.reasoning.evidence import CATEGORY, NEAR, WEIGHT
from llm_workers.reasoning.pair_kernels import bears, concept_of, first, likeness, near, shares, weigh
from llm_workers.reasoning.settings import MOST_CHAIN
from llm_workers.reasoning.statistical import FADE, SHARED

OPENS, AGAIN = 4, 5
"""Kinds of steps besides the kinds of evidence."""
OPEN = -1


class Found(NamedTuple):
    """Imagined items of one event, before the best are kept."""

    item: Any
    step: Any
    after: Any
    """The step that speaks for it most."""
    score: Any


@numba.njit(cache=True)
def reason_about(
    user: int, items: Any, counts: Any, bounds: Any, most_near: int, wanted: Any, made: Any, room: Any
) -> None:
    """Steps of a user's events, and imagined items after those of ``wanted`` ``[E]`` bool."""
    begin, end = counts.borders[user], counts.borders[user + 1]
    taken = counts.items[begin:end]
    near_ids = np.zeros((len(taken), most_near), np.int32)
    near_values = np.zeros((len(taken), most_near))
    came_from, concept = made.came_from[begin:end], made.concept[begin:end]
    went_on = np.zeros(len(taken), np.bool_)
    for at in range(len(taken)):
        neighbours_of(counts, user, taken[at], room.dense, near_ids[at], near_values[at])
        near_values[at] = WEIGHT[NEAR] * np.sqrt(near_values[at])
        low = max(0, at - bounds.most_steps)
        _link(at, low, taken, items, near_ids, near_values, bounds, came_from, concept, made, begin, room)
        if came_from[at] != OPEN:
            went_on[came_from[at]] = True
        if wanted[begin + at]:
            low = max(0, at + 1 - bounds.most_steps)
            _imagine(
                at, low, taken, items, near_ids, near_values, bounds, came_from, concept, went_on, made, begin, room
            )


@numba.njit(cache=True)
def _link(
    at: int, low: int, taken: Any, items: Any, near_ids: Any, near_values: Any, bounds: Any,
    came_from: Any, concept: Any, made: Any, begin: int, room: Any,
) -> None:  # fmt: skip
    """The step of event ``at``, from one of ``low`` to ``at - 1`` or none."""
    item = taken[at]
    came_from[at], made.kind[begin + at], concept[at], made.score[begin + at] = OPEN, OPENS, items.own[item], 100.0
    for place in range(at - 1, low - 1, -1):
        if taken[place] == item:
            came_from[at], made.kind[begin + at], concept[at] = place, AGAIN, concept[place]
            return
    best = np.zeros(bounds.proposals)
    places = np.full(bounds.proposals, OPEN)
    kinds = np.zeros(bounds.proposals, np.int64)
    evidence = np.zeros(4)
    for place in range(at - 1, low - 1, -1):
        weigh(taken[place], item, near_ids[place], near_values[place], items, evidence)
        kind = np.argmax(evidence)
        value = evidence[kind]
        slot = bounds.proposals
        while slot > 0 and value > best[slot - 1]:
            slot -= 1
        if slot < bounds.proposals:
            best[slot + 1 :] = best[slot:-1].copy()
            places[slot + 1 :] = places[slot:-1].copy()
            kinds[slot + 1 :] = kinds[slot:-1].copy()
            best[slot], places[slot], kinds[slot] = value, place, kind
    for slot in range(bounds.proposals):
        place = places[slot]
        if place == OPEN:
            return
        score = 100.0
        if bounds.verify:
            path, length, barred = _path(place, low, came_from, taken, room)
            n = _near_candidates(path, length, near_ids, near_values, barred, room, 0)
            for other in range(low, at + 1):
                n = _candidate(taken[other], barred, room, n)
            about = concept_of(taken[place], item, kinds[slot], items)
            _fill(path, length, kinds[slot], about, n, taken, items, near_ids, near_values, room)
            score = _agreement(item, n, items, room)
        if score >= bounds.threshold:
            came_from[at], made.kind[begin + at], made.score[begin + at] = place, kinds[slot], score
            concept[at] = concept_of(taken[place], item, kinds[slot], items)
            return
        made.dropped[begin + at] += 1


@numba.njit(cache=True)
def _imagine(
    at: int, low: int, taken: Any, items: Any, near_ids: Any, near_values: Any, bounds: Any,
    came_from: Any, concept: Any, went_on: Any, made: Any, begin: int, room: Any,
) -> None:  # fmt: skip
    """Imagined items after event ``at``, behind the newest chains among the steps from ``low``."""
    most = bounds.chains * bounds.ideas
    found = Found(np.zeros(most, np.int32), np.zeros(most, np.int32), np.zeros(most, np.int32), np.zeros(most))
    count = chains = 0
    for place in range(at, low - 1, -1):
        if went_on[place]:
            continue
        if chains == bounds.chains:
            break
        chains += 1
        path, length, barred = _path(place, low, came_from, taken, room)
        barred += 1
        room.clock[0] = barred
        if not bounds.repeats:
            for other in range(at + 1):
                room.stamp[taken[other]] = barred
        n = _near_candidates(path, length, near_ids, near_values, barred, room, 0)
        ideas, gains = _ideas(path, length, n, near_ids, near_values, concept, items, bounds.ideas, room)
        if bounds.verify:
            _fill(path, length, NEAR, 0, n, taken, items, near_ids, near_values, room)
        for slot in range(bounds.ideas):
            if gains[slot] <= 0:
                break
            score = _agreement(ideas[slot], n, items, room) if bounds.verify else 100.0
            if score >= bounds.threshold:
                after = _nearest(ideas[slot], path, length, near_ids, near_values)
                count = _note(found, count, ideas[slot], place, after, score)
    kept = min(count, bounds.most_imagined)
    made.imagined_count[begin + at] = kept
    for slot in range(kept):
        best = 0
        for other in range(1, count):
            if _ahead(other, best, found, items):
                best = other
        made.imagined[begin + at, slot] = found.item[best]
        made.imagined_step[begin + at, slot] = found.step[best]
        made.imagined_after[begin + at, slot] = found.after[best]
        made.imagined_score[begin + at, slot] = found.score[best]
        found.score[best] = -1.0


@numba.njit(cache=True)
def _ideas(
    path: Any, length: int, n: int, near_ids: Any, near_values: Any, concept: Any, items: Any, most: int, room: Any
) -> Any:
    """The ``most`` best of the first ``n`` candidates for going on with a chain, and their gains; the best first."""
    ideas, gains = np.zeros(most, np.int32), np.zeros(most)
    for candidate in range(n):
        other = room.candidates[candidate]
        gain = 0.0
        for distance in range(length):
            value = near(other, near_ids[path[distance]], near_values[path[distance]])
            if value > 0:
                gain += FADE**distance * value
        if shares(other, path, length, concept, items):
            gain *= 1 + SHARED
        slot = most
        while slot > 0 and first(gain, other, gains[slot - 1], ideas[slot - 1], items):
            slot -= 1
        if slot < most:
            ideas[slot + 1 :] = ideas[slot:-1].copy()
            gains[slot + 1 :] = gains[slot:-1].copy()
            ideas[slot], gains[slot] = other, gain
    return ideas, gains


@numba.njit(cache=True)
def _note(found: Any, count: int, item: int, step: int, after: int, score: float) -> Any:
    """Take in an imagined item, once where several chains lead to it: by the best score. How many there are now."""
    same = count
    for other in range(count):
        if found.item[other] == item:
            same = other
    if same == count or score > found.score[same]:
        found.item[same], found.step[same], found.after[same], found.score[same] = item, step, after, score
    return max(count, same + 1)


@numba.njit(cache=True)
def _ahead(one: int, other: int, found: Any, items: Any) -> Any:
    """Whether one imagined item goes before another: by score, then behind the newer step, then by name."""
    if found.score[one] != found.score[other]:
        return found.score[one] > found.score[other]
    if found.step[one] != found.step[other]:
        return found.step[one] > found.step[other]
    return items.alphabet[found.item[one]] < items.alphabet[found.item[other]]


@numba.njit(cache=True)
def _path(place: int, low: int, came_from: Any, taken: Any, room: Any) -> Any:
    """The last steps of the chain that ends at ``place``, newest first, how many they are, and the stamp that the
    chain's items bear now."""
    path = np.zeros(MOST_CHAIN, np.int64)
    room.clock[0] += 2
    barred = room.clock[0]
    length = 0
    while place >= low and place != OPEN:
        if length < MOST_CHAIN:
            path[length] = place
            length += 1
        room.stamp[taken[place]] = barred
        place = came_from[place]
    return path, length, barred


@numba.njit(cache=True)
def _nearest(item: int, path: Any, length: int, near_ids: Any, near_values: Any) -> Any:
    """The newest step of the chain's end that the item is a neighbour of."""
    for distance in range(length):
        if near(item, near_ids[path[distance]], near_values[path[distance]]) > 0:
            return path[distance]
    return path[0]


@numba.njit(cache=True)
def _near_candidates(path: Any, length: int, near_ids: Any, near_values: Any, barred: int, room: Any, n: int) -> int:
    for distance in range(length):
        for slot in range(near_ids.shape[1]):
            if near_values[path[distance], slot] <= 0:
                break
            n = _candidate(near_ids[path[distance], slot], barred, room, n)
    return n


@numba.njit(cache=True)
def _candidate(item: int, barred: int, room: Any, n: int) -> int:
    """Take an item once, and none that is barred."""
    if room.stamp[item] == barred:
        return n
    room.stamp[item] = barred
    room.candidates[n] = item
    return n + 1


@numba.njit(cache=True)
def _fill(
    path: Any, length: int, own: int, about: int, n: int, taken: Any, items: Any, near_ids: Any, near_values: Any,
    room: Any,
) -> None:  # fmt: skip
    """What the rest of the chain says for each candidate, the masked link's own kind of evidence left out."""
    evidence = np.zeros(4)
    gain = WEIGHT[CATEGORY] * max(items.brand_value[about], items.category_value[about])
    for candidate in range(n):
        value = 0.0
        for distance in range(length):
            place = path[distance]
            weigh(taken[place], room.candidates[candidate], near_ids[place], near_values[place], items, evidence)
            for kind in range(4):
                if distance or kind != own:
                    value += FADE**distance * evidence[kind]
        if about and bears(room.candidates[candidate], about, items):
            value += gain
        room.values[candidate] = value


@numba.njit(cache=True)
def _agreement(item: int, n: int, items: Any, room: Any) -> Any:
    """The score, 0 to 100, of what was filled in against the item that was masked."""
    best, own = -1, 0.0
    for candidate in range(n):
        other = room.candidates[candidate]
        if room.values[candidate] > 0 and (
            best < 0 or first(room.values[candidate], other, room.values[best], room.candidates[best], items)
        ):
            best = candidate
        if other == item:
            own = room.values[candidate]
    if best < 0:
        return 0.0
    filled = room.candidates[best]
    if filled == item or (items.text[item] > 0 and items.text[item] == items.text[filled]):
        return 100.0
    score = 50 * likeness(item, filled, items)
    if own > 0:
        place, ranked = 1, 0
        for candidate in range(n):
            ranked += room.values[candidate] > 0
            place += first(room.values[candidate], room.candidates[candidate], own, item, items)
        score += 50 * (1 - np.log(place) / np.log(ranked + 1))
    return score
