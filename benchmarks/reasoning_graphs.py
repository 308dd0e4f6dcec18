"""LLMRG's ablation, leave-one-out, every item ranked: what reasoning graphs add to a base model, and which part does.

Run: ``python benchmarks/reasoning_graphs.py`` (hours on one thread; every epoch is kept under ``--out``, and started
again it goes on). Rows:

- ``base``: the base model as ``benchmarks/duorec_beauty.py`` leaves it; its folder may be given by ``--bases``;
- ``base, trained on``: the same with as many more epochs as the other rows get;
- ``sequence graph``: SR-GNN over the plain sequence, no reasons;
- ``imagined items without a graph``: the mean of imagined items, no graph;
- ``reasoning``: both graphs, verified at τ = 30; ``no divergence`` and ``no verification`` are without a part,
  and ``threshold = τ`` (to be named in ``--rows``) is at another τ;
- ``… imagined items by name``: nothing is trained; the verification score of every imagined item is added to a finished
  row's scores, with the weight that suits the validation users best.

Reduced: instead of training every row from nothing, each goes on from the trained base model of the same order and seed
for at most 5 epochs, base and graph encoders together (2 without a better one end it; NDCG@10 not masked, on 5,000
validation users). Graphs are those of the statistical producer: counted over the learned events of the other users.

``--recorded graphs.msgpack`` (of ``benchmarks/recorded_reasoning.py``) adds a table of the users with recorded answers
of a language model: the trained row ``reasoning`` reads their counted and their recorded graphs; nothing is trained.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import torch
from arguments import device, one_of, several, whole
from rich.console import Console

from dyngraph.reasoning import ReasoningGraph
from evaluation.coded import coded
from evaluation.kept_files import KeptFileError
from evaluation.profiles.stock import TextModel, TextStock
from evaluation.readers import read_log
from evaluation.reasoning.bases import BASES
from evaluation.reasoning.held_out import Order
from evaluation.reasoning.kept_chains import KeptChains
from evaluation.reasoning.outcomes import Outcomes, Run
from evaluation.reasoning.progress import TrainingBar
from evaluation.reasoning.recorded import read_graphs
from evaluation.reasoning.recorded_rows import REASONING, check_recorded, recorded_rows, recorded_table
from evaluation.reasoning.rows import BASE, ROWS, SEQUENCE, row_named
from evaluation.reasoning.statistical import StatisticalChains
from evaluation.reasoning.study import Study
from evaluation.reasoning.tables import differences_table, figures_table
from llm_workers.protocols import LlmError
from models.llmrg.chains import gathered

DATA = Path(os.environ.get("EVERGRAPH_DATA", "../shared/data")) / "amazon-beauty" / "interactions.tsv.gz"


def main() -> None:
    """Parse, check all that is asked for, run what is not finished, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--users", type=whole(1), help="only so many, drawn with seed 0; all unless given")
    parser.add_argument("--base", choices=BASES, default="duorec")
    parser.add_argument("--bases", type=Path, default=Path("out/duorec-beauty"), help="where base models are")
    parser.add_argument("--out", type=Path, default=Path("out/reasoning-graphs"))
    parser.add_argument("--rows", type=several(row_name), default="|".join([BASE, *(row.name for row in ROWS)]))
    parser.add_argument("--orders", type=several(one_of(get_args(Order))), default="published|shuffled")
    parser.add_argument(
        "--seeds", type=several(whole(0), ","), default="0", help="of weights, batches and shuffles: 0,1,2"
    )
    parser.add_argument("--text", choices=get_args(TextModel), default="minilm", help="text model")
    parser.add_argument("--recorded", type=Path, help="graphs by a language model for some of the test users")
    parser.add_argument("--device", type=device, default="cpu")
    args = parser.parse_args()
    if args.recorded and REASONING not in args.rows:
        parser.error(f"--recorded is read by the row {REASONING!r}; name it among --rows")
    runs = [Run(row, order, seed) for seed in args.seeds for order in args.orders for row in args.rows]
    torch.set_num_threads(1)
    folder = args.out / f"{args.data.name if args.data.is_dir() else args.data.parent.name}-{args.base}"
    build = KeptChains(StatisticalChains(args.text), args.out / "chains", f"statistical {args.text}")
    try:
        graphs = read_graphs(args.recorded) if args.recorded else []
        log = coded(read_log(args.data))
        log = log if args.users is None else log.some_users(args.users)
        made_with = {"log": log.digest, "catalogue": log.catalogue_digest, "text model": args.text}
        bases, rows = Outcomes(args.bases, {"log": log.digest}), Outcomes(folder, made_with)
        study = Study(log, args.base, bases, rows, build, device=args.device)
        # What cannot be read is said now, not when its turn comes in hours.
        study.check(runs)
        if any(row_named(row).chains == "reasons" for row in args.rows if row != BASE):
            TextStock(args.text)
        if args.recorded:
            gathered(graphs, {}, TextStock(args.text).width)
            for order, seed in dict.fromkeys((run.order, run.seed) for run in runs):
                check_recorded(study, graphs, order, seed)
    except (ValueError, LlmError) as fault:
        parser.error(str(fault))
    try:
        print_study(study, runs, graphs)
    except KeptFileError as fault:
        raise SystemExit(str(fault)) from None


def row_name(name: str) -> str:
    """As tables and files have it."""
    return BASE if name == BASE else row_named(name).name


def print_study(study: Study, runs: Sequence[Run], graphs: Sequence[ReasoningGraph]) -> None:
    """Run what is not finished, print."""
    found = []
    for run in runs:
        with TrainingBar(run) as bar:
            found.append(study.run(run, bar.tell))
    console = Console(width=None if sys.stdout.isatty() else 180)
    console.print(figures_table(f"{study.log.name}, {study.base}, leave-one-out, all items ranked", found))
    if any(run.row == SEQUENCE.name for run in found):
        console.print(differences_table(study, found))
    if graphs:
        recorded = {}
        for of in [(done.order, done.seed) for done in found if done.row == REASONING]:
            recorded[of] = recorded_rows(study, graphs, *of)
            console.print(f"{of[0]} order, seed {of[1]}: recorded graphs left out: {recorded[of].left_out or 'none'}")
        console.print(recorded_table(recorded))


if __name__ == "__main__":
    main()
