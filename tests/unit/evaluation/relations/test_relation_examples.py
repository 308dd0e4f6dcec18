"""What a model may know of a user: the events before the one to predict, and nothing of those held out."""

from __future__ import annotations

import numpy as np
import pytest
from relation_logs import DAY, log_of, shop

from dyngraph.events import Item
from evaluation.coded import CodedLog
from evaluation.protocols.holdout import held_out
from evaluation.protocols.plan import Plan
from evaluation.relations.attributes import attributes_of
from evaluation.relations.drawing import Unmet
from evaluation.relations.examples import split_examples
from evaluation.relations.gaps import gap_histograms
from evaluation.relations.knowledge import Knowledge
from evaluation.relations.links import links_of
from evaluation.relations.world import world_of


def test_the_past_is_the_latest_earlier_events_and_their_ages() -> None:
    log = log_of([("ann", item, day) for item, day in zip("abcdef", (0, 1, 1, 4, 6, 9), strict=True)])
    split = split_examples(log, held_out(log, Plan("leave-one-out")), 3)
    names = np.array(log.item_ids)
    assert [names[row] for row in split.learned.targets] == ["b", "c", "d"]
    assert names[split.learned.past].tolist() == [["a", "", ""], ["b", "a", ""], ["c", "b", "a"]]
    np.testing.assert_allclose(split.learned.minutes[2] * 60_000, np.array([3, 3, 4]) * DAY)
    assert names[split.validation.past].tolist() == [["d", "c", "b"]]
    assert names[split.tests.past].tolist() == [["e", "d", "c"]]
    np.testing.assert_allclose(split.tests.minutes[0] * 60_000, np.array([3, 5, 8]) * DAY)


def test_events_of_several_users_do_not_mix() -> None:
    log = shop()
    split = split_examples(log, held_out(log, Plan("leave-one-out")), 20)
    of_user = {user: set(log.items[log.users == user].tolist()) for user in range(1, log.n_users + 1)}
    for part in (split.learned, split.validation, split.tests):
        for user, past, target in zip(part.users.tolist(), part.past.tolist(), part.targets.tolist(), strict=True):
            assert {*past, target} - {0} <= of_user[user]
            assert target not in past
    assert len(split.tests) == len(split.validation) == log.n_users
    assert len(split.learned) == len(log) - 3 * log.n_users


def test_shuffled_events_of_a_moment_stand_in_the_order_in_which_they_were_held_out() -> None:
    log = log_of([("ann", item, 0) for item in "abcdefgh"] + [("bob", item, 1) for item in "ijk"])
    row_of_last = set()
    for seed in range(6):
        rows = held_out(log, Plan("leave-one-out", shuffle_ties=True, seed=seed))
        split = split_examples(log, rows, 20)
        order = log.items[[*(row for row in rows.learned if log.users[row] == 1), rows.validation[0], rows.tests[0]]]
        assert split.tests.past[0, :7].tolist() == order[:7][::-1].tolist()
        assert split.validation.past[0, :6].tolist() == order[:6][::-1].tolist()
        assert split.learned.past[-1, :5].tolist() == order[:5][::-1].tolist()
        row_of_last.add(int(split.tests.targets[0]))
        shuffled = world_of(
            log_of([*zip(["ann"] * 8, "abcdefgh", [0] * 8, strict=True), ("bob", "z", 1)]), shuffle=seed
        )
        assert len(shuffled.split.tests) == 1
    assert len(row_of_last) > 1


def test_nothing_learned_knows_what_is_held_out() -> None:
    log = shop()
    rows = held_out(log, Plan("leave-one-out"))
    changed = log.items.copy()
    changed[rows.tests] = np.random.default_rng(3).permutation(changed[rows.tests])
    changed[rows.validation] = np.random.default_rng(4).permutation(changed[rows.validation])
    other = log_of(
        [(log.user_ids[u], log.item_ids[i], t / DAY) for u, i, t in zip(log.users, changed, log.ts, strict=True)],
        list(log.catalogue.values()),
    )

    def told(coded: CodedLog) -> tuple[dict[str, list[list[str]]], list[tuple[int, str, list[str]]]]:
        """By ids: rows of items follow their first appearance, which held-out events may change."""
        world, ids = world_of(coded), np.array(coded.item_ids)
        learned = world.split.learned
        events = zip(learned.users.tolist(), ids[learned.targets].tolist(), ids[learned.past].tolist(), strict=True)
        return {name: sorted(ids[pairs].tolist()) for name, pairs in world.links.items()}, sorted(events)

    assert (changed != log.items).any()
    assert told(log)[0]
    assert told(log) == told(other)


def test_what_is_drawn_was_not_met() -> None:
    users, items = np.array([1, 1, 1, 2]), np.array([1, 2, 3, 5])
    unmet = Unmet(users, items, 5)
    rng = np.random.default_rng(0)
    drawn = unmet.draw(np.array([1, 2, 3]), 400, rng)
    assert [sorted(set(row)) for row in drawn.tolist()] == [[4, 5], [1, 2, 3, 4], [1, 2, 3, 4, 5]]
    distinct = unmet.draw_distinct(np.array([1, 2]), 2, rng)
    assert sorted(distinct[0].tolist()) == [4, 5]
    assert len(set(distinct[1].tolist())) == 2
    with pytest.raises(ValueError, match="has but 2 items left; 3 cannot be drawn"):
        unmet.draw_distinct(np.array([1]), 3, rng)
    with pytest.raises(ValueError, match="a user has all 3 items"):
        Unmet(np.array([1, 1, 1]), np.array([1, 2, 3]), 3)
    assert not Unmet(np.zeros(0, np.int64), np.zeros(0, np.int64), 3).met(np.array([1]), np.array([2])).any()


