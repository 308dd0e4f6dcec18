"""Event-to-list latency with LLM workers at work against the same without them: nothing may wait for an LLM.

Run: ``python benchmarks/llm_latency.py --json out/llm_latency.json`` (about five minutes). A server of our own speaks
chat completions and takes two seconds for each answer. 1,000 users wait for a profile from the start, more than can be
served while this runs; live events ask for more. Rounds of 200 events a second alternate between without and with the
LLM worker, on one graph worker that goes on all the time, so that both see the same machine, state and growth. The
first pair warms up and does not count. ``ratio`` is the median over pairs of with over without.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from stream import latency, machine

from dyngraph.events import Interaction
from evaluation.readers import bundled_path, read_log
from evaluation.readers.log import InteractionLog
from streams.artefact_messages import LlmJob, PastEntry
from streams.cli.options import write_json
from streams.cli.recommend import WorkerUnreachable, ask
from streams.codec import encode, job_id
from streams.demo import feed
from streams.messages import Horizon
from streams.producer import Publisher
from streams.settings import Settings, load_settings
from streams.supervisor import Installation
from streams.worker.note import read_note

PROFILE = {"segment": ["gift shops"], "interests": ["candles"], "categories": ["home"], "brands": []}


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=200, help="events per second")
    parser.add_argument("--seconds", type=int, default=20, help="length of a round")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of rounds that count")
    parser.add_argument("--stale", type=int, default=1_000, help="users that wait for a profile from the start")
    parser.add_argument("--answer-s", type=float, default=2.0, help="seconds the LLM takes for an answer")
    parser.add_argument("--concurrency", type=int, default=4, help="questions asked at a time")
    parser.add_argument("--warm", type=int, default=10_000, help="events of the log applied before")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve(args.answer_s))
        return
    log = read_log(bundled_path())
    with tempfile.TemporaryDirectory(prefix="evergraph-bench-") as folder, slow_llm(args.answer_s) as url:
        settings = load_settings(
            {
                "state_dir": folder,
                "http_port": 0,
                "clock": "log",
                "prefix": f"evergraph-bench-{os.getpid()}.",
                "llm.producer": "endpoint",
                "llm.base_url": url,
                "llm.model": "slow",
                "llm.concurrency": args.concurrency,
            }
        )
        with Installation(settings, tell=lambda line: print(line, file=sys.stderr)) as installation:
            figures = run(installation, settings, log, args)
    figures |= {"rate": args.rate, "seconds": args.seconds, "answer_s": args.answer_s, **machine()}
    print(json.dumps(figures, indent=2))
    if args.json is not None:
        write_json(args.json, figures)


def run(
    installation: Installation, settings: Settings, log: InteractionLog, args: argparse.Namespace
) -> dict[str, Any]:
    """Warm up, let users become stale, then alternate."""
    url = installation.wait_ready()
    for progress in feed(log.head(args.warm), settings, installation.broker, url):
        print(f"\r{progress.applied:,} events", end="", file=sys.stderr)
    print(file=sys.stderr)
    per_round = args.rate * args.seconds
    pool = list(log.interactions(args.warm, args.warm + 20_000))
    random.Random(args.seed).shuffle(pool)
    wait_until(lambda state: state["items"] and not state["item_texts_waiting"], settings, "done with the item texts")
    installation.stop_llm()
    stale = StaleUsers(log.head(args.warm), args.seed)
    rounds: list[dict[str, Any]] = []
    now = max(event.ts for event in pool)
    for number in range(2 * (args.pairs + 1)):
        with_llm = number % 2 == 1
        if with_llm:
            installation.start_llm()
            keep_busy(stale, args.stale, settings, installation.broker)
        now += 1_000 * (args.seconds + 60)
        events = [restamped(pool[(number * per_round + place) % len(pool)], now) for place in range(per_round)]
        spent = cpu_seconds(installation)
        with watching(url, settings) as seen:
            row = latency(f"round-{number}", events, settings, installation.broker, args.rate, args.seconds)
        cpu = {name: round(now_s - spent[name], 1) for name, now_s in cpu_seconds(installation).items()}
        if with_llm:
            installation.stop_llm()
        rounds.append(row | {"llm": with_llm, "counts": number >= 2, "cpu_s": cpu, "seen": seen})
        print({"llm": with_llm, **row["event_to_list_ms"], "cpu_s": cpu, "last_seen": seen[-1:]}, file=sys.stderr)
    return {"rounds": rounds, **compared([one for one in rounds if one["counts"]])}


def cpu_seconds(installation: Installation) -> dict[str, float]:
    """What each process has used so far; empty where the system does not tell."""
    ticks, spent = os.sysconf("SC_CLK_TCK"), {}
    for name, pid in (("graph", installation.worker_pid), ("llm", installation.llm_pid)):
        stat = Path(f"/proc/{pid}/stat")
        if stat.exists():
            user, system = stat.read_text().rpartition(")")[2].split()[11:13]
            spent[name] = (int(user) + int(system)) / ticks
    return spent


def restamped(event: Interaction, ts: int) -> Interaction:
    """The event at another time; the first of a round tells when that round begins."""
    return msgspec.structs.replace(event, ts=ts)


def compared(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Median ratios over the pairs, and the medians themselves (ms)."""
    without = [one["event_to_list_ms"] for one in rounds if not one["llm"]]
    with_llm = [one["event_to_list_ms"] for one in rounds if one["llm"]]
    figures: dict[str, Any] = {"pairs": len(with_llm)}
    for name in ("p50", "p99"):
        ratios = [a[name] / b[name] for a, b in zip(with_llm, without, strict=True)]
        figures[name] = {
            "without_ms": round(statistics.median(one[name] for one in without), 1),
            "with_ms": round(statistics.median(one[name] for one in with_llm), 1),
            "ratio": round(statistics.median(ratios), 3),
            "ratios": [round(ratio, 3) for ratio in ratios],
        }
    return figures


