"""How many item texts a second become vectors on one core, and how near the faster precision is to the exact one.

python benchmarks/text_vectors.py
python benchmarks/text_vectors.py --items 1000 --data ../shared/data/ml-100k
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

from evaluation.readers import read_log
from llm_workers.vectors.items import encode_items, item_text
from llm_workers.vectors.minilm import MiniLM

DATA = Path(os.environ.get("EVERGRAPH_DATA", "../shared/data")) / "amazon-beauty"


def _tell(done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done:,} of {of:,}", end="\n" if done == of else "", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--items", type=int, default=0, help="drawn from the catalogue; 0: all")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    items = read_log(args.data).items
    if 0 < args.items < len(items):
        items = [items[row] for row in np.random.default_rng(args.seed).choice(len(items), args.items, replace=False)]
    letters = sum(len(item_text(item)) for item in items) / len(items)
    print(f"{args.data.name}: {len(items):,} items, {letters:.0f} characters each, one thread")
    exact: dict[str, np.ndarray] = {}
    for precision in (torch.float32, torch.bfloat16):
        encoder = MiniLM(precision=precision)
        wall, cpu = time.perf_counter(), time.process_time()
        vectors = {item.item_id: vector.astype(np.float32) for item, vector in encode_items(items, encoder, _tell)}
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        exact = exact or vectors
        worst = min(float(exact[item] @ vector) for item, vector in vectors.items())
        print(
            f"{encoder.model_id}: {len(items) / wall:.0f} texts/s, {len(items) / cpu:.0f} per second of the core, "
            f"smallest cosine to float32 {worst:.5f}"
        )


if __name__ == "__main__":
    main()
