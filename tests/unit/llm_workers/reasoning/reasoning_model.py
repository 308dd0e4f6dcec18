"""A language model that answers the questions of reasoning as told."""

from __future__ import annotations

import json
from typing import Any

from llm_workers.protocols import Answer, Prompt, Spent

GOOD: dict[str, dict[str, Any]] = {
    "reasoning": {"links": [{"from": 1, "relation": "goes with", "concept": "nails", "reason": "They match."}]},
    "divergence": {"items": [{"name": "Top coat", "relation": "goes with", "reason": "It protects."}]},
    "verification": {"filled": "Blue polish"},
    "scoring": {"score": 80},
}


class Model:
    """Answers by kind; the last answer of a kind is given for good."""

    model_id = "m"

    def __init__(self, answers: dict[str, Any] | None = None) -> None:
        self.answers = {kind: [good] for kind, good in GOOD.items()} | (answers or {})
        self.asked: list[Prompt] = []

    async def answer(self, prompt: Prompt) -> Answer:
        self.asked.append(prompt)
        said = self.answers[prompt.kind]
        return Answer(json.dumps(said.pop(0) if len(said) > 1 else said[0]), "m", Spent(10, 2, 0.1, 0.01))
