"""Relations are named by what their strongest pairs say more often than others."""

from __future__ import annotations

from collections import Counter, UserDict

from dyngraph.events import Item
from dyngraph.relations import Pair, RelationSlot, RelationTable
from models.lrd.naming import named

BRANDS, SHELVES = ("OPI", "Essie", "Nivea", "Dove"), ("Nail Polish", "Shampoos", "Conditioners", "Lotions")
ITEMS = {
    f"{brand}-{shelf}-{number}": Item(
        f"{brand}-{shelf}-{number}", title=f"{brand} {shelf[:-1]} number {number}", brand=brand,
        categories=(f"Beauty > {shelf}",),
    )
    for brand in BRANDS
    for shelf in SHELVES
    for number in range(6)
}  # fmt: skip


def pairs(first: tuple[str, str], second: tuple[str, str]) -> list[Pair]:
    return [Pair(f"{'-'.join(first)}-{n}", f"{'-'.join(second)}-{(n + 1) % 6}", 0.9) for n in range(6)]


def everything() -> list[Pair]:
    ids = sorted(ITEMS)
    return [Pair(ids[at], ids[at - shift], 1.0) for shift in (1, 7, 31) for at in range(len(ids))]


def called(*groups: list[Pair], items: dict[str, Item] = ITEMS) -> list[str]:
    """What relations of these pairs, the most used first, are called beside each other."""
    slots = [RelationSlot(bytes(4), 1 / (place + 1), tuple(own)) for place, own in enumerate(groups)]
    return [slot.name for slot in named(RelationTable(1, 10, 3, tuple(slots), ""), items).slots]


def test_a_brand_a_shelf_and_a_way_between_shelves_name_a_relation() -> None:
    same_brand = [
        pair for shelf in SHELVES for pair in pairs(("OPI", shelf), ("OPI", SHELVES[SHELVES.index(shelf) - 1]))
    ]
    assert called(same_brand) == ["both OPI"]
    polish = [
        pair
        for brand in BRANDS
        for pair in pairs((brand, "Nail Polish"), (BRANDS[BRANDS.index(brand) - 1], "Nail Polish"))
    ]
    assert called(polish)[0] in ("same shelf: Nail Polish", "both say “nail”", "both say “polis”")
    washed = [
        pair
        for brand in BRANDS
        for pair in pairs((brand, "Shampoos"), (BRANDS[BRANDS.index(brand) - 1], "Conditioners"))
    ]
    assert called(washed) == ["Shampoos with Conditioners"]


def test_a_name_that_is_taken_goes_to_nobody_else() -> None:
    own = pairs(("OPI", "Lotions"), ("OPI", "Shampoos"))
    first, second = called(own, own)
    assert first and second and second != first


def test_pairs_as_usual_as_any_other_have_no_name() -> None:
    assert called(everything()[::5], []) == ["", ""]


def test_items_without_text_or_unknown_say_nothing() -> None:
    silent = [Pair("x", "y", 1.0), Pair("y", "gone", 1.0)] * 5
    known = ITEMS | {"x": Item("x"), "y": Item("y")}
    assert called(silent, items=known) == [""]
    own = pairs(("OPI", "Lotions"), ("OPI", "Shampoos"))
    assert called([*silent, *own], items=known) == called(own, items=known) != [""]


def test_two_items_with_equal_titles_are_the_same_by_another_number() -> None:
    doubled = {f"{n}{side}": Item(f"{n}{side}", title=f"{'abcdefgh'[n] * 4} cream") for n in range(8) for side in "lr"}
    twins = [Pair(f"{n}l", f"{n}r", 0.9) for n in range(8)]
    others = [Pair(f"{n}l", f"{(n + 1) % 8}r", 0.9) for n in range(8)]
    assert called(twins, others, items=doubled)[0] == "the same by another number"


def table() -> RelationTable:
    groups = [
        pairs(("OPI", "Lotions"), ("OPI", "Shampoos")) + pairs(("OPI", "Shampoos"), ("OPI", "Nail Polish")),
        pairs(("Nivea", "Shampoos"), ("Dove", "Conditioners")) + pairs(("Essie", "Shampoos"), ("OPI", "Conditioners")),
        [],
    ]
    slots = [RelationSlot(bytes(4), usage, tuple(own)) for usage, own in zip((0.2, 0.7, 0.1), groups, strict=True)]
    return RelationTable(4, 10, 3, tuple(slots), "")


def test_a_table_is_named_slot_by_slot_the_same_way_every_time() -> None:
    found = named(table(), ITEMS)
    assert [slot.name for slot in found.slots] == ["both OPI", "Shampoos with Conditioners", ""]
    assert found.producer == "statistical"
    assert found.label(3) == "latent relation 3"
    shuffled = dict(sorted(ITEMS.items(), key=lambda entry: entry[0][::-1]))
    assert named(table(), shuffled) == found


class Watched(UserDict[str, Item]):
    """A catalogue that counts who is looked up how often."""

    def __init__(self, items: dict[str, Item]) -> None:
        super().__init__(items)
        self.looked_up = Counter[str]()

    def __getitem__(self, item_id: str) -> Item:
        self.looked_up[item_id] += 1
        return super().__getitem__(item_id)


def test_naming_a_table_reads_each_item_once() -> None:
    watched = Watched(ITEMS)
    assert named(table(), watched) == named(table(), ITEMS)
    assert set(watched.looked_up.values()) == {1}


def test_what_the_other_relations_say_as_well_names_none() -> None:
    washed = [pairs((brand, "Shampoos"), (brand, "Conditioners")) for brand in BRANDS]
    alone, beside = called(washed[0] + washed[1]), called(washed[0] + washed[1], washed[2] + washed[3])
    assert alone == ["Shampoos with Conditioners"] and alone[0] not in beside


def test_pairs_that_share_nothing_are_named_by_their_sides() -> None:
    words = [f"{a}{b}" for a in "bcdfghklmnprst" for b in ("abel", "ocus", "urin")]
    shop = {
        f"{n}": Item(f"{n}", title=f"{words[n]} {('frame', 'candle')[n % 2] if n < 12 else 'thing'}") for n in range(40)
    }
    frames, candles, rest = ([f"{n}" for n in range(*span)] for span in ((0, 12, 2), (1, 12, 2), (12, 40)))
    both = [Pair(past, candle, 0.9) for past, candle in zip(frames, candles, strict=True)]
    assert called(both, items=shop) == ["frame, then candle"]
    assert called([Pair(past, other, 0.9) for past, other in zip(frames, rest, strict=False)], items=shop) == [
        "after frame"
    ]
    assert called([Pair(other, past, 0.9) for past, other in zip(frames, rest, strict=False)], items=shop) == [
        "then frame"
    ]
    assert called([Pair(frames[0], other, 0.9) for other in rest[:6]], items=shop) == [""], (
        "one item is no kind of item"
    )
    first, second = called(both, both, items=shop)
    assert (first, second) == ("frame, then candle", "")
