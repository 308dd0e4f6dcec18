"""The exploration slot: exact chances, choices that hold and can be made again, rates learned from the log alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
import torch

from dyngraph.batch import Columns
from dyngraph.events import EventType, Interaction
from dyngraph.graph import DynamicGraph
from dyngraph.met import MetItems
from dyngraph.order import Moment
from dyngraph.reranking import Choice
from dyngraph.state import digest
from models.exploration import HOUR_MS, ExplorationConfig, ExplorationSlot

AT = Moment(5 * HOUR_MS, 1_000_000)
NOBODY = 0


class Rig:
    """A graph that counts events, what was met, and a slot; steps as the engine takes them."""

    def __init__(self, seed: int = 0, **settings: float) -> None:
        self.graph, self.met = DynamicGraph(2, 2), MetItems()
        config = ExplorationConfig(slots=1, **{"most_events": 1_000, **settings})  # type: ignore[arg-type]
        self.slot = ExplorationSlot(config, self.met, seed)
        self.seq = 0

    def step(self, *events: tuple[str, str], at: int = 0, kind: EventType = EventType.PURCHASE) -> None:
        rows = []
        for user, item in events:
            rows.append((self.seq, Interaction(f"{self.seq}", user, item, kind, at)))
            self.seq += 1
        self.take(rows)

    def take(self, rows: Sequence[tuple[int, Interaction]]) -> None:
        batch = self.graph.admit(Columns(rows))
        self.slot.grow(*self.graph.sizes())
        self.met.observe(self.graph, batch)
        self.slot.observe(self.graph, batch)
        columns = batch.arrays(self.graph.arrays)
        self.graph.users.met(columns.by_user, columns.ts[columns.by_user.last])
        self.graph.items.met(columns.by_item, columns.ts[columns.by_item.last])

    def row(self, name: str, side: str = "item") -> int:
        ids = self.graph.item_ids if side == "item" else self.graph.user_ids
        return int(ids.find([name])[0])

    def choose(
        self, user: str | int, shown: Sequence[int] = (), candidates: Sequence[int] | None = None, at: Moment = AT
    ) -> Choice | None:
        rows = range(1, self.graph.sizes()[1]) if candidates is None else candidates
        row = user if isinstance(user, int) else self.row(user, "user")
        return self.slot.choose(self.graph, row, at, torch.tensor(list(shown)), torch.tensor(list(rows)))

    def rates(self, name: str) -> tuple[int, int]:
        state, row = self.slot.state(), self.row(name)
        return int(state["hits"][row]), int(state["misses"][row])


def opened(items: int = 8, **settings: float) -> Rig:
    """``items`` arms that the opener has brought."""
    rig = Rig(**settings)
    rig.step(*[("opener", f"item-{number}") for number in range(items)])
    return rig


def test_each_choice_is_made_as_often_as_its_chance_says() -> None:
    rig = opened(5, epsilon=0.4)
    users = [f"user-{number}" for number in range(3_000)]
    rig.step(*[(user, "item-0") for user in users])
    made = [choice for user in users if (choice := rig.choose(user))]
    counts, told = Counter(choice.row for choice in made), {choice.row: choice.probability for choice in made}
    assert len(made) == len(users), "item-0 is met, the four others are left"
    assert sum(told.values()) == pytest.approx(1)
    assert sorted(told.values()) == pytest.approx([0.1, 0.1, 0.1, 0.7])
    for row, chance in told.items():
        error = (chance * (1 - chance) / len(made)) ** 0.5
        assert counts[row] / len(made) == pytest.approx(chance, abs=4 * error)


@pytest.mark.parametrize("left", [[1, 2, 3], [4], [2, 6, 8]])
def test_chances_are_those_among_what_can_be_shown(left: list[int]) -> None:
    rig = opened(8, epsilon=0.3)
    rig.step(*[(f"user-{number}", "elsewhere") for number in range(400)])
    shown = [row for row in range(1, 9) if row not in left]
    chances = {}
    for number in range(400):
        choice = rig.choose(f"user-{number}", shown)
        assert choice is not None
        if choice.row <= 8:
            chances[choice.row] = choice.probability
        by_candidates = rig.choose(f"user-{number}", (), left)
        assert by_candidates is not None
        assert by_candidates.row in left
    # "elsewhere" is an arm too, but everybody has met it.
    assert set(chances) == set(left)
    assert sum(chances.values()) == pytest.approx(1)


def test_a_choice_holds_until_the_user_acts_and_asking_changes_nothing() -> None:
    rig = opened(20, epsilon=1.0)
    rig.step(("ann", "item-0"))
    before = digest(rig.slot.state())
    first = rig.choose("ann")
    assert all(rig.choose("ann", at=Moment(AT.ts + n, AT.seq)) == first for n in range(5))
    assert digest(rig.slot.state()) == before
    later = []
    for number in range(6):
        rig.step(("ann", f"item-{number}"))
        later.append(rig.choose("ann"))
    assert len(set(later)) > 1
    assert first is not None


def test_strangers_at_the_same_moment_get_the_same_and_moments_differ() -> None:
    rig = opened(20, epsilon=1.0)
    assert rig.choose(NOBODY) == rig.choose(NOBODY)
    assert len({rig.choose(NOBODY, at=Moment(AT.ts, AT.seq + n)) for n in range(30)}) > 5


def test_the_seed_decides_and_the_same_log_gives_the_same_choices() -> None:
    logs = [[("ann", f"item-{n}"), ("bob", f"item-{n + 1}")] for n in range(5)]

    def choices(seed: int) -> list[Choice | None]:
        rig = Rig(seed, epsilon=1.0)
        rig.step(*[("opener", f"item-{number}") for number in range(20)])
        for events in logs:
            rig.step(*events)
        return [rig.choose(user) for user in ("ann", "bob", NOBODY)]

    assert choices(1) == choices(1)
    assert len({tuple(choices(seed)) for seed in range(6)}) > 3


def test_only_new_items_that_the_user_has_not_met_are_tried() -> None:
    rig = opened(10, arms=4, most_events=2)
    assert rig.slot.propose(rig.graph).tolist() == [10, 9, 8, 7]
    rig.step(("ann", "item-9"), ("bob", "item-9"))
    assert rig.slot.propose(rig.graph).tolist() == [9, 8, 7], "item-9, row 10, has become known"
    rig.step(("ann", "item-8"), ("ann", "item-7"))
    choice = rig.choose("ann")
    assert choice == Choice(7, 1.0)
    rig.step(("ann", "item-6"))
    assert rig.choose("ann") is None
    assert rig.choose("bob", candidates=[1, 2, 3]) is None


def test_an_offer_that_is_taken_in_time_is_a_hit_and_one_that_is_not_a_miss() -> None:
    rig = opened(6, epsilon=1.0, window_hours=2)
    rig.step(("ann", "item-0"), ("bob", "item-0"), at=HOUR_MS)
    offers = {}
    for user in ("ann", "bob"):
        choice = rig.choose(user)
        assert choice is not None
        offers[user] = rig.graph.item_ids[choice.row]
    rig.step(("ann", offers["ann"]), at=2 * HOUR_MS)
    assert rig.rates(offers["ann"])[0] == 1
    rig.step(("eve", "item-0"), at=3 * HOUR_MS)
    assert rig.rates(offers["bob"])[1] == 0, "the window is open to its end"
    rig.step(("eve", "item-0"), at=3 * HOUR_MS + 1)
    assert rig.rates(offers["bob"])[1] == 1
    rig.step(("bob", offers["bob"]), at=4 * HOUR_MS)
    assert rig.rates(offers["bob"])[0] == (1 if offers["ann"] == offers["bob"] else 0), "too late to count"


@pytest.mark.parametrize(("minutes", "hits"), [(-1, 0), (0, 1), (60, 1), (61, 0)])
def test_the_window_is_that_of_the_event_whatever_else_is_in_its_step(minutes: int, hits: int) -> None:
    rig = opened(6, epsilon=1.0, window_hours=1)
    rig.step(("ann", "item-0"), at=HOUR_MS)
    choice = rig.choose("ann")
    assert choice is not None
    offered, seq = rig.graph.item_ids[choice.row], rig.seq
    # One step that takes in the event and another one long after it.
    times = (("ann", offered, HOUR_MS + minutes * 60_000), ("eve", "item-0", 9 * HOUR_MS))
    rig.take([(seq + n, Interaction(f"{n}", *who, EventType.CLICK, at)) for n, (*who, at) in enumerate(times)])
    assert rig.rates(offered) == (hits, 1 - hits)


def test_a_refusal_is_no_success_and_an_item_never_offered_has_no_rate() -> None:
    rig = opened(3, epsilon=1.0, window_hours=1)
    rig.step(("ann", "item-0"), at=0)
    choice = rig.choose("ann")
    assert choice is not None
    offered = rig.graph.item_ids[choice.row]
    rig.step(("ann", offered), at=60_000, kind=EventType.DISLIKE)
    assert rig.rates(offered) == (0, 0)
    assert rig.rates("item-0") == (0, 0)


def test_what_people_take_is_shown_more_often() -> None:
    rig = opened(6, epsilon=0.3, window_hours=1, arms=10)
    liked = rig.row("item-3")
    shown: list[int] = []
    for hour in range(400):
        user = f"user-{hour}"
        rig.step((user, "item-0"), at=hour * HOUR_MS)
        choice = rig.choose(user)
        assert choice is not None
        shown.append(choice.row)
        if choice.row == liked:
            rig.step((user, "item-3"), at=hour * HOUR_MS + 60_000)
    assert shown[-200:].count(liked) > 120
    hits, misses = rig.rates("item-3")
    assert hits > 10 * misses


def test_a_restored_slot_goes_on_as_the_one_that_was_never_stopped() -> None:
    def run(restart: bool) -> tuple[str, list[Choice | None]]:
        rig = opened(12, window_hours=3)
        for number in range(60):
            if restart and number % 7 == 0:
                again = ExplorationSlot(rig.slot.config, rig.met, 0)
                again.load_state({name: value.clone() for name, value in rig.slot.state().items()})
                rig.slot = again
            rig.step((f"user-{number % 9}", f"item-{number * 5 % 12}"), at=number * HOUR_MS // 2)
        return digest(rig.slot.state()), [rig.choose(f"user-{number}") for number in range(9)]

    assert run(restart=True) == run(restart=False)


def test_an_erased_user_leaves_no_offer_behind() -> None:
    rig = opened(5)
    rig.step(("ann", "item-0"), ("bob", "item-0"))
    ann = rig.row("ann", "user")
    assert ann in rig.slot.state()["waiting"][:, 0].tolist()
    rig.slot.forget_user(ann)
    assert ann not in rig.slot.state()["waiting"][:, 0].tolist()


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"slots": 2}, "slots = 2 is out of bounds; use 0"),
        ({"place": -1}, "place = -1"),
        ({"epsilon": 0.0}, "epsilon = 0.0 is out of bounds; use more than 0"),
        ({"arms": 0}, "arms = 0"),
        ({"window_hours": 0.0}, "window_hours = 0.0"),
    ],
)
def test_settings_out_of_bounds_are_refused_by_name(settings: dict[str, float], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        ExplorationSlot(ExplorationConfig(**settings), MetItems())  # type: ignore[arg-type]
