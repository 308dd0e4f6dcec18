"""The knowledge base of verified links: what held up is found again, and tells of nobody whom it held up for."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from reasoning_model import GOOD, Model
from reasoning_requests import SHOP, WordCounts, request

from dyngraph.events import Item
from dyngraph.reasoning import ReasoningGraph, Step
from llm_workers.cache import AnswerCache
from llm_workers.prompts.chains import VERSION
from llm_workers.protocols import PastItem
from llm_workers.reasoning.builder import ChainBuilder
from llm_workers.reasoning.facts import Facts
from llm_workers.reasoning.knowledge import KnowledgeBase, Known, tells_of_nobody
from llm_workers.reasoning.language import LlmReasoner
from llm_workers.reasoning.matching import VectorMatcher
from llm_workers.reasoning.settings import ReasoningSettings
from llm_workers.store import Store, owner_tag

LINKS_ALONE = ReasoningSettings(chains=0)
LONG = Item("long", f"{'Whirlpool bath ' * 7}for the maternity ward", "Bathco", ("Baths",))
RED, BLUE = PastItem("red", 1, 1.0, "Red polish", "OPI", ("Nails",)), PastItem("blue", 2, 1.0, "Blue polish", "OPI")


def known(store: Store, model_id: str = "m", version: str = VERSION, least: float = 60) -> KnowledgeBase:
    return KnowledgeBase(store, model_id, version, least=least)


def builder(model: Model, knowledge: KnowledgeBase, cache: AnswerCache | None = None, **options: Any) -> ChainBuilder:
    matcher = VectorMatcher(WordCounts())
    matcher.add(SHOP.values())
    shop = SHOP | {"long": LONG}
    return ChainBuilder(
        LlmReasoner(model, cache), shop.get, matcher=matcher, knowledge=knowledge, clock=lambda: 0, **options
    )


def graph_of(made: ChainBuilder, *item_ids: str, **options: Any) -> ReasoningGraph:
    return asyncio.run(made.graph(request(*item_ids, neighbours=(), **options)))


def rows_of(store: Store) -> list[tuple[str, bytes, bytes]]:
    found: list[tuple[str, bytes, bytes]] = (
        store._file.connection().execute("SELECT key, value, owner FROM entries").fetchall()
    )
    return found


def says(**link: Any) -> Model:
    """A model with one link, to the first item."""
    return Model({"reasoning": [{"links": [GOOD["reasoning"]["links"][0] | link]}]})


def test_what_held_up_for_one_user_is_not_asked_for_another() -> None:
    store = Store(None, 10**6)
    first = builder(Model(), known(store))
    graph = graph_of(first, "red", "blue", user_id="anna")
    assert graph.steps[1].reason == "They match.", "whom it was said of is shown the model's own words"
    assert (first.figures.known, first.figures.saved) == (0, 0)
    model = Model()
    second = builder(model, known(store))
    again = graph_of(second, "red", "blue", user_id="berta")
    own_words = msgspec.structs.replace(graph.steps[1], reason="Blue polish goes with Red polish.")
    assert again.steps == (graph.steps[0], own_words)
    assert second.figures.known == 1 and second.figures.calls["link"] == 0
    assert not [prompt for prompt in model.asked if prompt.kind == "reasoning"]
    assert 0 < second.figures.saved < 1
    rows = rows_of(store)
    assert rows and not any(name in str(rows) for name in ("anna", "berta", "red", "blue"))


@pytest.mark.parametrize("change", ["", "model", "prompt", "title", "attributes", "score", "personal"])
def test_another_model_prompt_title_or_a_low_score_makes_a_link_unknown(change: str) -> None:
    store = Store(None, 10**6)
    concept = "wooden nails" if change == "personal" else "nails"
    links = {"links": [{"from": 2, "relation": "goes with", "concept": concept, "reason": "They match."}]}
    taken = ("comb", "red", "blue")
    model = Model({"reasoning": [links], "scoring": [{"score": 59 if change == "score" else 60}]})
    kept = known(store)
    graph = graph_of(builder(model, kept, settings=LINKS_ALONE), *taken)
    assert graph.steps[2].came_from == 1
    assert kept.figures["kept"] == (change not in ("score", "personal"))
    base = known(store, "other" if change == "model" else "m", "v2" if change == "prompt" else VERSION)
    shop = SHOP | {"blue": Item("blue", "Navy polish", "OPI")} if change == "title" else SHOP
    other = ChainBuilder(LlmReasoner(Model()), shop.get, knowledge=base, settings=LINKS_ALONE)
    asked = request(*taken, neighbours=(), attributes=(("hair", "grey"),) if change == "attributes" else ())
    past = tuple(msgspec.structs.replace(item, title=shop[item.item_id].title) for item in asked.past)
    asyncio.run(other.graph(msgspec.structs.replace(asked, past=past)))
    assert other.figures.known == (change == "")


@pytest.mark.parametrize("rest", [b'["x","y"', b'["goes with","nails","As the Wooden comb does.",80.0]'])
def test_a_broken_or_older_entry_of_the_knowledge_base_counts_as_none(rest: bytes) -> None:
    """Entries once held the model's sentence."""
    store = Store(None, 10**6)
    graph_of(builder(Model(), known(store)), "red", "blue")
    for key, _, _ in rows_of(store):
        store.put(key, rest)
    made = builder(Model(), known(store))
    assert graph_of(made, "red", "blue").steps[1].came_from == 0
    assert made.figures.known == 0
    assert b"comb" not in b"".join(value for _, value, _ in rows_of(store))


