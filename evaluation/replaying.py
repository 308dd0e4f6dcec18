"""Replay of a log file through a shard: the live path without Kafka.

Everything that a worker does to an interaction happens here too (admission, dedupe, journal, step), in the same
classes, so a replay that follows a worker's journal ends in the worker's very state.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from dyngraph.admission import AdmissionConfig
from dyngraph.engine import Engine, StepResult
from dyngraph.journal import JournalError, read_journal
from dyngraph.refreshing import Refresh
from dyngraph.shard import LogRecord, Shard, ShardConfig
from evaluation.prequential import Events, cuts
from evaluation.readers.log import InteractionLog
from models.system import SystemConfig, open_shard

PARTITION = 0
NO_LIMIT = 2**31


class ReplayConfig(msgspec.Struct, frozen=True):
    """How a log is replayed. ``batch`` is the most events of a step."""

    batch: int = 256
    learn: bool = True
    snapshot: Path | None = None
    """Folder that gets the final state, laid out as a worker's state folder, so that live starts from there."""
    journal: Path | None = None
    """State folder of a worker whose steps are to be taken again."""
    weights: Path | None = None
    """Where that worker's weights were handed over; None: `weights` in its state folder."""
    admission: AdmissionConfig = AdmissionConfig()
    """What the worker admitted; matters only when its journal is followed."""


class Replay:
    """A shard, and the borders at which the log is cut."""

    def __init__(self, log: InteractionLog, shard: Shard, config: ReplayConfig) -> None:
        self.log, self.shard, self.config = log, shard, config

    def borders(self) -> Iterator[tuple[int, int]]:
        """``[start, stop)`` rows: as the journal says, else steps of whole baskets."""
        if self.config.journal is None:
            yield from cuts(self.log, self.config.batch)
            return
        start = 0
        while start < len(self.log):
            border = self.shard.next_border(start)
            stop = min(start + self.config.batch if border is None else border + 1, len(self.log))
            yield start, stop
            start = stop

    def step(self, events: Events) -> StepResult:
        """One step of the shard; a row's place is its offset."""
        records = [LogRecord(offset=row, received=event.ts, interaction=event) for row, event in events]
        result = self.shard.apply(records).step
        if result is None:
            raise ValueError("the folder given as --snapshot already holds a state; name an empty folder")
        return result


@contextmanager
def replaying(
    log: InteractionLog,
    config: ReplayConfig,
    system: SystemConfig,
    refresh: Callable[[Engine], Refresh] | None = None,
) -> Iterator[Replay]:
    """A replay of ``log`` from an empty state, with the refresh policy that ``refresh`` makes. Leaves a snapshot if one
    is asked for.

    Raises JournalError if the journal to follow is missing, ValueError if the snapshot folder is in use.
    """
    with tempfile.TemporaryDirectory(prefix="evergraph-replay-") as scratch:
        folder = config.snapshot or Path(scratch)
        # A file is complete and sorted when it is read, so nothing in it can be late; a journal's worker had limits.
        admission = config.admission if config.journal else AdmissionConfig(allowed_lateness_ms=2**62)
        settings = ShardConfig(
            folder,
            learn=config.learn,
            snapshot_events=NO_LIMIT,
            snapshot_seconds=float("inf"),
            admission=admission,
            clock="log",
            # What the worker switched in is taken from where it found it.
            weights_dir=config.weights or (config.journal / "weights" if config.journal else None),
        )
        if (settings.folder(PARTITION) / "snapshots").exists():
            raise ValueError(f"{folder} already holds a state; give --snapshot a folder that does not")
        log_id = f"file:{log.name}"
        if config.journal is not None:
            _take_over(config.journal, settings, log_id)
        shard = open_shard(settings, PARTITION, system, refresh)
        if config.journal is None:
            shard.put_items(log.items)
        elif not ShardConfig(config.journal).side_inputs(PARTITION).is_dir():
            # Journals of before side inputs were recorded: the catalogue is taken to have been there from the start.
            shard.engine.graph.catalogue.put(log.items)
        shard.start_new_log(log_id)
        yield Replay(log, shard, config)
        shard.close()


def _take_over(state_dir: Path, settings: ShardConfig, log_id: str) -> None:
    """Copy the journal of a worker's latest log, and its side inputs, to where the shard looks for its own."""
    worker = ShardConfig(state_dir)
    journals = worker.journals(PARTITION)
    written = [folder for folder in journals.glob("*/") if read_journal(folder)]
    if not written:
        raise JournalError(
            f"{journals} holds no step; name the folder given as --state-dir to a worker that has applied some events"
        )
    latest = max(written, key=lambda folder: max(path.stat().st_mtime_ns for path in folder.iterdir()))
    shutil.copytree(latest, settings.journal(PARTITION, log_id))
    if worker.side_inputs(PARTITION).is_dir():
        shutil.copytree(worker.side_inputs(PARTITION), settings.side_inputs(PARTITION))
