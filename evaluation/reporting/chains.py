"""A user's reasoning graph for people: a tree for the terminal, a document for a dashboard. Plots nothing.

Pictures are in :mod:`evaluation.reporting.chain_pictures`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.text import Text
from rich.tree import Tree

from dyngraph.reasoning import NO_STEP, ReasoningGraph, chains

Named = Callable[[str], str]
"""Gives an item's title; empty for an item without one."""
LONGEST = 80
"""Characters of a name."""


def only(graph: ReasoningGraph, item_id: str) -> ReasoningGraph:
    """The part of a graph that has to do with an item: chains through it, and those that it was imagined behind.

    Empty of steps where the graph does not know the item.
    """
    kept: set[int] = set()
    for path in chains(graph):
        places = [place for place in path if graph.steps[place].item_id == item_id]
        kept.update(path if places else ())
    imagined = [idea for idea in graph.imagined if idea.item_id == item_id or idea.step in kept]
    for idea in imagined:
        place = idea.step
        while place != NO_STEP:
            kept.add(place)
            place = graph.steps[place].came_from
    return _with_steps(graph, sorted(kept), imagined)


def newest(graph: ReasoningGraph, most: int) -> ReasoningGraph:
    """The graph of the newest ``most`` steps; what came from an older one opens a chain."""
    return _with_steps(graph, range(max(0, len(graph.steps) - most), len(graph.steps)), graph.imagined)


def chain_tree(graph: ReasoningGraph, named: Named) -> Tree:
    """Every chain as a branch: item, why it came, how well that held up, and what could come next."""
    who = Text(_plain(graph.user_id), style="bold")
    who.append(f"  {graph.events} events until {_moment(graph.ts)}, by {graph.producer}", style="dim")
    if graph.model_id:
        who.append(f" ({_plain(graph.model_id)})", style="dim")
    root = Tree(who, guide_style="dim")
    if not graph.steps:
        root.add(Text("no chains", style="dim"))
    branches: dict[int, Tree] = {NO_STEP: root}
    for place, step in enumerate(graph.steps):
        line = Text(name_of(step.item_id, named), style="bold cyan")
        line.append(f"  {_moment(step.ts)}", style="dim")
        if step.concept:
            line.append(f"  [{_plain(step.concept)}]", style="magenta")
        if step.came_from != NO_STEP:
            line.append(f"  {_plain(step.relation)}, {step.score:.0f} of 100", style="green")
            line.append(f"\n{_plain(step.reason, 2 * LONGEST)}", style="none")
        branches[place] = branches[step.came_from].add(line)
    for idea in graph.imagined:
        line = Text("? ", style="yellow")
        line.append(name_of(idea.item_id, named) if idea.item_id else _plain(idea.name), style="italic yellow")
        if idea.item_id:
            line.append(f"  {_plain(idea.relation)}, {idea.score:.0f} of 100", style="green")
        else:
            line.append("  nothing like it in the catalogue", style="dim")
        line.append(f"\n{_plain(idea.reason, 2 * LONGEST)}", style="dim")
        branches[idea.step].add(line)
    return root


def chain_document(graph: ReasoningGraph, named: Named) -> dict[str, Any]:
    """The graph as what JSON knows: ``nodes`` (items, concepts and imagined items) and ``links`` between their ids.

    An item's ``concept`` is that concept's id or null. A link has the ids it goes ``from`` and ``to``, its
    ``relation``, ``reason`` and ``score`` (0 to 100).
    """
    nodes: list[dict[str, Any]] = []
    links: list[dict[str, Any]] = []
    concepts: dict[str, str] = {}
    for concept in dict.fromkeys(step.concept for step in graph.steps if step.concept):
        concepts[concept] = f"c{len(concepts)}"
        nodes.append({"id": concepts[concept], "kind": "concept", "name": _plain(concept)})
    for place, step in enumerate(graph.steps):
        item = {"id": f"s{place}", "kind": "item", "item_id": step.item_id, "name": name_of(step.item_id, named)}
        nodes.append({**item, "ts": step.ts, "concept": concepts.get(step.concept)})
        if step.came_from != NO_STEP:
            links.append(_link(f"s{step.came_from}", f"s{place}", step.relation, step.reason, step.score))
    for place, idea in enumerate(graph.imagined):
        name = name_of(idea.item_id, named) if idea.item_id else _plain(idea.name)
        item = {"id": f"i{place}", "kind": "imagined", "item_id": idea.item_id, "name": name}
        nodes.append({**item, "similarity": idea.similarity})
        links.append(_link(f"s{idea.step}", f"i{place}", idea.relation, idea.reason, idea.score))
    about = {"user_id": graph.user_id, "ts": graph.ts, "offset": graph.offset, "events": graph.events}
    by = {"producer": graph.producer, "model_id": graph.model_id, "prompt_version": graph.prompt_version}
    return {**about, **by, "nodes": nodes, "links": links, "chains": chains(graph)}


def branches_of(graph: ReasoningGraph) -> dict[int, list[int]]:
    """Places of the steps that go on from each step, and under -1 of those that open a chain."""
    found: dict[int, list[int]] = defaultdict(list)
    for place, step in enumerate(graph.steps):
        found[step.came_from].append(place)
    return found


def name_of(item_id: str, named: Named) -> str:
    """An item's title on one line, bounded, or its id."""
    return _plain(named(item_id)) or _plain(item_id)


def _with_steps(graph: ReasoningGraph, places: Sequence[int], imagined: Sequence[Any]) -> ReasoningGraph:
    new = {place: at for at, place in enumerate(places)}
    steps = tuple(
        msgspec.structs.replace(graph.steps[place], came_from=new.get(graph.steps[place].came_from, NO_STEP))
        for place in places
    )
    ideas = tuple(msgspec.structs.replace(idea, step=new[idea.step]) for idea in imagined if idea.step in new)
    concepts = tuple(dict.fromkeys(step.concept for step in steps if step.concept))
    return msgspec.structs.replace(graph, steps=steps, imagined=ideas, concepts=concepts, vectors=b"")


def _link(source: str, target: str, relation: str, reason: str, score: float) -> dict[str, Any]:
    return {"from": source, "to": target, "relation": _plain(relation), "reason": reason, "score": round(score, 1)}


def _moment(ts: int) -> str:
    return datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _plain(text: str, longest: int = LONGEST) -> str:
    """One line that no terminal takes for anything but text."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 4 * longest]).split())
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"
