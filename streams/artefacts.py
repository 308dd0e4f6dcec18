"""Profiles and reasoning graphs between the form that the graph keeps and the one that travels."""

from __future__ import annotations

from typing import Any

import msgspec

from dyngraph.profiles import FACETS, UserProfile
from dyngraph.reasoning import Imagined, Step, chains
from dyngraph.reasoning import ReasoningGraph as Graph
from dyngraph.reasoning_store import BEST_SCORE
from streams.artefact_messages import (
    HALF,
    Cost,
    EarlierReasoning,
    ImaginedItem,
    LlmJob,
    Profile,
    Reasoning,
    ReasoningChain,
    ReasoningGraph,
    ReasoningStep,
)
from streams.messages import Horizon

MAX_PHRASE = 200
MAX_REASON = 400


def profile_message(profile: UserProfile, job: LlmJob, *, vector_model: str, cost: Cost) -> Profile:
    """The published form of what `job` asked for. Versions grow with the horizon's place in the log."""
    producer: Any = profile.producer
    # A brand of the catalogue may be longer than a phrase may be.
    facets: dict[str, Any] = {
        name: tuple(phrase[:MAX_PHRASE] for phrase in phrases if phrase)
        for name, phrases in zip(FACETS, profile.facets, strict=True)
    }
    return Profile(
        entity_id=profile.user_id,
        version=profile.offset + 1,
        horizon=Horizon(ts_ms=max(profile.ts, 0), offset=profile.offset, partition=job.horizon.partition),
        producer=producer,
        model_id=profile.model_id or "none",
        prompt_version=profile.prompt_version or "none",
        created_at_ms=profile.created_at,
        cost=cost,
        source_items=tuple(entry.item_id for entry in job.past),
        events=profile.events,
        erasures=job.erasures,
        vectors=profile.vectors,
        vector_model=vector_model if profile.vectors else "",
        vector_width=len(profile.vectors) // (len(FACETS) * HALF),
        **facets,
    )


def user_profile(message: Profile, width: int) -> UserProfile:
    """What the graph keeps of a published profile; without vectors its facets weigh nothing, `width` numbers each."""
    return UserProfile(
        user_id=message.entity_id,
        ts=message.horizon.ts_ms,
        offset=message.horizon.offset,
        events=message.events,
        facets=tuple(tuple(getattr(message, name)) for name in FACETS),
        vectors=message.vectors or bytes(len(FACETS) * HALF * width),
        producer=message.producer,
        model_id=message.model_id,
        prompt_version=message.prompt_version,
        created_at=message.created_at_ms,
    )


def reasoning_body(graph: Graph) -> Reasoning:
    """The graph as such, as it travels. What a catalogue or a model words longer than a label may be is cut."""
    return Reasoning(
        steps=tuple(
            ReasoningStep(
                item_id=step.item_id,
                ts_ms=max(step.ts, 0),
                came_from=step.came_from,
                relation=step.relation[:MAX_PHRASE],
                concept=step.concept[:MAX_PHRASE],
                reason=step.reason[:MAX_REASON],
                score=step.score,
            )
            for step in graph.steps
        ),
        imagined=tuple(
            ImaginedItem(
                step=one.step,
                name=one.name[:MAX_REASON],
                item_id=one.item_id,
                similarity=one.similarity,
                relation=one.relation[:MAX_PHRASE],
                reason=one.reason[:MAX_REASON],
                score=one.score,
            )
            for one in graph.imagined
        ),
        concepts=tuple(concept[:MAX_PHRASE] for concept in graph.concepts),
        vectors=graph.vectors,
    )


def earlier_reasoning(graph: Graph, partition: int) -> EarlierReasoning:
    """The graph as a job carries it, to be gone on from; concept vectors, which are made anew, stay behind."""
    horizon = Horizon(ts_ms=max(graph.ts, 0), offset=graph.offset, partition=partition)
    body = msgspec.structs.replace(reasoning_body(graph), vectors=b"")
    return EarlierReasoning(horizon=horizon, events=graph.events, reasoning=body)


def reasoning_message(graph: Graph, job: LlmJob, *, vector_model: str, cost: Cost) -> ReasoningGraph:
    """The published form of the graph that `job` asked for."""
    producer: Any = graph.producer
    return ReasoningGraph(
        entity_id=graph.user_id,
        version=graph.offset + 1,
        horizon=Horizon(ts_ms=max(graph.ts, 0), offset=graph.offset, partition=job.horizon.partition),
        producer=producer,
        model_id=graph.model_id or "none",
        prompt_version=graph.prompt_version or "none",
        created_at_ms=graph.created_at,
        cost=cost,
        chains=_paths(graph),
        reasoning=reasoning_body(graph),
        events=graph.events,
        erasures=job.erasures,
        vector_model=vector_model if graph.vectors else "",
    )


def _paths(graph: Graph) -> tuple[ReasoningChain, ...]:
    """A chain for each path, and one for each imagined item that the catalogue has."""
    told = [
        ReasoningChain(
            items=tuple(graph.steps[place].item_id for place in path),
            verification=min(graph.steps[place].score for place in path) / BEST_SCORE,
            text=graph.steps[path[-1]].reason[:MAX_REASON],
        )
        for path in chains(graph)
    ]
    told += [
        ReasoningChain(
            items=(graph.steps[one.step].item_id, one.item_id),
            verification=one.score / BEST_SCORE,
            divergent=True,
            text=one.reason[:MAX_REASON],
        )
        for one in graph.imagined
        if one.item_id
    ]
    return tuple(told)


def graph_of(body: Reasoning, *, user_id: str, horizon: Horizon, events: int, **made_by: Any) -> Graph:
    """What the graph keeps of a travelled reasoning graph; `made_by` fills the fields of who made it."""
    return Graph(
        user_id=user_id,
        ts=horizon.ts_ms,
        offset=horizon.offset,
        events=events,
        steps=tuple(
            Step(one.item_id, one.ts_ms, one.came_from, one.relation, one.concept, one.reason, one.score)
            for one in body.steps
        ),
        imagined=tuple(
            Imagined(one.step, one.name, one.item_id, one.similarity, one.relation, one.reason, one.score)
            for one in body.imagined
        ),
        concepts=body.concepts,
        vectors=body.vectors,
        **made_by,
    )


def reasoning_graph(message: ReasoningGraph, width: int) -> Graph:
    """What the graph keeps of a published one; without vectors its concepts weigh nothing, `width` numbers each."""
    made = graph_of(
        message.reasoning,
        user_id=message.entity_id,
        horizon=message.horizon,
        events=message.events,
        producer=message.producer,
        model_id=message.model_id,
        prompt_version=message.prompt_version,
        created_at=message.created_at_ms,
    )
    return made if made.vectors else msgspec.structs.replace(made, vectors=bytes(HALF * width * len(made.concepts)))
