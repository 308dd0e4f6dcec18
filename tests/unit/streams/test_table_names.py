"""When relations are named: once for each table, and whatever happens to one table the next has its turn."""

from __future__ import annotations

import asyncio
import json
from typing import cast

import msgspec
import pytest

from dyngraph.events import Item
from dyngraph.relations import RelationNames
from llm_workers.protocols import Answer, Prompt
from llm_workers.relations.naming import LlmNamer
from streams.artefact_messages import Relation, Relations
from streams.llm.outbox import Outbox
from streams.llm.relation_names import RelationNaming
from streams.messages import Horizon
from streams.relation_names import made_for, names_message, names_of, table_of

SHOP = {name: Item(name, name) for kind in ("razor", "blade") for name in (f"{kind}{n}" for n in range(4))}


def table(version: int = 3, partition: int = 0, ts: int = 1_000, offset: int = 17) -> Relations:
    return Relations(
        entity_id=f"shard-{partition}",
        version=version,
        horizon=Horizon(ts_ms=ts, offset=offset, partition=partition),
        producer="statistical",
        model_id="shared terms",
        prompt_version="none",
        created_at_ms=1,
        relations=tuple(Relation(head=f"razor{n}", tail=f"blade{n}", relation=1, strength=0.9) for n in range(4)),
        names=("razor with blade",),
    )


class Model:
    """Says the same of all relations, but that an error is raised first, and None is waited upon for ever."""

    model_id = "m"

    def __init__(self, *first: BaseException | None, takes_s: float = 0.0) -> None:
        self.first, self.takes_s = list(first), takes_s

    async def answer(self, prompt: Prompt) -> Answer:
        await asyncio.sleep(self.takes_s)
        if self.first:
            error = self.first.pop(0)
            if error is None:
                await asyncio.Event().wait()
            else:
                raise error
        return Answer(json.dumps({"name": "refill of"}), "m")


class Sent:
    """An outbox that keeps what it is given."""

    def __init__(self) -> None:
        self.names: list[Relations] = []

    async def relation_names(self, names: Relations) -> None:
        self.names.append(names)


def heard(model: Model, *messages: Relations, ends: int = 1, deadline_s: float = 20.0) -> tuple[Sent, dict[str, int]]:
    """What is published after these were read, and the figures, once ``ends`` tables are named or given up."""

    async def scenario() -> tuple[Sent, dict[str, int]]:
        sent = Sent()
        naming = RelationNaming(LlmNamer(model), SHOP, cast(Outbox, sent), lambda: True, deadline_s)
        for message in messages:
            naming.heard(message)
        running = asyncio.create_task(naming.run())
        async with asyncio.timeout(20):
            while len(sent.names) + naming.figures()["given_up"] < ends:
                assert not running.done(), "the process would end with it"
                await asyncio.sleep(0.001)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return sent, naming.figures()

    return asyncio.run(scenario())


def names_for(one: Relations) -> Relations:
    """What a worker before this one published."""
    partition = table_of(one)
    assert partition is not None
    return names_message(one, partition, ["clips onto"], LlmNamer(Model()))


def test_names_tell_which_table_they_were_made_for() -> None:
    sent, _ = heard(Model(), table(partition=7))
    assert [names_of(one) for one in sent.names] == [RelationNames(7, 3, ("refill of",), "endpoint", 1_000, 17)]


def test_a_table_that_has_names_is_not_asked_about_again() -> None:
    # What is heard last has the first turn.
    sent, figures = heard(Model(), names_for(table()), table(partition=1), table())
    assert [one.entity_id for one in sent.names] == ["names-1"] and figures["asked"] == 1


@pytest.mark.parametrize("other", [{"ts": 2_000}, {"offset": 18}, {"version": 4}])
def test_a_table_is_asked_about_though_an_older_one_of_its_shard_has_names(other: dict[str, int]) -> None:
    sent, _ = heard(Model(), names_for(table()), table(**other))
    assert [made_for(one) for one in sent.names] == [made_for(table(**other))] != [made_for(table())]


@pytest.mark.parametrize("trouble", [RuntimeError("nobody thought of this"), None, asyncio.CancelledError()])
def test_naming_that_breaks_or_hangs_is_counted_and_the_next_table_is_named(trouble: BaseException | None) -> None:
    sent, figures = heard(Model(trouble), table(), table(partition=1), ends=2, deadline_s=0.2)
    assert [one.entity_id for one in sent.names] == ["names-0"]
    assert (figures["given_up"], figures["asked"]) == (1, 2)


def test_each_relation_of_a_table_has_its_time() -> None:
    many = msgspec.structs.replace(
        table(),
        names=tuple(f"one {n}" for n in range(10)),
        relations=tuple(msgspec.structs.replace(one, relation=n + 1) for n in range(10) for one in table().relations),
    )
    sent, figures = heard(Model(takes_s=0.03), many, deadline_s=0.2)
    assert len(sent.names) == 1 and (figures["given_up"], figures["asked"]) == (0, 10)
