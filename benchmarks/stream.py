"""Throughput and latency of the whole live path: producer, broker, Faust, graph with learning on, lists out.

Run: ``python benchmarks/stream.py --json out/stream.json`` (about two minutes). Two cases, each a row:

- ``throughput``: the first N events of the bundled log published at full speed, while 250 list requests a second come
  in beside the lists that follow events. ``events_per_s`` is all events over the time from the first send to the last
  applied; ``lists_per_s`` all lists over the same time.
- ``latency``, twice: then 200 events a second for half a minute, taken from the log's continuation, with times that go
  on at the pace of the clock. Order ``log`` keeps the log's own order, where a basket is many events of one user; order
  ``mixed`` shuffles, so that almost every event is another user's and asks for a list of its own. ``event_to_list_ms``
  runs from just before the send to the receipt of the user's first list that has seen the event, at a consumer of
  ``recommendations``.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from dyngraph.events import Interaction
from evaluation.readers import bundled_path, read_log
from evaluation.readers.log import InteractionLog
from streams.cli.options import write_json
from streams.cli.recommend import ask
from streams.codec import decode, encode, to_message
from streams.consumer import tail
from streams.demo import feed
from streams.messages import RecommendationMessage, RecommendationRequest
from streams.producer import Publisher
from streams.settings import Settings, load_settings
from streams.supervisor import Installation


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=40_000, help="events of the throughput case")
    parser.add_argument("--requests", type=int, default=250, help="list requests per second beside them")
    parser.add_argument("--rate", type=int, default=200, help="events per second of the latency case")
    parser.add_argument("--seconds", type=int, default=30, help="length of the latency case")
    parser.add_argument("--broker", help="Kafka as host:port (default: the embedded broker)")
    parser.add_argument("--learner", choices=("inline", "trainer"), default="inline", help="who learns")
    parser.add_argument("--no-llm", action="store_true", help="without profiles, chains, relations and their worker")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    args = parser.parse_args()
    log = read_log(bundled_path())
    with tempfile.TemporaryDirectory(prefix="evergraph-bench-") as folder:
        settings = load_settings(
            {
                "state_dir": folder,
                "http_port": 0,
                "clock": "log",
                "broker": args.broker,
                "learner": args.learner,
                **({"profiles": False, "reasoning": False, "relations": False} if args.no_llm else {}),
                "prefix": f"evergraph-bench-{os.getpid()}.",
            }
        )
        with Installation(settings, tell=lambda line: print(line, file=sys.stderr)) as installation:
            url = installation.wait_ready()
            rows = [throughput(log.head(args.events), settings, installation.broker, url, args.requests)]
            continuation = list(log.interactions(args.events, args.events + 20_000))
            half = len(continuation) // 2
            mixed = random.Random(args.seed).sample(continuation[half:], half)
            for order, events in (("log", continuation[:half]), ("mixed", mixed)):
                row = latency(order, events, settings, installation.broker, args.rate, args.seconds)
                rows.append(row | {"weights": ask(f"{url}/state")["shards"][0]["weights"]})
    for row in rows:
        row |= {
            "data": log.name,
            "learning": True,
            "llm": not args.no_llm,
            "learner": args.learner,
            "broker": "embedded" if args.broker is None else "kafka",
            **machine(),
        }
        print(row)
    if args.json is not None:
        write_json(args.json, {"rows": rows})


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import torch

    return {"cpus": os.cpu_count(), "cpu": platform.processor() or platform.machine(), "torch": str(torch.__version__)}


def throughput(log: InteractionLog, settings: Settings, broker: str, url: str, rate: int) -> dict[str, Any]:
    """Publish at full speed, with requests beside."""
    begun = time.perf_counter()
    users = log.frame["user_id"].unique().to_list()
    with requesting(users, settings, broker, rate):
        for progress in feed(log, settings, broker, url):
            print(f"\r{progress.applied:,} events, {progress.events_per_s:,.0f}/s", end="", file=sys.stderr)
        seconds = time.perf_counter() - begun
        counters = ask(f"{url}/state")["counters"]
    print(file=sys.stderr)
    return {
        "case": "throughput",
        "events": len(log),
        "seconds": round(seconds, 2),
        "events_per_s": round(len(log) / seconds, 1),
        "lists": counters["lists"],
        "lists_per_s": round(counters["lists"] / seconds, 1),
        "steps": counters["steps"],
        "hr@10": progress.figures["evergraph"]["hr@10"],
    }


@contextmanager
def requesting(users: list[str], settings: Settings, broker: str, rate: int) -> Iterator[None]:
    """``rate`` list requests a second until left."""
    done = threading.Event()

    def work() -> None:
        with Publisher(broker, settings.prefix, linger_ms=5) as publisher:
            begun, sent = time.perf_counter(), 0
            while not done.wait(0.02):
                while sent < (time.perf_counter() - begun) * rate:
                    user = users[sent % len(users)]
                    request = RecommendationRequest(request_id=f"r{sent}", user_id=user)
                    publisher.send("recommendation-requests", user.encode(), encode(request))
                    sent += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def latency(
    order: str, events: list[Interaction], settings: Settings, broker: str, rate: int, seconds: int
) -> dict[str, Any]:
    """Publish at ``rate`` and time every event's list."""
    chosen = events[: rate * seconds]
    start = max(event.ts for event in events) if order == "mixed" else events[0].ts
    waiting: dict[str, list[tuple[int, float]]] = {}
    waits: list[float] = []
    with (
        Publisher(broker, settings.prefix) as publisher,
        tail(broker, settings.topic("recommendations")) as poll,
    ):
        publisher.prepare("interactions")
        begun = time.perf_counter()
        sent = 0
        acknowledged: deque[tuple[str, float, int]] = deque()
        deadline = begun + seconds + 20
        while time.perf_counter() < deadline and (len(waits) < len(chosen)):
            while sent < len(chosen) and sent < (time.perf_counter() - begun) * rate:
                elapsed = int(1000 * (time.perf_counter() - begun))
                event = msgspec.structs.replace(chosen[sent], ts=start + elapsed, event_id=f"{order}-{sent}")
                note = partial(_note, acknowledged, event.user_id, time.perf_counter())
                publisher.interaction(to_message(event)).add_callback(note)
                sent += 1
            records = poll(5)
            arrived = time.perf_counter()
            while acknowledged:
                user, at, offset = acknowledged.popleft()
                waiting.setdefault(user, []).append((offset, at))
            for record in records:
                asked = waiting.pop((record.key or b"").decode(), [])
                if not asked or record.value is None:
                    continue
                seen = decode(RecommendationMessage, record.value).horizon.offset
                waits += [1000 * (arrived - at) for offset, at in asked if offset <= seen]
                if left := [(offset, at) for offset, at in asked if offset > seen]:
                    waiting[(record.key or b"").decode()] = left
    p50, p90, p99 = np.percentile(waits, (50, 90, 99)).round(1).tolist()
    return {
        "case": "latency",
        "order": order,
        "events": sent,
        "events_per_s": rate,
        "unanswered": sent - len(waits),
        "event_to_list_ms": {"p50": p50, "p90": p90, "p99": p99, "max": round(max(waits), 1)},
    }


def _note(acknowledged: deque[tuple[str, float, int]], user: str, at: float, meta: Any) -> None:
    acknowledged.append((user, at, meta.offset))


if __name__ == "__main__":
    main()
