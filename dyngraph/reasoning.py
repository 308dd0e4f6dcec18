"""Reasoning graphs as graph data: why a user went from one item to the next, and what could come after.

A graph grows by steps: each puts an item of the user behind an earlier step, or opens a chain, with the reason in
words (LLMRG, chained graph reasoning). Steps are only ever added, so the graph as of an earlier event is a prefix of
them. Behind the newest steps stand imagined next items (divergent extension). What was not verified is not in it.
"""

from __future__ import annotations

import msgspec

NO_STEP = -1
"""What a step that opens a chain comes from."""
OPENS, AGAIN = "opens", "again"
"""Relations of steps that claim nothing: an item that opens a chain, and one that comes again."""
SURE = 100.0
"""The score that such steps bear without a test, since nothing about them could be refuted."""


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One item of the user's past, and why it came."""

    item_id: str
    ts: int
    """Event time, ms."""
    came_from: int
    """Place among the graph's steps of the step that it goes on from, always an earlier one; -1 opens a chain."""
    relation: str
    """What kind of reason it is, a short name: ``follows``, ``same brand``, ``same category``, ``alike``, ``opens``,
    ``again``, or what an LLM called it."""
    concept: str
    """What the reason is about, in a word or two (a brand, a category): a node between the two items; may be empty."""
    reason: str
    """One sentence."""
    score: float
    """Verification score, 0 to 100; 100 for what is not verified, see :func:`tested`."""


class Imagined(msgspec.Struct, frozen=True, array_like=True):
    """An item that could come next."""

    step: int
    """Place among the graph's steps of the step that it would go on from."""
    name: str
    """As it was imagined."""
    item_id: str
    """The item of the catalogue that the name was matched to; empty while there is none like it."""
    similarity: float
    """Of the name's text and the item's, -1 to 1; 1 where the catalogue's own item was meant."""
    relation: str
    reason: str
    score: float
    """Verification score, 0 to 100."""


class ReasoningGraph(msgspec.Struct, frozen=True):
    """One version of a user's reasoning graph."""

    user_id: str
    ts: int
    """Horizon: event time, ms, of the newest event that it was made from."""
    offset: int
    """Horizon: offset of that event in the log of the user's partition, -1 where there is no log."""
    events: int
    """How many events the user had up to the horizon."""
    steps: tuple[Step, ...]
    """Oldest first."""
    imagined: tuple[Imagined, ...]
    """The most credible first."""
    concepts: tuple[str, ...]
    """The distinct concepts of the steps, in order of appearance."""
    vectors: bytes
    """Float16, little endian, ``[concepts, w]``: one text vector per concept."""
    producer: str
    """Who made it: ``endpoint``, ``embedded`` or ``statistical``."""
    model_id: str = ""
    prompt_version: str = ""
    created_at: int = 0
    """Wall clock, ms; tells what it cost in time, never what counts."""


def tested(step: Step) -> bool:
    """Whether a step's score was earned in verification; openings and repetitions have theirs for nothing."""
    return step.relation not in (OPENS, AGAIN) or step.score < SURE


def chains(graph: ReasoningGraph) -> list[list[int]]:
    """The paths from an opening step to a step that nothing goes on from, as places among the steps, oldest first."""
    went_on = {step.came_from for step in graph.steps}
    found = []
    for place in range(len(graph.steps)):
        if place not in went_on:
            path = [place]
            while (before := graph.steps[path[-1]].came_from) != NO_STEP:
                path.append(before)
            found.append(path[::-1])
    return found
