"""Snapshots: a cache of the log, written whole or not at all.

A snapshot is a directory of safetensors and a manifest with checksums. It is written under a temporary name, synced
and renamed, so a directory with a final name is complete; one that fails its checksums anyway is passed over for the
one before it, which is why several are kept and why the *oldest* decides what may be committed to Kafka.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from pathlib import Path

import msgspec
from safetensors.torch import load_file, save_file

from dyngraph.durable import sync as _sync
from dyngraph.order import Moment
from dyngraph.state import State
from dyngraph.weights import WeightsManifest

FORMAT = 1
log = logging.getLogger(__name__)


class SnapshotError(ValueError):
    """Raised for a snapshot that cannot be used."""


class Manifest(msgspec.Struct, frozen=True):
    """What a snapshot holds and how to tell that it is whole."""

    format: int
    config: str
    """Digest of the settings that state depends on; another configuration is another state."""
    log_id: str
    """Which log the offsets belong to."""
    applied_offset: int
    seq_base: int
    """``seq`` of this log's offset 0."""
    horizon: Moment
    events: int
    erased: list[tuple[str, int]]
    checksums: dict[str, str]
    weights: WeightsManifest | None = None
    """The handed-over weights that the state serves with; None where it learned its own."""
    inputs: int = 0
    """How many side inputs the state has seen."""


class SnapshotStore:
    """The last ``keep`` snapshots of one shard, below ``folder``."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".writing-*"):
            shutil.rmtree(leftover)

    def offsets(self) -> list[tuple[int, str]]:
        """``(applied offset, log id)`` of the kept snapshots, oldest first."""
        return [(m.applied_offset, m.log_id) for m in self.manifests()]

    def manifests(self) -> list[Manifest]:
        """Manifests of the kept snapshots, oldest first; unreadable ones are left out."""
        return [manifest for manifest in map(self._manifest, self._paths()) if manifest]

    def write(self, manifest: Manifest, state: State, catalogue: bytes) -> Path:
        """Write one snapshot and drop those beyond the last ``keep``."""
        number = max((int(path.name) for path in self._paths()), default=0) + 1
        final = self.folder / f"{number:012d}"
        temporary = self.folder / f".writing-{number}"
        if temporary.exists():  # left by a write that failed, for example on a full disk
            shutil.rmtree(temporary)
        temporary.mkdir()
        save_file({name: value.contiguous() for name, value in state.items()}, temporary / "state.safetensors")
        (temporary / "catalogue.json").write_bytes(catalogue)
        checksums = {path.name: _checksum(path) for path in sorted(temporary.iterdir())}
        manifest = msgspec.structs.replace(manifest, checksums=checksums)
        (temporary / "manifest.json").write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
        for path in (*temporary.iterdir(), temporary):
            _sync(path)
        temporary.rename(final)
        _sync(self.folder)
        self.prune(self.keep)
        return final

    def prune(self, keep: int) -> None:
        """Drop all but the newest ``keep``."""
        for path in self._paths()[:-keep]:
            shutil.rmtree(path)

    def newest(self, config: str) -> tuple[Manifest, State, bytes] | None:
        """The newest whole snapshot, or None if there never was one. Broken ones are passed over with a warning.

        Raises :class:`SnapshotError` if all are broken, or if the newest whole one was made under another configuration
        or by a newer format.
        """
        for path in reversed(self._paths()):
            manifest = self._manifest(path)
            broken = manifest is None or any(
                not (path / name).is_file() or _checksum(path / name) != expected
                for name, expected in manifest.checksums.items()
            )
            if manifest is None or broken:
                log.warning("snapshot %s is broken; falling back to the one before it", path)
                continue
            if manifest.format > FORMAT:
                raise SnapshotError(
                    f"snapshot {path} has format {manifest.format}, this version reads up to {FORMAT}; upgrade"
                )
            if manifest.config != config:
                raise SnapshotError(
                    f"snapshot {path} was made with other settings (models, sizes, seed, --llm or --no-llm, profiles, "
                    "reasoning, relations) than the ones now asked for; use the former settings, or another --state-dir"
                )
            return manifest, load_file(path / "state.safetensors"), (path / "catalogue.json").read_bytes()
        if self._paths():
            raise SnapshotError(
                f"all snapshots in {self.folder} are broken; restore one, or remove the folder above it to rebuild the "
                "state from the log (what has left the log's retention is lost)"
            )
        return None

    def know(self, erased: dict[str, int]) -> bool:
        """Whether there are snapshots, and all of them know of every erasure (user id to offset)."""
        paths = self._paths()
        return bool(paths) and all(self._knows(path, erased) for path in paths)

    def drop_without(self, erased: dict[str, int]) -> None:
        """Drop snapshots that do not know of every erasure (user id to offset)."""
        for path in self._paths():
            if not self._knows(path, erased):
                shutil.rmtree(path)

    def _knows(self, path: Path, erased: dict[str, int]) -> bool:
        manifest = self._manifest(path)
        return manifest is not None and erased.items() <= dict(manifest.erased).items()

    def _paths(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.name.isdigit())

    def _manifest(self, path: Path) -> Manifest | None:
        try:
            return msgspec.json.decode((path / "manifest.json").read_bytes(), type=Manifest)
        except (OSError, msgspec.DecodeError):
            return None


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