def test_learning_may_draw_what_is_held_out_and_evaluation_may_not() -> None:
    world = world_of(shop())
    tests = world.split.tests
    assert not world.learned.met(tests.users, tests.targets).any()
    assert world.everything.met(tests.users, tests.targets).all()


def test_attributes_are_the_narrowest_category_genres_together_brands_and_price_bands() -> None:
    catalogue = {
        1: Item("a", categories=("Care > Hair > Shampoos", "Gifts"), brand="OPI", price=1.0),
        2: Item("b", categories=("Care > Hair > Shampoos",), price=100.0),
        3: Item("c", categories=("War", "Drama"), brand="OPI", price=101.0),
        5: Item("e", categories=("Drama", "War")),
    }
    attributes = attributes_of(catalogue, 5)
    assert attributes.names == ("category", "brand", "price band")
    category, brand, price = attributes.values.T
    assert category[1] == category[2] != category[3] == category[5] > 0
    assert brand[1] == brand[3] > category.max()
    assert price[1] > 0
    assert price[1] != price[3]
    assert not attributes.values[[0, 4]].any()
    assert attributes.values[brand == 0, 1].sum() == 0
    assert attributes.distinct == attributes.values.max()
    assert attributes_of({1: Item("a")}, 3).names == ()


def test_links_are_counted_over_users_and_substitutes_were_never_taken_together() -> None:
    # Twelve users take a shampoo and the conditioner on one day: six of them p, six q.
    events = [(f"u{n}", item, 0.0) for n in range(12) for item in ("p" if n < 6 else "q", "c", "d")]
    events += [(f"v{n}", "x", 1.0) for n in range(9)] + [("v0", "y", 1.0)]
    log = log_of(sorted(events, key=lambda event: event[2]))
    row = {name: log.item_ids.index(name) for name in "pqcdxy"}
    kinds = np.zeros(log.n_items + 1, np.int64)
    kinds[[row["p"], row["q"]]] = 1
    links = links_of(log.users, log.items, log.ts, kinds)
    complements = set(map(tuple, links.complements.tolist()))
    assert {(row["p"], row["c"]), (row["c"], row["p"]), (row["q"], row["d"])} <= complements
    assert not {(row["x"], row["y"]), (row["p"], row["q"])} & complements
    assert set(map(tuple, links.substitutes.tolist())) == {(row["p"], row["q"]), (row["q"], row["p"])}
    both = log_of(sorted([*events, ("w", "p", 2.0), ("w", "q", 9.0)], key=lambda event: event[2]))
    assert not len(links_of(both.users, both.items, both.ts, kinds).substitutes)


def test_triplets_are_true_and_their_corruptions_are_not() -> None:
    catalogue = {n: Item(f"i{n}", categories=(f"c{n % 3}",), brand="b" if n < 4 else None) for n in range(1, 13)}
    attributes = attributes_of(catalogue, 12)
    links = np.array([[1, 2], [3, 4]])
    knowledge = Knowledge((links,), attributes, first_attribute=2)
    assert len(knowledge) == 2 + 12 + 3
    drawn = knowledge.draw(3_000, np.random.default_rng(0))
    linked = drawn.relation == 1
    assert {*zip(drawn.head[linked].tolist(), drawn.tail[linked].tolist(), strict=True)} == {(1, 2), (3, 4)}
    assert not drawn.value[linked].any()
    column = drawn.relation[~linked] - 2
    for end in (drawn.head, drawn.tail):
        assert (attributes.values[end[~linked], column] == drawn.value[~linked]).all()
    assert (drawn.head != drawn.tail).all()
    assert {*drawn.tail[(drawn.head == 12) & ~linked].tolist()} == {3, 6, 9}
    changed = (drawn.wrong_head != drawn.head), (drawn.wrong_tail != drawn.tail)
    assert (changed[0] ^ changed[1]).all()
    assert 0.45 < changed[0].mean() < 0.55
    bears = [
        attributes.values[end[~linked], column] == drawn.value[~linked] for end in (drawn.wrong_head, drawn.wrong_tail)
    ]
    assert not (bears[0] & bears[1]).any()
    wrong = {*zip(drawn.wrong_head[linked].tolist(), drawn.wrong_tail[linked].tolist(), strict=True)}
    assert not wrong & {(1, 2), (3, 4)}


def test_a_value_that_one_item_has_makes_no_triplet() -> None:
    lonely = attributes_of({1: Item("a", brand="x"), 2: Item("b", brand="y")}, 2)
    with pytest.raises(ValueError, match="set gamma to 0"):
        Knowledge((), lonely, first_attribute=1).draw(3, np.random.default_rng(0))


def test_gap_histograms_count_related_pairs_by_their_age() -> None:
    items = [Item(item, brand="x" if item in "ac" else None) for item in "abcdef"]
    # ann's learned events: a, then b 2 minutes later, then c a day after that.
    minute = 1 / (24 * 60)
    days = (0, 2 * minute, 1 + 2 * minute, 5, 6)
    events = [("ann", item, day) for item, day in zip("abcde", days, strict=True)]
    world = world_of(log_of([*events, ("bob", "f", 7)], items), links=False)
    relations = world.relations(1)
    assert relations.names == ("together", "brand", "latent 1")
    histograms = gap_histograms(world, relations, 16)
    everything = [0.0] * 16
    everything[1], everything[10] = 1.0, 2.0
    assert histograms.tolist() == [everything, [0.0] * 10 + [1.0] + [0.0] * 5, everything]
