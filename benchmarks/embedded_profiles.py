"""What is the embedded language model good for? Choosing liked terms, against chance, counting and sentence vectors.

A user's first eight items are known. Three terms (category levels or brands) of the items that come next are to be
found among fourteen; the other eleven are drawn by how many items of the catalogue bear them. ``new`` are cases in
which none of the fourteen stands in the known items, so that counting has nothing to say.

    python benchmarks/embedded_profiles.py --cases 60
    python benchmarks/embedded_profiles.py --cases 2000 --choosers counts
    python benchmarks/embedded_profiles.py --profiles 20
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import math
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dyngraph.events import Item
from evaluation.readers import InteractionLog, read_log
from llm_workers.local_model import LocalModel
from llm_workers.producers.embedded import EmbeddedProfiles, TermWeigher, borne, shortened
from llm_workers.producers.statistical import StatisticalProfiles
from llm_workers.producers.terms import Terms, category_paths
from llm_workers.protocols import PastItem, ProfileRequest

DATA = Path(os.environ.get("EVERGRAPH_DATA", "../shared/data"))
KNOWN, NEXT, LIKED, OFFERED = 8, 8, 3, 14
TASKS = (
    ("amazon-beauty", "categories", False),
    ("amazon-beauty", "categories", True),
    ("ml-100k", "categories", False),
    ("amazon-beauty", "brands", False),
    ("amazon-beauty", "brands", True),
)


@dataclass(frozen=True)
class Case:
    """Terms of ``offered`` that ``liked`` holds are to be found from ``past``."""

    kind: str
    past: tuple[PastItem, ...]
    liked: frozenset[str]
    offered: tuple[str, ...]


CHOOSERS = {
    "counts": "the statistical producer",
    "grammar": "the model writes a choice, held to the terms by a grammar",
    "likelihood": "the model's likelihood of each term after the history",
    "calibrated": "the same against the likelihood without a history",
    "both": "counted terms by count, then the others by calibrated likelihood",
    "hidden": "cosine of the model's hidden states",
}
Chooser = Callable[[Case], Sequence[str]]
"""Ranks or picks offered terms; the first three count."""


def cases(log: InteractionLog, kind: str, new: bool, n: int, seed: int) -> Iterator[Case]:
    """Up to ``n`` cases, users in an order drawn by ``seed``."""
    random = np.random.default_rng(seed)
    catalogue = log.catalogue
    bearers = Counter(term for item in log.items for term in borne(kind, item))
    terms = sorted(bearers)
    share = np.array([bearers[term] for term in terms], float)
    visits: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for user, item, ts in log.frame.select("user_id", "item_id", "ts").iter_rows():
        visits[user].append((item, ts))
    users = sorted(user for user, seen in visits.items() if len(seen) >= KNOWN + 3)
    for user in random.permutation(users):
        past = tuple(_past(catalogue[item], ts) for item, ts in visits[user][:KNOWN])
        known = {term for item in past for term in borne(kind, item)}
        coming = [catalogue[item] for item, _ in visits[user][KNOWN : KNOWN + NEXT]]
        counts = Counter(term for item in coming for term in borne(kind, item) if not (new and term in known))
        if len(counts) < LIKED:
            continue
        liked = frozenset(sorted(counts, key=lambda term: (-counts[term], random.random()))[:LIKED])
        odds = np.array([0 if t in counts or (new and t in known) else s for t, s in zip(terms, share, strict=True)])
        if (odds > 0).sum() < OFFERED - LIKED:
            continue
        others = random.choice(terms, OFFERED - LIKED, replace=False, p=odds / odds.sum())
        yield Case(kind, past, liked, tuple(map(str, random.permutation([*sorted(liked), *others]))))
        if (n := n - 1) == 0:
            return


def _past(item: Item, ts: int) -> PastItem:
    return PastItem(item.item_id, ts, 1.0, item.title, item.brand or "", item.categories)


def described(item: PastItem) -> str:
    """A short line of an item, as the model reads it."""
    return f"{shortened(item)} ({', '.join(path[-1] for path in category_paths(item)[:3])})"


def statistical(terms: Terms) -> Chooser:
    counting = StatisticalProfiles(terms)

    def choose(case: Case) -> Sequence[str]:
        ranked = counting.ranked(case.kind, case.past, 1000)
        return [*(term for term in ranked if term in case.offered), *case.offered]

    return choose


def free_choice(model: LocalModel) -> Chooser:
    """The model writes three of the terms, held to them by a grammar."""

    def choose(case: Case) -> Sequence[str]:
        array = {"type": "array", "items": {"enum": list(case.offered)}, "minItems": LIKED, "maxItems": LIKED}
        schema = {
            "type": "object",
            "properties": {"liked": array},
            "required": ["liked"],
            "additionalProperties": False,
        }
        history = "\n".join(f"- {described(item)}" for item in case.past)
        ask = f"A customer chose:\n{history}\nWhich {LIKED} of these {case.kind} will the customer like next? "
        answer = model.chat("Answer in JSON.", ask + "; ".join(case.offered), schema, 120)
        text = answer["choices"][0]["message"]["content"]
        return [*dict.fromkeys(json.loads(text)["liked"]), *case.offered]

    return choose


class Remembering(TermWeigher):
    """Asks the model once for plain and calibrated figures."""

    likely = functools.cache(TermWeigher.likely)


def by_weight(weigh: Callable[[str, Sequence[PastItem], Sequence[str]], dict[str, float]]) -> Chooser:
    """Terms by what a :class:`~llm_workers.producers.embedded.TermWeigher` gives them."""

    @functools.cache
    def choose(case: Case) -> Sequence[str]:
        weight = weigh(case.kind, case.past, case.offered)
        return sorted(case.offered, key=lambda term: -weight[term])

    return choose


def counted_first(terms: Terms, rest: Chooser) -> Chooser:
    counting = statistical(terms)
    return lambda case: [*counting(case)[: -len(case.offered)], *rest(case)]


def similarity(encode: Callable[[list[str]], np.ndarray]) -> Chooser:
    """Terms by the cosine of their vector and the mean vector of the history's items."""
    kept: dict[str, np.ndarray] = {}

    def vectors(texts: Sequence[str]) -> np.ndarray:
        if missing := [text for text in dict.fromkeys(texts) if text not in kept]:
            kept.update(zip(missing, encode(missing), strict=True))
        return np.stack([kept[text] for text in texts])

    def choose(case: Case) -> Sequence[str]:
        history = vectors([described(item) for item in case.past]).mean(0)
        order = np.argsort(-(vectors(case.offered) @ history), kind="stable")
        return [case.offered[place] for place in order]

    return choose