class StaleUsers:
    """Jobs without end, each of a user of its own and from a past of its own, so that no answer serves two.

    The first are of users that the graph knows, whose profiles it takes; when those are used up, of others.
    """

    def __init__(self, log: InteractionLog, seed: int) -> None:
        self._events = list(log.interactions(0, len(log)))
        self._draw = random.Random(seed)
        self._known = list(dict.fromkeys(event.user_id for event in self._events))
        self._made = 0

    def job(self) -> LlmJob:
        """The next one."""
        user = self._known[self._made] if self._made < len(self._known) else f"stale-{self._made}"
        self._made += 1
        events = {event.item_id: event for event in self._draw.sample(self._events, 30)}.values()
        past = sorted((PastEntry(item_id=event.item_id, ts_ms=event.ts) for event in events), key=lambda one: one.ts_ms)
        return LlmJob(
            job_id=job_id("profile", user, 0, self._made),
            kind="profile",
            entity_id=user,
            entity="user",
            horizon=Horizon(ts_ms=past[-1].ts_ms, offset=self._made),
            events=len(past),
            past=tuple(past),
        )


def keep_busy(stale: StaleUsers, count: int, settings: Settings, broker: str) -> None:
    """Once the LLM worker has taken what it left behind, fill its queue up to ``count``."""
    taken = wait_until(lambda state: len(state["partitions"]) == settings.llm_partitions, settings, "given jobs")
    time.sleep(2)
    missing = count - (llm_state(settings) or taken)["jobs"]["profile"]["waiting"]
    with Publisher(broker, settings.prefix, linger_ms=5) as publisher:
        for _ in range(missing):
            job = stale.job()
            publisher.send("llm-jobs", job.entity_id.encode(), encode(job))
        publisher.flush()
    wait_until(lambda state: state["jobs"]["profile"]["waiting"] >= 0.9 * count, settings, "behind with its work")


def llm_state(settings: Settings) -> dict[str, Any] | None:
    """What the LLM worker says of itself, None where none runs."""
    note = read_note(settings.state_dir / "llm")
    try:
        return ask(f"{note['url']}/state") if note else None
    except WorkerUnreachable:
        return None


def wait_until(
    condition: Callable[[dict[str, Any]], bool], settings: Settings, what: str, within_s: float = 1_200
) -> dict[str, Any]:
    """The LLM worker's state, as soon as it is so."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        state = llm_state(settings)
        if state and condition(state):
            return state
        time.sleep(0.5)
    raise TimeoutError(f"the LLM worker is not {what} after {within_s:.0f} s")


@contextmanager
def watching(url: str, settings: Settings) -> Iterator[list[dict[str, Any]]]:
    """Queue depth and profile age, each few seconds."""
    seen: list[dict[str, Any]] = []
    done = threading.Event()
    begun = time.monotonic()

    def look() -> None:
        while not done.wait(4.0):
            profiles = ask(f"{url}/state")["shards"][0]["profiles"]
            jobs = (llm_state(settings) or {}).get("jobs", {})
            seen.append(
                {
                    "s": round(time.monotonic() - begun),
                    "profiles": profiles["profiles"],
                    "profile_age_s": profiles["age_s"],
                    "queue": jobs.get("waiting"),
                    "in_flight": jobs.get("in_flight"),
                    "oldest_s": jobs.get("oldest_s"),
                }
            )

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


@contextmanager
def slow_llm(answer_s: float) -> Iterator[str]:
    """The server as a process of its own; the URL of its API."""
    command = [sys.executable, __file__, "--serve", "--answer-s", str(answer_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


async def serve(answer_s: float) -> None:
    """Answer every question alike, after a while; the port goes to standard output."""

    async def complete(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(answer_s)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": json.dumps(PROFILE)}}
        usage = {"prompt_tokens": 400, "completion_tokens": 40, "total_tokens": 440}
        head = {"id": "1", "object": "chat.completion", "created": 1, "model": "slow"}
        return web.json_response(head | {"choices": [choice], "usage": usage})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    main()
