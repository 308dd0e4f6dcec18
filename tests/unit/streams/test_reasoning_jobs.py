"""A job for reasoning asks the same through the broker as within the process."""

from __future__ import annotations

import asyncio

import msgspec

from dyngraph.events import Item
from dyngraph.refreshing import Related, Wanted
from llm_workers.producers.terms import Terms
from llm_workers.reasoning.builder import ChainBuilder
from llm_workers.reasoning.evidence import Weigher
from llm_workers.reasoning.request import ReasoningRequest, reasoning_request
from llm_workers.reasoning.statistical import StatisticalReasoner
from streams.artefact_messages import LlmJob
from streams.codec import decode, encode
from streams.llm.requests import reasoning_request_of
from streams.worker.jobs import Wish, job_message

SHOP = {name: Item(name, f"{name} of tin", "Acme", ("Kitchen",)) for name in ("cup", "jug", "pan", "pot")}
BUILDER = ChainBuilder(StatisticalReasoner(Weigher(Terms.of(SHOP.values()))), SHOP.get, clock=lambda: 0)


def wanted(*item_ids: str, **more: object) -> Wanted:
    """What a shard wants of a user who took these, a second between any two."""
    past = tuple((item, 1_000 * place, 1.0) for place, item in enumerate(item_ids))
    ts, events = past[-1][1], len(past)
    asked = Wanted("anna", ts, events - 1, events, past, 0.5, "new events", "reasoning")
    return msgspec.structs.replace(asked, **more)


def travelled(asked: Wanted) -> ReasoningRequest:
    """The job as an LLM worker reads it from the broker."""
    job = decode(LlmJob, encode(job_message(Wish(asked, -1), partition=3)), max_bytes=1 << 20)
    return reasoning_request_of(job, SHOP)


def test_what_is_asked_for_is_the_same_on_both_ways() -> None:
    near = (Related("cup", "pot", "follows", 0.5),)
    first = asyncio.run(BUILDER.graph(reasoning_request(wanted("cup", "jug"), SHOP.get)))
    bare = msgspec.structs.replace(first, model_id="", prompt_version="", vectors=b"")
    asked = wanted("cup", "jug", "pan", previous=bare, related=near)
    assert travelled(asked) == reasoning_request(asked, SHOP.get)


def test_a_later_version_goes_on_from_the_one_that_the_job_carried() -> None:
    first = asyncio.run(BUILDER.graph(travelled(wanted("cup", "jug"))))
    later = wanted("cup", "jug", "pan", "pot", previous=first)
    second = asyncio.run(BUILDER.graph(travelled(later)))
    assert [step.item_id for step in second.steps] == ["cup", "jug", "pan", "pot"]
    assert second.steps[:2] == first.steps
    assert second == asyncio.run(BUILDER.graph(reasoning_request(later, SHOP.get)))
    assert BUILDER.figures.previous_refused == 0
