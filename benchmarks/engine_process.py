"""One engine in a process of its own, told what to do through a pipe.

Peak memory belongs to a process, so every case of every engine gets a fresh one. The processes of two engines stand
beside each other and take turns slice by slice: a noisy host then slows both, not one.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from evaluation.readers.edges import EdgeLog, Ints


@dataclass(frozen=True)
class Case:
    """What one process measures."""

    engine: str
    work: str
    data: str
    batch: int
    device: str
    threads: int
    seed: int
    events: int
    """How many there will be in all."""
    path: Path
    """Where the file of ctdg-wikipedia lies."""
    width: int = 64
    """Of our memory and embeddings."""


class Contender(Protocol):
    """An engine as the benchmark drives it; batches are prepared outside the clock on both sides."""

    def prepare(self, batch: EdgeLog, negatives: Ints) -> Any:
        """Tensors of edges ``[B]`` and one other item ``[B]`` per edge, on the device."""
        ...

    def train_mode(self, on: bool) -> None:
        """Whether learning steps follow."""
        ...

    def warm(self, batch: Any) -> object:
        """Take in a batch; nothing is embedded or learned."""
        ...

    def update_embed(self, batch: Any) -> object:
        """Embed source, destination and negative of every edge at its time; then take the batch in."""
        ...

    def train(self, batch: Any) -> object:
        """Embed the same, score, learn from one negative per edge; then take the batch in."""
        ...


def serve(pipe: Connection, case: Case) -> None:
    """Say ``ready`` with the memory held so far and notes, then answer ``(verb, start, stop, batch)`` until ``None``.

    ``warm`` and ``settle`` (the work itself, not counted) answer None, ``time`` seconds of the clock and of the CPU,
    ``memory`` MB. An error goes back as its text and ends the process.
    """
    try:
        session = _Session(case)
        pipe.send(("ready", (session.start_mb, session.notes)))
        while (order := pipe.recv()) is not None:
            pipe.send(("done", session.answer(*order)))
    except (ValueError, RuntimeError, ImportError) as error:
        pipe.send(("failed", f"{case.engine}: {error}"))


class _Session:
    def __init__(self, case: Case) -> None:
        import torch
        from streams_of_edges import open_stream

        if case.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("--device cuda: torch sees no CUDA device here; use --device cpu, or a machine with a GPU")
        torch.set_num_threads(case.threads)
        self._wait: Callable[[], None] = torch.cuda.synchronize if case.device == "cuda" else _nothing_to_wait_for
        self._stream = open_stream(case.data, case.path, case.seed)
        self._negatives = np.random.default_rng(case.seed + 1).integers(self._stream.n_items, size=case.events)
        self._case = case
        contender_type, self.notes = _imported(case)
        self.start_mb = peak_mb()
        width = self._stream.part(0, 1).features.shape[1]
        self._contender: Contender = contender_type(
            self._stream.n_users, self._stream.n_items, width, case.events, device=case.device, seed=case.seed
        )
        self._contender.train_mode(case.work == "train")

    def answer(self, verb: str, start: int, stop: int, batch: int) -> tuple[float, float] | float | None:
        if verb == "memory":
            return peak_mb()
        work = self._contender.warm if verb == "warm" else getattr(self._contender, self._case.work)
        # Features of a long warm-up need not be held all at once, so it is prepared in stretches.
        stretch = stop - start if verb == "time" else 20 * batch
        seconds = cpu_seconds = 0.0
        for low in range(start, stop, stretch):
            prepared = [
                self._contender.prepare(
                    self._stream.part(at, min(at + batch, stop)), self._negatives[at : min(at + batch, stop)]
                )
                for at in range(low, min(low + stretch, stop), batch)
            ]
            self._wait()
            begun, cpu_begun = time.perf_counter(), time.process_time()
            for one in prepared:
                work(one)
            self._wait()
            seconds += time.perf_counter() - begun
            cpu_seconds += time.process_time() - cpu_begun
        return (seconds, cpu_seconds) if verb == "time" else None


def _nothing_to_wait_for() -> None:
    """On a CPU a call has done its work when it returns."""


def _imported(case: Case) -> tuple[Any, str]:
    """The contender's class, and what a reader must know of how it is installed."""
    if case.engine == "pyg":
        from pyg_tgn import PygTGN, notes

        return PygTGN, notes()
    from ours_tgn import OurTGN

    return partial(OurTGN, dim=case.width), ""


def peak_mb() -> float:
    """Most memory this process has held so far (MB of 10^6 bytes)."""
    status = Path("/proc/self/status")
    if status.exists():
        # ru_maxrss of a spawned process starts at what its parent held; this mark does not.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
