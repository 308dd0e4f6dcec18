"""Settings of a shard, and where on disk its parts live."""

from __future__ import annotations

from pathlib import Path

import msgspec

from dyngraph.admission import AdmissionConfig
from dyngraph.event_id import digest_of


class ShardConfig(msgspec.Struct, frozen=True):
    """Settings of a shard that no model needs to know."""

    state_dir: Path
    batching: str = "adaptive"
    """``adaptive``, or ``fixed:B``: a border at every offset divisible by B."""
    max_batch: int = 256
    """Most events in an adaptive step."""
    learn: bool = True
    learn_encoder: bool = True
    """False where the encoder's weights come from a trainer: only the ranker learns here."""
    weights_dir: Path | None = None
    """Where a trainer hands over weights; None: nobody does."""
    weights_every: int = 0
    """Hand over own weights each time the log passes a multiple of so many offsets; 0: never."""
    keep_weights: int = 0
    """Most versions kept of those that this shard switched in and recovery no longer needs; 0: all, so that the journal
    can be followed from its beginning."""
    snapshot_events: int = 20_000
    snapshot_seconds: float = 300.0
    keep_snapshots: int = 3
    admission: AdmissionConfig = AdmissionConfig()
    clock: str = "wall"
    """What "now" is for a list asked for without a moment: ``wall``, or ``log`` (newest event plus what has passed)."""

    def folder(self, partition: int) -> Path:
        """Where the shard of ``partition`` lives."""
        return self.state_dir / f"partition-{partition:05d}"

    def weights(self, partition: int) -> Path | None:
        """Where the versions of the shard's weights live."""
        return self.weights_dir / f"partition-{partition:05d}" if self.weights_dir is not None else None

    def journals(self, partition: int) -> Path:
        """Where the shard's journals live, one for each log it was ever bound to."""
        return self.folder(partition) / "journal"

    def journal(self, partition: int, log_id: str) -> Path:
        """The journal of one log."""
        return self.journals(partition) / digest_of(log_id)[:16]

    def side_inputs(self, partition: int) -> Path:
        """Where the shard's log of side inputs lives, one for all logs it was ever bound to."""
        return self.folder(partition) / "side_inputs"
