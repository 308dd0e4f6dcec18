"""One partition's graph with all that survives a crash: engine, admission, journal, snapshots, applied offset.

A shard knows offsets but no Kafka, so live workers, file replay and tests drive the very same object. The order in
:meth:`Shard.apply` is the recovery story: (sometimes) snapshot → side inputs → judge → journal → (sometimes) weights →
step. Offsets are this log's; ``seq`` and the numbers of side inputs go on counting when the log is replaced by a new
one, because the state is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import torch

from dyngraph.admission import Admission, LogRecord, Rejection
from dyngraph.batching import Batching
from dyngraph.engine import Engine, StepResult
from dyngraph.events import Item
from dyngraph.intake import Intake
from dyngraph.journal import Journal, StepRecord
from dyngraph.profiles import UserProfile
from dyngraph.reasoning import ReasoningGraph
from dyngraph.refreshing import Refresh, Wanted
from dyngraph.relations import RelationNames
from dyngraph.shard_config import ShardConfig
from dyngraph.shard_reading import ShardReading
from dyngraph.side_inputs import SideInput, TextVector
from dyngraph.snapshots import FORMAT, Manifest, SnapshotStore
from dyngraph.state import State, Stateful, digest, gather, scatter
from dyngraph.switching import Place, WeightSwitch
from dyngraph.texts import Vector
from dyngraph.weights import LearnedWeights, WeightsManifest

__all__ = ["LogRecord", "Rejection", "Shard", "ShardConfig", "ShardResult"]


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
    wanted: list[Wanted] = field(default_factory=list)
    """Profiles that the refresh policy asks for after the step."""


class Shard(ShardReading):
    """See the module. All methods block; callers serialise them (one lock per shard)."""

    def __init__(
        self,
        config: ShardConfig,
        partition: int,
        engine: Engine,
        fingerprint: str,
        refresh: Refresh | None = None,
    ) -> None:
        super().__init__(engine, config.clock)
        self.config, self.partition, self.refresh = config, partition, refresh
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
        seen = self._restore()
        self._journal = self._open_journal()
        self._intake = Intake(config.side_inputs(partition), engine.graph, seen)
        self._since_snapshot = 0
        self._snapshot_at = time.monotonic()

    @classmethod
    def open(
        cls,
        config: ShardConfig,
        partition: int,
        build: Callable[[], Engine],
        fingerprint: str = "",
        refresh: Callable[[Engine], Refresh] | None = None,
    ) -> Shard:
        """The shard as it last stood: newest whole snapshot, else empty; ``build`` makes an empty engine, ``refresh``
        its refresh policy.

        ``fingerprint`` names the models' settings; a snapshot of another one is refused with SnapshotError.
        """
        engine = build()
        return cls(config, partition, engine, fingerprint, refresh(engine) if refresh else None)

    # -- where it stands --------------------------------------------------------------------------------------

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
        bound = self._bound
        if bound:
            self._seq_base = max(self._seq_base + self.applied_offset + 1, self.horizon.seq + 1)
            self.applied_offset = -1
        self.log_id = log_id
        self._journal.close()
        self._journal = self._open_journal()
        if bound:
            self.snapshot()
        self._take_in()

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
        # Recorded weights and side inputs that are missing stop here, before anything has changed.
        switch = self.weights.recorded(known.switched) if known else None
        if known is None:
            self._intake.take_in()
        else:
            self._intake.follow(known.inputs)
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
                self._intake.seen,
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
        self._moved_on()
        self._since_snapshot += len(fresh)
        if self.config.weights_dir is not None:
            self.weights.follow()
            every = self.config.weights_every
            self.weights_due |= every > 0 and (last + 1) // every > first // every
        wanted = self.refresh.after_step(self.engine, step, last) if self.refresh else []
        self._take_in()
        return ShardResult(
            step=step,
            rejected=judged.rejected,
            duplicates=judged.duplicates,
            late=judged.late,
            skipped=skipped,
            wanted=wanted,
        )

    def put_items(self, items: Sequence[Item]) -> None:
        """Add or replace descriptions in the catalogue: now, or once all recorded steps are taken again."""
        self._offer([SideInput(item=item) for item in items])

    def put_text_vectors(self, vectors: Mapping[str, Vector]) -> None:
        """Add or replace text vectors by item id, likewise; those that do not fit the graph's are left out, counted."""
        texts = self.engine.graph.texts
        fitting = {item_id: texts.fitting(vector) for item_id, vector in vectors.items()}
        texts.refused["unfit"] += sum(vector is None for vector in fitting.values())
        self._offer(
            [SideInput(text=TextVector(name, vector)) for name, vector in fitting.items() if vector is not None]
        )

    def offer_profiles(self, profiles: Sequence[UserProfile]) -> None:
        """Add versions of profiles, likewise; those that cannot be taken are counted, see the store's ``judge``."""
        self._offer([SideInput(profile=one) for one in profiles])

    def offer_reasoning(self, graphs: Sequence[ReasoningGraph]) -> None:
        """Add versions of reasoning graphs, likewise."""
        self._offer([SideInput(reasoning=one) for one in graphs])

    def offer_relation_names(self, names: RelationNames) -> None:
        """Take names of latent relations, likewise."""
        self._offer([SideInput(relation_names=names)])

    def _offer(self, inputs: Sequence[SideInput]) -> None:
        self._intake.offer(inputs)
        self._take_in()

    def _take_in(self) -> None:
        """Take in what waits, unless recorded steps are still ahead: an empty shard learns of them with its log."""
        if self._bound and self._journal.at(self.applied_offset + 1) is None:
            self._intake.take_in()

    @property
    def _bound(self) -> bool:
        """Whether the state belongs to a log of interactions by now."""
        return bool(self.log_id) or self.applied_offset >= 0

    def erase(self, user_id: str) -> None:
        """Erase a user now: state, rings of others, snapshots, profiles in the log of side inputs. Events that come
        later start from nothing.

        Learned weights are not unlearned, and the raw topic keeps its records until its retention ends. Raises OSError
        if a file cannot be written; the erasure has to be asked for again then.
        """
        if self._erased.get(user_id) != self.applied_offset:
            self._forget(user_id)
            self._to_erase.append(user_id)
            self._erased[user_id] = self.applied_offset
        if not self._snapshots.know(self._erased):
            self.snapshot()
            self._snapshots.drop_without(self._erased)
        # Last, because a recovery from an older snapshot would have missed these profiles.
        self._intake.forget(user_id)

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

    # -- telling of it ----------------------------------------------------------------------------------------

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
            "side_inputs": self._intake.seen,
            "profiles": len(self.engine.graph.profiles),
            "profiles_refused": dict(+self.engine.graph.profiles.refused),
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
        self._intake.sync()
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
            inputs=self._intake.seen,
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
        self._intake.close()

    def _snapshot_due(self) -> bool:
        waited = time.monotonic() - self._snapshot_at
        return self._since_snapshot >= self.config.snapshot_events or waited >= self.config.snapshot_seconds

    def _restore(self) -> int:
        """Load the newest whole snapshot, if there is one; how many side inputs the state has seen."""
        found = self._snapshots.newest(self._fingerprint)
        if found is None:
            return 0
        manifest, state, catalogue = found
        parts = self._parts()
        if not any(name.startswith("refresh.") for name in state):
            parts.pop("refresh", None)  # a policy that came after the snapshot starts from nothing
        scatter(parts, state)
        self.engine.graph.catalogue.put(msgspec.json.decode(catalogue, type=list[Item]))
        self.log_id, self.applied_offset = manifest.log_id, manifest.applied_offset
        self._seq_base = manifest.seq_base
        self.weights.current = manifest.weights
        self._erased = dict(manifest.erased)
        for user in self._erased:
            self.weights.block(user)
        self._snapshots.drop_without(self._erased)
        return manifest.inputs

    def _forget(self, user_id: str) -> None:
        row = int(self.engine.graph.user_ids.find([user_id])[0])
        if row and self.refresh is not None:
            self.refresh.forget_user(row)
        self.engine.erase_user(user_id)
        self.weights.block(user_id)

    def _open_journal(self) -> Journal:
        return Journal(self.config.journal(self.partition, self.log_id), self.applied_offset + 1)

    def _parts(self) -> dict[str, Stateful]:
        parts: dict[str, Stateful] = {"engine": self.engine, "admission": self.admission}
        return parts if self.refresh is None else parts | {"refresh": self.refresh}

    def _state(self) -> State:
        return gather(self._parts())
