"""What is the embedded language model good for? Choosing liked terms, against chance, counting and sentence vectors.

A user's first eight items are known. Three terms (category levels or brands) of the items that come next are to be
found among fourteen; the other eleven are drawn by how many items of the catalogue bear them. ``new`` are cases in
which none of the fourteen stands in the known items, so that counting has nothing to say.

    python benchmarks/embedded_profiles.py --cases 60
    python benchmarks/embedded_profiles.py --cases 2000 --choosers counts
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dyngraph.events import Item
from evaluation.readers import InteractionLog, read_log
from llm_workers.local_model import LocalModel
from llm_workers.producers.statistical import StatisticalProfiles
from llm_workers.producers.terms import Terms, brand_of, category_paths, tidy
from llm_workers.protocols import PastItem

DATA = Path(os.environ.get("EVERGRAPH_DATA", "../shared/data"))
KNOWN, NEXT, LIKED, OFFERED = 8, 8, 3, 14
NOUNS = {"categories": "Category", "brands": "Brand"}
TASKS = (
    ("amazon-beauty", "categories", False),
    ("amazon-beauty", "categories", True),
    ("amazon-beauty", "brands", False),
    ("amazon-beauty", "brands", True),
    ("ml-100k", "categories", False),
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
    "hidden": "cosine of the model's hidden states",
}
Chooser = Callable[[Case], Sequence[str]]
"""Ranks or picks offered terms; the first three count."""


def borne(item: Item | PastItem, kind: str) -> list[str]:
    """The most specific category levels, or the brand."""
    if kind == "brands":
        return [brand] if (brand := brand_of(item)) else []
    return [path[-1] for path in category_paths(item)]


def cases(log: InteractionLog, kind: str, new: bool, n: int, seed: int) -> Iterator[Case]:
    """Up to ``n`` cases, users in an order drawn by ``seed``."""
    random = np.random.default_rng(seed)
    catalogue = log.catalogue
    bearers = Counter(term for item in log.items for term in borne(item, kind))
    terms = sorted(bearers)
    share = np.array([bearers[term] for term in terms], float)
    visits: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for user, item, ts in log.frame.select("user_id", "item_id", "ts").iter_rows():
        visits[user].append((item, ts))
    users = sorted(user for user, seen in visits.items() if len(seen) >= KNOWN + 3)
    for user in random.permutation(users):
        past = tuple(_past(catalogue[item], ts) for item, ts in visits[user][:KNOWN])
        known = {term for item in past for term in borne(item, kind)}
        coming = [catalogue[item] for item, _ in visits[user][KNOWN : KNOWN + NEXT]]
        counts = Counter(term for item in coming for term in borne(item, kind) if not (new and term in known))
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
    return f"{short(item)} ({', '.join(path[-1] for path in category_paths(item)[:3])})"


def short(item: PastItem) -> str:
    """The first words of the title: reading takes the model 15 ms a token."""
    return " ".join(tidy(item.title).split()[:6])


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


@dataclass
class Likelihood:
    """Terms by their likelihood as the next line; calibrated: against that without a history."""

    model: LocalModel
    given: dict[Case, dict[str, float]] = field(default_factory=dict)
    plain: dict[tuple[str, str], float] = field(default_factory=dict)

    def choose(self, case: Case) -> Sequence[str]:
        """Plain."""
        if case not in self.given:
            noun = NOUNS[case.kind]
            lines = [f"{short(item)}. {noun}: {', '.join(borne(item, case.kind)) or 'unknown'}" for item in case.past]
            found = self.model.likelihoods("\n".join([*lines, f"Next {noun}:"]), case.offered)
            self.given[case] = dict(zip(case.offered, found, strict=True))
        return sorted(case.offered, key=lambda term: -self.given[case][term])

    def choose_calibrated(self, case: Case) -> Sequence[str]:
        """Calibrated."""
        noun, likely = NOUNS[case.kind], self.choose(case)
        if missing := [term for term in case.offered if (noun, term) not in self.plain]:
            found = self.model.likelihoods(f"Next {noun}:", missing)
            self.plain.update(zip(((noun, term) for term in missing), found, strict=True))
        return sorted(likely, key=lambda term: self.plain[noun, term] - self.given[case][term])


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


def accuracy(found: Sequence[float]) -> str:
    """Mean and the half width of its 95 % interval, in percent."""
    half = 196 * float(np.std(found)) / math.sqrt(len(found))
    return f"{100 * float(np.mean(found)):.1f} ± {half:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--choosers", default=",".join(CHOOSERS), help="which, separated by commas")
    args = parser.parse_args()
    logs = {name: read_log(DATA / name) for name in dict.fromkeys(task[0] for task in TASKS)}
    text, hidden = LocalModel(), LocalModel(embedding=True)
    likely = Likelihood(text)
    print(f"{LIKED} of {OFFERED}, {KNOWN} items known, seed {args.seed}, at most {args.cases} cases a task, one thread")
    print("| data | terms | cases | chooser | accuracy % | CPU seconds a case |\n| --- | --- | --- | --- | --- | --- |")
    for name, kind, new in TASKS:
        log = logs[name]
        asked = list(cases(log, kind, new, args.cases, args.seed))
        offered: dict[str, Chooser] = {
            "counts": statistical(Terms.of(log.items)),
            "grammar": free_choice(text),
            "likelihood": likely.choose,
            "calibrated": likely.choose_calibrated,
            "hidden": similarity(lambda texts: np.array(hidden.embed(texts))),
        }
        choosers = {name: offered[name] for name in args.choosers.split(",")}
        task = f"| {name} | {'new ' if new else ''}{kind} | {len(asked)}"
        print(f"{task} | chance | {100 * LIKED / OFFERED:.1f} | |", flush=True)
        for chooser, choose in choosers.items():
            began = time.process_time()
            right = []
            for done, case in enumerate(asked):
                right.append(len(case.liked.intersection(choose(case)[:LIKED])) / LIKED)
                if sys.stderr.isatty():
                    print(f"\r{chooser}: {done + 1} of {len(asked)}", end="", file=sys.stderr, flush=True)
            each = (time.process_time() - began) / max(1, len(asked))
            print(f"{task} | {chooser} | {accuracy(right)} | {each:.3f} |", flush=True)


if __name__ == "__main__":
    main()
