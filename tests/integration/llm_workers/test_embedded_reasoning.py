"""The language model in this process answers the questions of reasoning: the schema is enforced, the sense is not."""

from __future__ import annotations

import asyncio
import json

import pytest

from llm_workers.answers import checked
from llm_workers.local_model import LocalModel
from llm_workers.producers.embedded import EmbeddedAnswerer
from llm_workers.prompts.chains import Told, fill_prompt, score_prompt
from llm_workers.protocols import LlmError, PastItem


@pytest.mark.slow
def test_what_the_embedded_model_fills_in_and_scores_fits_the_schema() -> None:
    """A whole graph takes it a minute: links and imagined items are long answers."""
    model = LocalModel(context=4096)
    try:
        model.tokens("ready")
    except LlmError as error:
        pytest.skip(str(error))
    answerer = EmbeddedAnswerer(model)
    red, blue = PastItem("red", 1, 1.0, "Red polish", "OPI"), PastItem("blue", 2, 1.0, "Blue polish", "OPI")
    fill = fill_prompt([Told(red)], Told(blue, 0, 1, "same brand", "OPI"), "item")
    filled = json.loads(checked(fill, asyncio.run(answerer.answer(fill)).text))["filled"]
    score = score_prompt("Blue polish", filled)
    assert 0 <= json.loads(checked(score, asyncio.run(answerer.answer(score)).text))["score"] <= 100