# --- whom a link tells of ---------------------------------------------------------------------------------------------

EARLIER = (
    Step("comb", 1, -1, "opens", "Combs", "It opens.", 100.0),
    Step("red", 2, -1, "opens", "", "It opens.", 100.0),
)
BEFORE = ReasoningGraph("anna", 2, 2, 2, EARLIER, (), ("Combs",), b"", "endpoint", "m", VERSION)


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ({"reason": "They match, as the Wooden comb does."}, True),
        ({"reason": "It suits the maternity ward."}, True),
        ({"concept": "wooden comb"}, False),
        ({"concept": "combs"}, False),
        ({"concept": "nails, combed"}, False),
        ({"relation": "after the comb"}, False),
        ({"relation": "for mothers"}, False),
    ],
)
@pytest.mark.parametrize("way", ["previous", "shortened"])
def test_words_about_another_item_of_the_user_are_not_kept_and_not_shown(
    words: dict[str, str], kept: bool, way: str
) -> None:
    cache = AnswerCache(None, 10**7)
    base = known(cache.store)
    model = says(**{"from": 2}, **words)
    made = builder(model, base, cache, settings=LINKS_ALONE)
    if way == "previous":
        # The comb is not in the past any more, but the question holds it as a step.
        asked = request("comb", "red", "blue", neighbours=(), previous=BEFORE)
        asked = msgspec.structs.replace(asked, past=asked.past[2:])
        graph = asyncio.run(made.graph(asked))
    else:
        asked = request("red", "blue", neighbours=())
        past = (PastItem("long", 0, 1.0, LONG.title, "Bathco", ("Baths",)), *asked.past)
        graph = asyncio.run(made.graph(msgspec.structs.replace(asked, past=past, events=3)))
    (said,) = [prompt for prompt in model.asked if prompt.kind == "reasoning"][-1:]
    assert ("Wooden comb" if way == "previous" else "Whirlpool bath") in said.user
    step = graph.steps[-1]
    assert (step.item_id, step.came_from) == ("blue", 1), "the user's own graph has it"
    assert all(getattr(step, name) == text for name, text in words.items())
    assert (base.figures["kept"], base.figures["too_personal"]) == (kept, not kept)

    links = [value for key, value, _ in rows_of(cache.store) if key.startswith("link/")]
    assert links == ([b'["goes with","nails",80]'] if kept else [])
    other = graph_of(builder(Model(), base, settings=LINKS_ALONE), "red", "blue", user_id="berta")
    told = " ".join(f"{one.relation} {one.concept} {one.reason}" for one in other.steps).casefold()
    assert not any(word in told for word in ("comb", "maternity", "mother", "bath"))

    assert any(owner == owner_tag("anna") for _, _, owner in rows_of(cache.store))
    cache.forget_owner("anna")
    rest = rows_of(cache.store)
    assert not any(owner == owner_tag("anna") for _, _, owner in rest)
    assert not any(word in str(rest).casefold() for word in ("comb", "maternity", "mother", "bath", "anna"))
    cache.close()


@pytest.mark.parametrize("relation", ["goes with", "because of the comb"])
def test_what_was_imagined_for_a_user_is_kept_without_a_word_about_them(relation: str) -> None:
    store, said = Store(None, 10**6), {"name": "Top coat", "relation": relation, "reason": "The comb is worn too."}
    base = known(store)
    model = Model({"divergence": [{"items": [said]}], "reasoning": [{"links": []}]})
    graph = graph_of(builder(model, base), "comb", "red")
    assert {idea.item_id for idea in graph.imagined} == {"top"}
    assert bool(base.figures["kept"]) == (relation == "goes with")
    assert not any(b"worn" in value or b"because" in value for _, value, _ in rows_of(store))


@pytest.mark.parametrize(
    ("relation", "concept", "nobody"),
    [
        ("goes with", "nails", True),
        ("Same Brand", "opi", True),
        ("same category", "Nails & polish", True),
        ("polish", "", True),
        ("", "", True),
        ("goes with", "nail art", False),
        ("goes with", "goes with", False),
        ("pregnancy", "nails", False),
        ("goes with", "nails 🤰", False),
        ("goes with", "मां", False),
        ("goes with", "孕妇", False),
    ],
)
def test_a_link_tells_of_nobody_if_its_words_are_the_items_own(relation: str, concept: str, nobody: bool) -> None:
    assert tells_of_nobody(Known(relation, concept, 80.0), RED, BLUE) == nobody


def test_of_two_links_between_the_same_items_the_better_one_stays() -> None:
    store = Store(None, 10**6)
    knowledge, facts = known(store), Facts(request("red", "blue"), SHOP.get)
    for concept, score in (("polish", 70.0), ("OPI", 98.0), ("blue", 61.0)):
        knowledge.keep(RED, BLUE, Known("goes with", concept, score), facts)
    found = knowledge.best([RED], BLUE, facts)
    assert found is not None and (found[1].concept, found[1].score) == ("OPI", 98.0)
    assert knowledge.figures["kept"] == 2
