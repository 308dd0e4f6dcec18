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

from dyngraph.reasoning import NO_STEP, OPENS, Imagined, ReasoningGraph, Step, chains, tested

Named = Callable[[str], str]
"""Gives an item's title; empty for an item without one."""
LONGEST = 80
"""Characters of a name."""
UNTESTED = "not tested"
"""What stands in the place of a score that was not earned."""
ONWARD = "↓ "
"""Before what goes on from the step above it at the same indent."""


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


def chain_tree(graph: ReasoningGraph, named: Named) -> Tree:
    """Every chain as a branch: item, why it came, how well that held up, and what could come next.

    A chain goes on at the indent where it began. Where it branches the longest branch goes on there and the others are
    indented, so that 64 steps, however they branch, are at most six indents deep.
    """
    who = Text(_plain(graph.user_id), style="bold")
    who.append(f"  {graph.events} events until {_moment(graph.ts)}, by {graph.producer}", style="dim")
    if graph.model_id:
        who.append(f" ({_plain(graph.model_id)})", style="dim")
    root = Tree(who, guide_style="dim")
    if not graph.steps:
        root.add(Text("no chains", style="dim"))
    if any(step.came_from != NO_STEP for step in graph.steps):
        who.append(f"\n{ONWARD}goes on from the step above it at the same indent", style="dim")
    branches, sizes = branches_of(graph), _sizes(graph)
    ideas: dict[int, list[Imagined]] = defaultdict(list)
    for idea in graph.imagined:
        ideas[idea.step].append(idea)

    def grow(parent: Tree, opening: int) -> None:
        mark, place = "", opening
        while place != NO_STEP:
            node = parent.add(_step_line(graph.steps[place], named, mark))
            for idea in ideas[place]:
                node.add(_idea_line(idea, named))
            longest = max(branches[place], key=lambda after: (sizes[after], after), default=NO_STEP)
            for after in branches[place]:
                if after != longest:
                    grow(node, after)
            mark, place = ONWARD, longest

    for opening in branches[NO_STEP]:
        grow(root, opening)
    return root


def chain_document(graph: ReasoningGraph, named: Named) -> dict[str, Any]:
    """The graph as what JSON knows: ``nodes`` (items, concepts and imagined items) and ``links`` between their ids.

    An item's ``concept`` is that concept's id or null. A link has the ids it goes ``from`` and ``to``, its
    ``relation``, ``reason``, whether it was ``verified``, and then its ``score`` (0 to 100), else null. ``chains`` are
    lists of such ids, from an opening to an end.
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
            score = step.score if tested(step) else None
            links.append(_link(f"s{step.came_from}", f"s{place}", step.relation, step.reason, score))
    for place, idea in enumerate(graph.imagined):
        name = name_of(idea.item_id, named) if idea.item_id else _plain(idea.name)
        item = {"id": f"i{place}", "kind": "imagined", "item_id": idea.item_id, "name": name}
        nodes.append({**item, "similarity": idea.similarity})
        score = idea.score if idea.item_id else None
        links.append(_link(f"s{idea.step}", f"i{place}", idea.relation, idea.reason, score))
    about = {"user_id": graph.user_id, "ts": graph.ts, "offset": graph.offset, "events": graph.events}
    by = {"producer": graph.producer, "model_id": graph.model_id, "prompt_version": graph.prompt_version}
    paths = [[f"s{place}" for place in path] for path in chains(graph)]
    return {**about, **by, "nodes": nodes, "links": links, "chains": paths}


def branches_of(graph: ReasoningGraph) -> dict[int, list[int]]:
    """Places of the steps that go on from each step, and under -1 of those that open a chain."""
    found: dict[int, list[int]] = defaultdict(list)
    for place, step in enumerate(graph.steps):
        found[step.came_from].append(place)
    return found


def name_of(item_id: str, named: Named) -> str:
    """An item's title on one line, bounded, or its id."""
    return _plain(named(item_id)) or _plain(item_id)


def _sizes(graph: ReasoningGraph) -> list[int]:
    """How many steps each step and all that goes on from it are."""
    sizes = [1] * len(graph.steps)
    for place in range(len(sizes) - 1, -1, -1):
        if (source := graph.steps[place].came_from) != NO_STEP:
            sizes[source] += sizes[place]
    return sizes


def _step_line(step: Step, named: Named, mark: str) -> Text:
    line = Text(mark, style="dim")
    line.append(name_of(step.item_id, named), style="bold cyan")
    line.append(f"  {_moment(step.ts)}", style="dim")
    if step.concept:
        line.append(f"  [{_plain(step.concept)}]", style="magenta")
    score = f"{step.score:.0f} of 100" if tested(step) else UNTESTED
    if step.came_from != NO_STEP:
        line.append(f"  {_plain(step.relation)}, {score}", style="green")
        line.append(f"\n{_plain(step.reason, 2 * LONGEST)}", style="none")
    elif step.relation == OPENS:
        line.append(f"  {OPENS}, {score}", style="dim")
    return line


def _idea_line(idea: Imagined, named: Named) -> Text:
    line = Text("? ", style="yellow")
    line.append(name_of(idea.item_id, named) if idea.item_id else _plain(idea.name), style="italic yellow")
    if idea.item_id:
        line.append(f"  {_plain(idea.relation)}, {idea.score:.0f} of 100", style="green")
    else:
        line.append("  nothing like it in the catalogue", style="dim")
    line.append(f"\n{_plain(idea.reason, 2 * LONGEST)}", style="dim")
    return line


def _with_steps(graph: ReasoningGraph, places: Sequence[int], imagined: Sequence[Any]) -> ReasoningGraph:
    new = {place: at for at, place in enumerate(places)}
    steps = tuple(
        msgspec.structs.replace(graph.steps[place], came_from=new.get(graph.steps[place].came_from, NO_STEP))
        for place in places
    )
    ideas = tuple(msgspec.structs.replace(idea, step=new[idea.step]) for idea in imagined if idea.step in new)
    concepts = tuple(dict.fromkeys(step.concept for step in steps if step.concept))
    return msgspec.structs.replace(graph, steps=steps, imagined=ideas, concepts=concepts, vectors=b"")


def _link(source: str, target: str, relation: str, reason: str, score: float | None) -> dict[str, Any]:
    held = {"verified": score is not None, "score": None if score is None else round(score, 1)}
    return {"from": source, "to": target, "relation": _plain(relation), "reason": reason, **held}


def _moment(ts: int) -> str:
    return datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _plain(text: str, longest: int = LONGEST) -> str:
    """One line that no terminal takes for anything but text."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 4 * longest]).split())
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"
