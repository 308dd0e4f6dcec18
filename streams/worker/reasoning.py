"""What a worker tells of the reasoning graphs and latent relations that its shards hold."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from dyngraph.reasoning import ReasoningGraph
from dyngraph.relations import RelationTable
from dyngraph.shard import Shard
from llm_workers.refresh.several import Policies
from models.lrd.living_table import LivingTable
from models.sources.relations import RelationSource


def reasoning_of(shard: Shard, user_id: str) -> dict[str, Any] | None:
    """The newest reasoning graph of a user with the titles of its items, None where there is none."""
    graph = shard.engine.graph
    row = int(graph.user_ids.find([user_id])[0])
    found = graph.reasoning.newest(row) if row else None
    if found is None:
        return None
    ids = {step.item_id for step in found.steps} | {one.item_id for one in found.imagined if one.item_id}
    entries = ((item_id, graph.catalogue.get(item_id)) for item_id in sorted(ids))
    return {
        "graph": msgspec.to_builtins(msgspec.structs.replace(found, vectors=b"")),
        "titles": {item_id: item.title for item_id, item in entries if item is not None and item.title},
        "age_s": round(max(shard.now().ts - found.ts, 0) / 1000, 3),
    }


class Missing(NamedTuple):
    """Why a user has no reasoning graph, as far as this worker knows."""

    rule: str
    fix: str


def why_none(shard: Shard, user_id: str, not_ready: str | None) -> Missing:
    """Why :func:`reasoning_of` found nothing; ``not_ready`` tells what the worker still waits for, None if nothing."""
    policies = shard.refresh.policies if isinstance(shard.refresh, Policies) else {}
    policy = policies.get("reasoning")
    if policy is None:
        return Missing(
            "reasoning graphs are off on this worker",
            "start one without --no-llm and with `reasoning` true, on a state folder of its own",
        )
    graph, config = shard.engine.graph, policy.config
    row = int(graph.user_ids.find([user_id])[0])
    events = int(graph.users.events[row]) if row else 0
    if not events:
        fix = f"wait: the worker is not ready ({not_ready})" if not_ready else "check the id, or publish such an event"
        return Missing("the user is unknown here: this worker has no event of such a user", fix)
    if events < config.min_events:
        return Missing(
            f"one is asked for from a user's event {config.min_events} on, and this user has {events}",
            "ask again after the user's next event",
        )
    waits = policy.awaits(row)
    if waits == "budget":
        return Missing(
            f"the user is one of {policy.figures()['waiting']} who wait for a turn: `reasoning_refresh.jobs_per_1000` "
            f"allows {config.jobs_per_1000} graphs per 1,000 events",
            "wait for more events, or set it higher",
        )
    if waits == "answer":
        return Missing(
            "one was asked for, and none has been taken in yet",
            "see whether a worker runs that makes them (`evergraph worker --role llm`), what its /state says, and "
            "`reasoning.refused` at /state here",
        )
    return Missing(
        "none is asked for: the user only refused items, or too many others waited for the budget",
        "ask again after the user's next event, which is looked at anew",
    )


def told_graph(answer: dict[str, Any]) -> ReasoningGraph:
    """The graph within what :func:`reasoning_of` answered, concept vectors left out."""
    return msgspec.convert(answer["graph"], ReasoningGraph)


def living_table(shard: Shard) -> LivingTable | None:
    """The shard's latent relations; None without them."""
    source = next((one for one in shard.engine.sources if isinstance(one, RelationSource)), None)
    return source.table if source is not None else None


def relation_table(shard: Shard) -> RelationTable | None:
    """The newest version of the shard's latent relations, with counted names; None before the first, or without."""
    living = living_table(shard)
    return living.table if living is not None else None


def relations_of(shard: Shard) -> dict[str, Any] | None:
    """That version for people: what each relation is called, how much it is used, and its strongest pairs."""
    living = living_table(shard)
    table = living.shown if living is not None else None
    if living is None or table is None:
        return None
    title = shard.engine.graph.catalogue.title
    return {
        "version": table.version,
        "names_refused": dict(living.refused),
        "horizon": {"ts_ms": table.ts, "seq": table.offset},
        "relations": [
            {
                "number": number,
                "name": slot.name,
                "usage": round(slot.usage, 4),
                "pairs": [
                    {"past": title(pair.past), "candidate": title(pair.candidate), "score": round(pair.score, 4)}
                    for pair in slot.pairs[:10]
                ],
            }
            for number, slot in enumerate(table.slots, 1)
        ],
    }


def reasoning_figures(shard: Shard) -> dict[str, object]:
    """How many graphs there are, and why others were refused."""
    store = shard.engine.graph.reasoning
    return {"graphs": len(store), "refused": dict(store.refused)}
