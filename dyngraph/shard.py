"""One partition's graph with all that survives a crash: engine, admission, journal, snapshots, applied offset.

A shard knows offsets but no Kafka, so live workers, file replay and tests drive the very same object. The order in
:meth:`Shard.apply` is the recovery story: (sometimes) snapshot → judge → journal → (sometimes) weights → step. Offsets
are this log's; ``seq`` goes on counting when the log is replaced by a new one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import torch

from dyngraph.admission import Admission, AdmissionConfig, LogRecord, Rejection
from dyngraph.batching import Batching
from dyngraph.engine import Engine, StepResult
from dyngraph.event_id import digest_of
from dyngraph.events import EventType, Item
from dyngraph.journal import Journal, StepRecord
from dyngraph.lists import Filters, HistoryEntry, RecommendationList
from dyngraph.order import Moment
from dyngraph.snapshots import FORMAT, Manifest, SnapshotStore
from dyngraph.state import State, digest, gather, scatter
from dyngraph.switching import Place, WeightSwitch
from dyngraph.weights import LearnedWeights, WeightsManifest

__all__ = ["LogRecord", "Rejection", "Shard", "ShardConfig", "ShardResult"]


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


@dataclass(frozen=True)
class ShardResult:
    """What one call of :meth:`Shard.apply` did."""

    step: StepResult | None
    """None if every record had been applied before."""
    rejected: list[Rejection] = field(default_factory=list)
    duplicates: int = 0
    late: int = 0
    skipped: int = 0
    """Records at or below the applied offset: delivered again, changing nothing."""


class Shard:
    """See the module. All methods block; callers serialise them (one lock per shard)."""

    def __init__(self, config: ShardConfig, partition: int, engine: Engine, fingerprint: str) -> None:
        self.config, self.partition, self.engine = config, partition, engine
        self.batching = Batching.parse(config.batching)
        self.admission = Admission(config.admission)
        self.log_id = ""
        self.applied_offset = -1
        self._seq_base = 0
        self._fingerprint = fingerprint
        self._erased: dict[str, int] = {}
        self._to_erase: list[str] = []
        self._snapshots = SnapshotStore(config.folder(partition) / "snapshots", config.keep_snapshots)
        self.weights = WeightSwitch(config.weights(partition), engine, fingerprint)
        self.weights_due = False
        """Whether the log has passed a multiple of ``weights_every`` since weights were handed over."""
        self._restore()
        self._journal = self._open_journal()
        self._since_snapshot = 0
        self._snapshot_at = self._newest_at = time.monotonic()

    @classmethod
    def open(cls, config: ShardConfig, partition: int, build: Callable[[], Engine], fingerprint: str = "") -> Shard:
        """The shard as it last stood: newest whole snapshot, else empty; ``build`` makes an empty engine.

        ``fingerprint`` names the models' settings; a snapshot of another one is refused with SnapshotError.
        """
        return cls(config, partition, build(), fingerprint)

    # -- where it stands --------------------------------------------------------------------------------------

    @property
    def horizon(self) -> Moment:
        """The newest event that the state has seen."""
        return self.engine.graph.horizon

    @property
    def commit_offset(self) -> int:
        """First offset that the *oldest* kept snapshot of this log does not cover: what Kafka may be told."""
        offsets = self._snapshots.offsets()
        if not offsets or any(log_id != self.log_id for _, log_id in offsets):
            return 0
        return offsets[0][0] + 1

    def start_new_log(self, log_id: str) -> None:
        """Bind to a log. Another id than before means offsets start over; the state is kept."""
        if log_id == self.log_id:
            return
        if self.log_id or self.applied_offset >= 0:
            self._seq_base = max(self._seq_base + self.applied_offset + 1, self.horizon.seq + 1)
            self.applied_offset = -1
        self.log_id = log_id
        self._journal.close()
        self._journal = self._open_journal()
        if self.engine.graph.events:
            self.snapshot()

    def next_border(self, first: int) -> int | None:
        """Last offset of the step that starts at ``first``, or None if it may be cut anywhere.

        A step that was begun before a crash is cut as the journal says; else ``fixed:B`` decides.
        """
        record = self._journal.at(first)
        return record.last if record else self.batching.border(first)

    # -- changing it ------------------------------------------------------------------------------------------

    def apply(self, records: Sequence[LogRecord]) -> ShardResult:
        """Take one step with ``records`` (in offset order); blocking.

        Where :meth:`next_border` names a border, ``records`` must be all there are up to it: offsets between the last
        of them and the border are taken as gaps. Raises ValueError for records beyond the border, OSError if a snapshot
        that is due cannot be written, and whatever the engine raises; the state is then as before, and the same records
        can be given again.
        """
        fresh = [record for record in records if record.offset > self.applied_offset]
        skipped = len(records) - len(fresh)
        if not fresh:
            return ShardResult(step=None, skipped=skipped)
        # Due snapshots are written here and not after the step: by now the step before has been published.
        if self._snapshot_due():
            self.snapshot()
        first, last = self.applied_offset + 1, fresh[-1].offset
        border = self.next_border(first)
        if border is not None:
            if last > border:
                raise ValueError(f"the step from offset {first} ends at {border}, but was given offset {last}")
            last = border
        known = self._journal.at(first)
        # Recorded weights that are missing stop here, before anything has changed.
        switch = self.weights.recorded(known.switched) if known else None
        erase = known.erased if known else tuple(self._to_erase)
        for user in erase:
            self._forget(user)
        judged = self.admission.judge(fresh)
        if known is None:
            switch = self.weights.waiting(Place(self.log_id, first, self.horizon))
            known = StepRecord(
                first,
                last,
                self.config.learn,
                switch.manifest.version if switch else self.engine.encoder.version,
                erase,
                switch.manifest.name if switch else "",
                None if self.config.learn_encoder else False,
            )
            self._journal.append(known)
        undo = self.weights.take(switch) if switch else None
        try:
            step = self.engine.step(
                [(self._seq_base + offset, event) for offset, event in judged.accepted],
                learn=known.learned,
                learn_encoder=known.encoder_learned,
            )
        except BaseException:
            if undo is not None:
                undo()
            raise
        self.admission.keep(judged)
        self._to_erase = [user for user in self._to_erase if user not in erase]
        self.applied_offset = last
        self._newest_at = time.monotonic()
        self._since_snapshot += len(fresh)
        if self.config.weights_dir is not None:
            self.weights.follow()
            every = self.config.weights_every
            self.weights_due |= every > 0 and (last + 1) // every > first // every
        return ShardResult(
            step=step,
            rejected=judged.rejected,
            duplicates=judged.duplicates,
            late=judged.late,
            skipped=skipped,
        )

    def put_items(self, items: Sequence[Item]) -> None:
        """Add or replace descriptions in the catalogue."""
        self.engine.graph.catalogue.put(items)

    def erase(self, user_id: str) -> None:
        """Erase a user now: state, rings of others, snapshots. Events that come later start from nothing.

        Learned weights are not unlearned, and the raw topic keeps its records until its retention ends.
        """
        if self._erased.get(user_id) == self.applied_offset:
            return
        self._forget(user_id)
        self._to_erase.append(user_id)
        self._erased[user_id] = self.applied_offset
        self.snapshot()
        self._snapshots.drop_without(self._erased)

    def offer_weights(self, weights: LearnedWeights) -> None:
        """Switch ``weights`` in at the next border that comes after all they were learned from.

        Raises :class:`~dyngraph.weights.WeightsError` for weights that were learned under other settings.
        """
        self.weights.offer(weights)

    def hand_over(self) -> WeightsManifest:
        """Write what the encoder has learned so far as a new version; blocking. Raises OSError."""
        manifest = self.weights.hand_over(self.log_id, self.applied_offset)
        self.weights_due = False
        return manifest

    # -- reading it -------------------------------------------------------------------------------------------

    def now(self) -> Moment:
        """The moment of a list that is asked for without one, by the shard's clock."""
        horizon = self.horizon
        if self.config.clock == "wall":
            ts = int(time.time() * 1000)
        else:
            ts = horizon.ts + int(1000 * (time.monotonic() - self._newest_at))
        return Moment(max(ts, horizon.ts), horizon.seq + 1)

    def recommend(
        self,
        users: Sequence[str],
        at: Moment | None = None,
        k: int = 10,
        filters: Filters | None = None,
    ) -> list[RecommendationList]:
        """Read-only lists at ``at``, by default now. See :meth:`Engine.recommend`."""
        return self.engine.recommend(users, at or self.now(), k, filters)

    def history(self, user_id: str, n: int = 20) -> list[HistoryEntry]:
        """The user's kept edges, newest first (at most the ring's size)."""
        graph = self.engine.graph
        row = graph.user_ids.find([user_id])
        if not int(row[0]):
            return []
        end = torch.tensor([2**62])
        near = graph.users.neighbours.before(row, end, end)
        edges = sorted(
            (
                (ts, seq, node, kind)
                for ts, seq, node, kind, usable in zip(
                    *(column[0].tolist() for column in (near.ts, near.seq, near.nodes, near.types, near.mask)),
                    strict=True,
                )
                if usable
            ),
            reverse=True,
        )
        entries = []
        for ts, _, node, kind in edges[:n]:
            item_id = graph.item_ids[node]
            entries.append(HistoryEntry(item_id, graph.catalogue.title(item_id), EventType(kind).label, ts))
        return entries

    def describe(self, *, with_digest: bool = False) -> dict[str, object]:
        """Sizes and counters as JSON-able values; the digest covers all state and takes a moment."""
        users, items = self.engine.graph.sizes()
        answer: dict[str, object] = {
            "partition": self.partition,
            "log_id": self.log_id,
            "applied_offset": self.applied_offset,
            "commit_offset": self.commit_offset,
            "horizon": {"ts_ms": self.horizon.ts, "seq": self.horizon.seq},
            "events": self.engine.graph.events,
            "users": users - 1,
            "items": items - 1,
            "duplicates": self.admission.duplicates,
            "late": self.admission.late,
            "rejected": self.admission.rejected,
            "model_version": self.engine.encoder.version,
            "weights": self.weights.describe(self.log_id, self.applied_offset),
        }
        return answer | {"digest": self.digest()} if with_digest else answer

    def digest(self) -> str:
        """Hex digest of everything that can change a list, and of the offset it stands at."""
        place = torch.tensor([self.applied_offset, self._seq_base])
        return digest(self._state() | {"place": place})

    # -- keeping it -------------------------------------------------------------------------------------------

    def snapshot(self) -> None:
        """Write a snapshot now."""
        self._journal.sync()
        manifest = Manifest(
            format=FORMAT,
            config=self._fingerprint,
            log_id=self.log_id,
            applied_offset=self.applied_offset,
            seq_base=self._seq_base,
            horizon=self.horizon,
            events=self.engine.graph.events,
            erased=sorted(self._erased.items()),
            checksums={},
            weights=self.weights.current,
        )
        catalogue = msgspec.json.encode(self.engine.graph.catalogue.items())
        self._snapshots.write(manifest, self._state(), catalogue)
        self._journal.settle(self.applied_offset)
        self.weights.keep(self.config.keep_weights, [one.weights for one in self._snapshots.manifests()])
        self._since_snapshot = 0
        self._snapshot_at = time.monotonic()

    def close(self) -> None:
        """Snapshot if anything happened since the last one, and close the journal."""
        if self._since_snapshot:
            self.snapshot()
        self._journal.close()

    def _snapshot_due(self) -> bool:
        waited = time.monotonic() - self._snapshot_at
        return self._since_snapshot >= self.config.snapshot_events or waited >= self.config.snapshot_seconds

    def _restore(self) -> None:
        found = self._snapshots.newest(self._fingerprint)
        if found is None:
            return
        manifest, state, catalogue = found
        scatter({"engine": self.engine, "admission": self.admission}, state)
        self.engine.graph.catalogue.put(msgspec.json.decode(catalogue, type=list[Item]))
        self.log_id, self.applied_offset = manifest.log_id, manifest.applied_offset
        self._seq_base = manifest.seq_base
        self.weights.current = manifest.weights
        self._erased = dict(manifest.erased)
        for user in self._erased:
            self.weights.block(user)
        self._snapshots.drop_without(self._erased)

    def _forget(self, user_id: str) -> None:
        self.engine.erase_user(user_id)
        self.weights.block(user_id)

    def _open_journal(self) -> Journal:
        return Journal(self.config.journal(self.partition, self.log_id), self.applied_offset + 1)

    def _state(self) -> State:
        return gather({"engine": self.engine, "admission": self.admission})
