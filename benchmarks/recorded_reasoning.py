"""Reasoning graphs by a language model for some users of a data set, with every answer recorded and replayed.

    python benchmarks/recorded_reasoning.py --model embedded
    python benchmarks/recorded_reasoning.py --model endpoint     # as the settings (EVERGRAPH_LLM_...) say
    python benchmarks/recorded_reasoning.py --replay             # asks nobody; with --model endpoint if that was asked

Users are drawn among those with five events or more; their past is what stands before their test item in
leave-one-out, the newest ``--items`` of it, so the graphs may be read at the test places
(``benchmarks/reasoning_graphs.py --recorded``). Questions go in rounds, since a later one depends on earlier answers;
within a round those of one kind are asked one after the other, because a model in this process reads the part that they
share once. Each answer is on disk before the next is asked: stopped and started again, the run goes on.

Reduced, so that a user costs few calls: one proposal for an item, and one chain that is extended, by two ideas. The
embedded model is held to as few by the form of its answer, and not asked again for one that does not fit. It shows
that recording works and costs what it costs, not what reasoning is worth: its sense is that of 135 million parameters.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, get_args

import msgspec
import torch
from arguments import whole
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evaluation.coded import coded
from evaluation.profiles.stock import TextStock
from evaluation.readers import read_log
from evaluation.reasoning.calls import Calls
from evaluation.reasoning.held_out import HeldOutHistories, Order
from evaluation.reasoning.recorded import write_graphs
from evaluation.reasoning.recording import Played, Recording, requests_before_tests
from llm_workers.answers import REPAIRS
from llm_workers.cache import AnswerCache
from llm_workers.client.endpoint import EndpointAnswerer
from llm_workers.config import LlmConfig
from llm_workers.local_model import DEFAULT_MODEL, LocalModel
from llm_workers.producers.embedded import EmbeddedAnswerer
from llm_workers.protocols import Answer, Answerer, LlmError, Prompt
from llm_workers.reasoning.matching import VectorMatcher
from llm_workers.reasoning.request import ReasoningRequest
from llm_workers.reasoning.settings import ReasoningSettings
from streams.settings import load_settings

DATA = Path(os.environ.get("EVERGRAPH_DATA", "../shared/data")) / "amazon-beauty" / "interactions.tsv.gz"
FEW = ReasoningSettings(proposals=1, chains=1, ideas=2)
LISTS = {"reasoning": ("links", FEW.proposals), "divergence": ("items", FEW.ideas)}
CACHE_BYTES = 1 << 30


class Asked(NamedTuple):
    """Who is asked, and how."""

    answerer: Answerer
    at_once: int
    """Questions that are out at a time."""
    repairs: int
    """How often an answer that does not fit is asked for again."""


class HeldToFew:
    """The embedded model, made to answer with no more links and items than are looked at."""

    model_id = DEFAULT_MODEL

    def __init__(self) -> None:
        self._model = EmbeddedAnswerer(LocalModel(context=4096))

    async def answer(self, prompt: Prompt) -> Answer:
        """Raises :class:`~llm_workers.protocols.LlmError`."""
        if prompt.kind not in LISTS:
            return await self._model.answer(prompt)
        name, most = LISTS[prompt.kind]
        properties: dict[str, Any] = prompt.schema["properties"]
        schema = prompt.schema | {"properties": {name: properties[name] | {"maxItems": most}}}
        return await self._model.answer(msgspec.structs.replace(prompt, schema=schema))


def asked_of(model: str, settings: LlmConfig) -> Asked:
    """Raises ValueError for settings without a key, :class:`~llm_workers.protocols.LlmError` without weights."""
    if model == "embedded":
        return Asked(HeldToFew(), at_once=1, repairs=0)
    return Asked(EndpointAnswerer(settings), settings.concurrency, REPAIRS)


async def record(
    recording: Recording,
    requests: Sequence[ReasoningRequest],
    asked: Asked,
    calls: Calls,
) -> None:
    """Ask, round by round, until nobody waits. Raises :class:`~llm_workers.protocols.LlmError` for a model that cannot
    answer."""

    async def ask(prompt: Prompt) -> None:
        calls.add(await recording.ask(prompt, asked.answerer, asked.repairs))

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        users, number = bar.add_task("users finished", total=len(requests)), 0
        while True:
            played = await recording.play(requests)
            bar.update(users, completed=len(played.graphs))
            if not played.questions:
                return
            number += 1
            kinds = ", ".join(
                f"{count} {kind}" for kind, count in Counter(one.kind for one in played.questions).items()
            )
            task = bar.add_task(f"round {number}: {kinds}", total=len(played.questions))
            for at in range(0, len(played.questions), asked.at_once):
                group = played.questions[at : at + asked.at_once]
                await asyncio.gather(*map(ask, group))
                bar.advance(task, len(group))


def replayed(recording: Recording, requests: Sequence[ReasoningRequest]) -> Played:
    """Build all graphs twice from the recorded answers alone. Raises SystemExit where they differ or answers miss."""
    once, again = (asyncio.run(recording.play(requests)) for _ in range(2))
    if once.waiting:
        raise SystemExit(f"{len(once.waiting)} users wait for answers: record them first (without --replay)")
    first, second = (hashlib.sha256(msgspec.msgpack.encode(played.graphs)).hexdigest() for played in (once, again))
    print(f"{len(once.graphs)} graphs, built twice: sha256 {first[:16]} and {second[:16]}")
    if first != second:
        raise SystemExit("the replay is not the same bit for bit")
    return once


def show(played: Played, calls: Calls) -> None:
    """Print the figures."""
    figures = played.figures.as_dict()
    asked = {name.removeprefix("calls_"): int(count) for name, count in figures.items() if name.startswith("calls_")}
    linked = figures["steps"] - figures["opened"]
    print(f"steps {figures['steps']:.0f}, of which linked {linked:.0f} (known already {figures['known']:.0f})")
    print(f"operations: {asked}; saved by the knowledge base: {figures['saved']:.1%}")
    print(
        f"verified {figures['verified']:.0f}, dropped {figures['dropped']:.0f}; imagined {figures['imagined']:.0f}, "
        f"unmatched {figures['unmatched']:.0f}; invalid answers {figures['invalid_answers']:.0f}, "
        f"to nothing taken {figures['untouched']:.0f}, to itself {figures['cyclic']:.0f}, "
        f"of other people {figures['other_people']:.0f}"
    )
    print("| question | asked | fit | seconds a call | prompt tokens | answer tokens |\n|---|---|---|---|---|---|")
    for kind, found in calls.by_kind().items():
        fit = [called.spent for called in found if called.fit]
        each = [sum(values) / max(1, len(fit)) for values in zip(*map(msgspec.structs.astuple, fit), strict=True)]
        prompt, answer, seconds, _ = each or [0.0] * 4
        print(f"| {kind} | {len(found)} | {len(fit)} | {seconds:.2f} | {prompt:.0f} | {answer:.0f} |")


def main() -> None:
    """Parse, record what is missing, replay, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("embedded", "endpoint"), default="embedded")
    parser.add_argument("--replay", action="store_true", help="ask nobody")
    parser.add_argument("--users", type=whole(1), default=200)
    parser.add_argument("--items", type=whole(1), default=4, help="newest items of the past")
    parser.add_argument("--seed", type=whole(0), default=0, help="who is drawn; with --order shuffled also the shuffle")
    parser.add_argument("--order", choices=get_args(Order), default="published")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("out/recorded-reasoning"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        settings = load_settings({}).llm
        model_id = DEFAULT_MODEL if args.model == "embedded" else settings.model
        if not model_id:
            raise ValueError("no model: set EVERGRAPH_LLM_MODEL, and EVERGRAPH_LLM_BASE_URL where it is not OpenAI's")
        log = coded(read_log(args.data))
        requests = requests_before_tests(
            log, HeldOutHistories.of(log, args.order, args.seed), users=args.users, items=args.items, seed=args.seed
        )
        asked = None if args.replay else asked_of(args.model, settings)
        stock = TextStock("minilm")
        args.out.mkdir(parents=True, exist_ok=True)
        calls = Calls(args.out / "calls.jsonl")
    except (ValueError, OSError, LlmError) as fault:
        parser.error(str(fault))
    entries = {item.item_id: item for item in log.catalogue.values()}
    matcher = VectorMatcher(stock.encoder)
    matcher.add(entries.values())
    with closing(AnswerCache(args.out / "answers.sqlite", CACHE_BYTES)) as cache:
        recording = Recording(cache, model_id, args.model, entries.get, matcher, stock.encoder, FEW)
        if asked is not None:
            begun = time.perf_counter()
            try:
                asyncio.run(record(recording, requests, asked, calls))
            except LlmError as fault:
                raise SystemExit(f"{fault}; started again, the run goes on from what is kept in {args.out}") from None
            print(f"{len(requests)} users recorded by {model_id} in {time.perf_counter() - begun:.0f} s")
        played = replayed(recording, requests)
    write_graphs(args.out / "graphs.msgpack", played.graphs)
    show(played, calls)


if __name__ == "__main__":
    main()
