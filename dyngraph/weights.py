"""Weights that one process learns and another serves with: versioned files, whole or not there at all.

A version is a folder with the encoder's learned tensors as safetensors and a manifest that says what they were learned
from. It is written under a temporary name, synced and renamed. Its name is its number and the start of its checksum, so
a step journal that names a version names its very bytes: a trainer that lost its state and counts from 1 again can
never put other weights in the place of recorded ones.

Which versions are kept: one that a shard has *claimed* (it was, or may yet be, written into its step journal) stays,
unless a limit is set, and then those that recovery from the oldest kept snapshot needs stay all the same. One that was
passed over, because a newer was there in time, goes.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dyngraph.durable import sha256_of, sync
from dyngraph.order import Moment
from dyngraph.row_digests import Digests
from dyngraph.state import State

FORMAT = 1
USERS, ITEMS = "static.user", "static.item"
"""How the names begin under which an encoder's ``weights()`` gives tensors with one row per user, per item."""

log = logging.getLogger(__name__)

_TENSORS, _MANIFEST, _CLAIMED = "weights.safetensors", "manifest.json", "claimed"
_USER_IDS, _ITEM_IDS = "ids.users", "ids.items"


class WeightsError(ValueError):
    """Raised for weights that are missing, broken, or not for this shard; the text says what to do."""


class WeightsManifest(msgspec.Struct, frozen=True):
    """What a version was learned from, and how to tell that it is whole."""

    version: int
    """Updates written by whoever learned it."""
    config: str
    """Digest of the models' settings; other settings are other tensors."""
    log_id: str
    """Which log ``offset`` belongs to."""
    offset: int
    """The last offset it was learned from."""
    horizon: Moment
    """The newest event it was learned from."""
    format: int = FORMAT
    sha256: str = ""
    """Of the tensors' file."""

    @property
    def name(self) -> str:
        """The version's folder."""
        return f"{self.version:012d}-{self.sha256[:16]}"

    def newer_than(self, other: WeightsManifest | None) -> bool:
        """Whether it has seen more than ``other``, or as much after more updates."""
        return other is None or (self.horizon, self.version) > (other.horizon, other.version)

    def before(self, log_id: str, first: int, horizon: Moment) -> bool:
        """Whether nothing it was learned from comes in, or after, a step from offset ``first`` of ``log_id`` on.

        ``horizon`` is that of the state that the step starts from: it judges versions of a former log, whose offsets
        mean nothing here. Within one log the offset decides, since a late event moves no horizon.
        """
        return self.offset < first if self.log_id == log_id else self.horizon <= horizon


@dataclass(frozen=True)
class LearnedWeights:
    """One version, read into memory."""

    manifest: WeightsManifest
    state: State
    """As the encoder gave it."""
    user_ids: Digests
    """``[users]`` whose rows those of the ``users.`` tensors are."""
    item_ids: Digests
    """``[items]``"""


class WeightsStore:
    """The versions of one shard's encoder below ``folder``: one process writes them, another reads and claims."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._manifests: dict[str, WeightsManifest] = {}

    # -- writing ----------------------------------------------------------------------------------------------

    def write(self, manifest: WeightsManifest, state: State, user_ids: Digests, item_ids: Digests) -> WeightsManifest:
        """Write a version; its manifest with the checksum. One that is there already stays as it is. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / ".writing"
        if temporary.exists():  # left by a process that was killed, or by a full disk; there is one writer only
            shutil.rmtree(temporary)
        temporary.mkdir()
        tensors = {f"weights.{name}": _plain(value) for name, value in state.items()}
        tensors |= {_USER_IDS: torch.from_numpy(user_ids.copy()), _ITEM_IDS: torch.from_numpy(item_ids.copy())}
        save_file(tensors, temporary / _TENSORS)
        manifest = msgspec.structs.replace(manifest, sha256=sha256_of(temporary / _TENSORS))
        (temporary / _MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
        final = self.folder / manifest.name
        if final.exists():
            shutil.rmtree(temporary)
            return manifest
        for path in (*temporary.iterdir(), temporary):
            sync(path)
        temporary.rename(final)
        sync(self.folder)
        return manifest

    # -- reading ----------------------------------------------------------------------------------------------

    def manifests(self) -> list[WeightsManifest]:
        """All whole versions' manifests, oldest first; each is read once."""
        names = [path.name for path in self.folder.iterdir() if path.name[:1].isdigit()] if self.folder.is_dir() else []
        known = self._manifests
        self._manifests = {name: found for name in names if (found := known.get(name) or self._manifest(name))}
        return sorted(self._manifests.values(), key=lambda manifest: (manifest.horizon, manifest.version))

    def load(self, name: str) -> LearnedWeights:
        """One version by name. Raises :class:`WeightsError` if it is missing, broken, or not finite."""
        path = self.folder / name
        manifest = self._manifest(name)
        if manifest is None:
            raise WeightsError(
                f"the weights {name} are not in {self.folder}, and the step journal names them: restore that folder "
                "(it belongs to the state), or remove the shard's folder to rebuild the state from the log with the "
                "weights there are"
            )
        if manifest.format > FORMAT:
            raise WeightsError(f"{path} has format {manifest.format}, this version reads up to {FORMAT}; upgrade")
        if sha256_of(path / _TENSORS) != manifest.sha256:
            raise WeightsError(f"{path / _TENSORS} does not have the checksum of its manifest; restore the file")
        tensors = load_file(path / _TENSORS)
        users, items = (tensors.pop(key).numpy().astype(np.int64, copy=False) for key in (_USER_IDS, _ITEM_IDS))
        state = {key.removeprefix("weights."): value for key, value in tensors.items()}
        for key, value in state.items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise WeightsError(f"{path}: {key} holds numbers that are not finite; remove that folder")
        return LearnedWeights(manifest, state, users, items)

    # -- keeping ----------------------------------------------------------------------------------------------

    def claim(self, name: str) -> None:
        """Note durably that a step journal may name this version. Raises OSError."""
        path = self.folder / name
        (path / _CLAIMED).touch()
        sync(path)

    def drop_passed_over(self, current: WeightsManifest) -> None:
        """Remove the versions older than ``current`` that nobody claimed: none of them can be switched in any more."""
        for manifest in self.manifests():
            if current.newer_than(manifest) and not (self.folder / manifest.name / _CLAIMED).exists():
                shutil.rmtree(self.folder / manifest.name)

    def keep_newest(self, count: int, needed: Collection[str], oldest: WeightsManifest | None) -> None:
        """Remove claimed versions but the newest ``count``, the ``needed`` ones, and all newer than ``oldest``."""
        for manifest in self.manifests()[:-count]:
            if manifest.name not in needed and oldest is not None and not manifest.newer_than(oldest):
                shutil.rmtree(self.folder / manifest.name)

    def _manifest(self, name: str) -> WeightsManifest | None:
        try:
            manifest = msgspec.json.decode((self.folder / name / _MANIFEST).read_bytes(), type=WeightsManifest)
        except OSError:
            return None
        except msgspec.DecodeError as error:
            log.warning("%s has no readable manifest (%s); passed over", self.folder / name, error)
            return None
        return manifest


def _plain(value: Tensor) -> Tensor:
    return value.detach().cpu().contiguous()
