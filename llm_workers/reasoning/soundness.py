"""Whether a graph can be what it says: no cycles, no numbers out of place."""

from __future__ import annotations

import math
import re

from dyngraph.reasoning import NO_STEP, ReasoningGraph

_PERSON = r"(?i:user|customer|client|shopper|account|member|buyer|reviewer)s?(?:'s)?"
_SOMEBODY = re.compile(
    rf"\b{_PERSON}(?i:[\s_#:.\-]*(?:id|no|number|named?|called)?[\s_#:.\-]*\d+)"  # user 42, customer no. 7
    rf"|\b{_PERSON}[\s_#:\-]+(?i:(?:id|named|called)[\s_#:\-]+)?"
    r"(?:[A-Z][a-z]+\b|\w*\d\w*|\w+_\w+)"  # User Maria, user u42
    r"|[\w.+-]+@[\w-]+\.\w+|(?<!\w)@\w{2,}"  # anna@mail.example, @berta
    r"|\b(?=\w*\d)(?=\w*[A-Z])[A-Z\d]{12,}\b"  # A3SGXH7AUHU8GW
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
    """Whether a text names a person by a number, an id, a handle, an e-mail address, or a name after what shops call
    people: no reason needs one. A first name alone cannot be told from a brand.

    >>> names_somebody("As user 42 did"), names_somebody("As Customer Maria Lopez did")
    (True, True)
    >>> names_somebody("Goes with the polish, 42 ml"), names_somebody("What the customer needs next")
    (False, False)
    """
    return any(_SOMEBODY.search(text) for text in texts)
