"""Whether a graph can be what it says: no cycles, no numbers out of place."""

from __future__ import annotations

import math
import re

from dyngraph.reasoning import NO_STEP, ReasoningGraph

_SOMEBODY = re.compile(
    r"\b(?:user|customer|client|shopper|account|member)s?[\s_#:.\-]*(?:id|no|number|name)?[\s_#:.\-]*\d+"
    r"|[\w.+-]+@[\w-]+\.\w+|(?<!\w)@\w{2,}",
    re.IGNORECASE,
)


def fault_of(graph: ReasoningGraph) -> str:
    """What is wrong with a graph, empty if nothing is: ``cyclic``, ``untouched`` (a step or an imagined item goes on
    from a step that there is none of), ``unfit`` (a score out of 0 to 100, an imagined item twice).
    """
    for place, step in enumerate(graph.steps):
        if step.came_from >= len(graph.steps) or step.came_from < NO_STEP:
            return "untouched"
        if step.came_from >= place:
            return "cyclic"
    if any(not 0 <= idea.step < len(graph.steps) for idea in graph.imagined):
        return "untouched"
    scores = [step.score for step in graph.steps] + [idea.score for idea in graph.imagined]
    matched = [idea.item_id for idea in graph.imagined if idea.item_id]
    if len(set(matched)) < len(matched):
        return "unfit"
    return "" if all(math.isfinite(score) and 0 <= score <= 100 for score in scores) else "unfit"


def names_somebody(*texts: str) -> bool:
    """Whether a text names a person by a number, a handle or an e-mail address: no reason needs one.

    >>> names_somebody("As user 42 did"), names_somebody("Goes with the polish, 42 ml")
    (True, False)
    """
    return any(_SOMEBODY.search(text) for text in texts)