def titled(task: tuple[str, str, bool]) -> str:
    name, kind, new = task
    return f"{name} {'new ' if new else ''}{kind}"


def accuracy(found: Sequence[float]) -> str:
    """Mean and the half width of its 95 % interval, in percent."""
    half = 196 * float(np.std(found)) / math.sqrt(len(found))
    return f"{100 * float(np.mean(found)):.1f} ± {half:.1f}"


def time_profiles(log: InteractionLog, n: int, seed: int) -> None:
    """Print what whole profiles of eight items take, the first (which weighs the offered terms alone) apart."""
    profiles = EmbeddedProfiles(Terms.of(log.items))
    wall, cpu, makers = [], [], set()
    for case in cases(log, "categories", False, n + 1, seed):
        request = ProfileRequest("user", case.past[-1].ts, -1, KNOWN, case.past)
        began = time.perf_counter(), time.process_time()
        makers.add(asyncio.run(profiles.profile(request)).producer)
        wall.append(time.perf_counter() - began[0])
        cpu.append(time.process_time() - began[1])
    print(
        f"{log.name}: {len(wall) - 1} profiles by {', '.join(sorted(makers))}: median {np.median(wall[1:]):.2f} s, "
        f"most {max(wall[1:]):.2f} s; of the core {np.median(cpu[1:]):.2f} s; the first {wall[0]:.2f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--tasks", default="all", help="some of: " + ", ".join(map(titled, TASKS)))
    parser.add_argument("--choosers", default=",".join(CHOOSERS), help="which, separated by commas")
    parser.add_argument("--profiles", type=int, default=0, help="only time this many whole profiles")
    args = parser.parse_args()
    if args.profiles:
        time_profiles(read_log(DATA / TASKS[0][0]), args.profiles, args.seed)
        return
    logs = {name: read_log(DATA / name) for name in dict.fromkeys(task[0] for task in TASKS)}
    text, hidden = LocalModel(), LocalModel(embedding=True)
    weigher = Remembering(text)
    likely, calibrated = by_weight(weigher.likely), by_weight(weigher.calibrated)
    print(f"{LIKED} of {OFFERED}, {KNOWN} items known, seed {args.seed}, at most {args.cases} cases a task, one thread")
    print("| task | cases | chooser | accuracy % | CPU seconds a case |\n| --- | --- | --- | --- | --- |")
    for task in TASKS:
        if args.tasks != "all" and titled(task) not in args.tasks.split(","):
            continue
        name, kind, new = task
        log = logs[name]
        terms = Terms.of(log.items)
        asked = list(cases(log, kind, new, args.cases, args.seed))
        offered: dict[str, Chooser] = {
            "counts": statistical(terms),
            "grammar": free_choice(text),
            "likelihood": likely,
            "calibrated": calibrated,
            "both": counted_first(terms, calibrated),
            "hidden": similarity(lambda texts: np.array(hidden.embed(texts))),
        }
        choosers = {name: offered[name] for name in args.choosers.split(",")}
        row = f"| {titled(task)} | {len(asked)}"
        print(f"{row} | chance | {100 * LIKED / OFFERED:.1f} | |", flush=True)
        for chooser, choose in choosers.items():
            began = time.process_time()
            right = []
            for done, case in enumerate(asked):
                picked = list(dict.fromkeys(choose(case)))[:LIKED]
                right.append(len(case.liked.intersection(picked)) / LIKED)
                if sys.stderr.isatty():
                    print(f"\r{chooser}: {done + 1} of {len(asked)}", end="", file=sys.stderr, flush=True)
            each = (time.process_time() - began) / max(1, len(asked))
            print(f"{row} | {chooser} | {accuracy(right)} | {each:.3f} |", flush=True)


if __name__ == "__main__":
    main()
