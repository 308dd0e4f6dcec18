"""Reasoning graphs kept on disk: several rows and seeds read the same ones, and building takes minutes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from evaluation.coded import CodedLog
from evaluation.experiments.provenance import code_digest
from evaluation.kept_files import KeptFileError, kept_arrays
from evaluation.reasoning.held_out import HeldOutHistories
from evaluation.reasoning.rows import ChainBuilding
from models.llmrg.chains import PlacedChains

_KEPT = (
    "place",
    "came_from",
    "concept",
    "imagined_place",
    "imagined_step",
    "imagined_item",
    "imagined_score",
    "vectors",
)


class KeptChains:
    """A :class:`~evaluation.reasoning.rows.ChainBuilding` before another one, which is asked once for each log,
    catalogue, split and threshold, and anew when its code has changed. ``name`` tells builders with other settings
    apart.
    """

    def __init__(self, build: ChainBuilding, folder: Path, name: str) -> None:
        self._build, self._folder = build, folder
        self._name = f"{name} {code_digest([type(build).__module__])}"

    def __call__(self, log: CodedLog, data: HeldOutHistories, threshold: float | None) -> PlacedChains:
        """From the folder, or built and put there. Raises :class:`KeptFileError` for a file that holds no chains along
        these histories."""
        path = self._folder / f"{self._key(log, data, threshold)}.chains"
        if path.exists():
            return _read(path, data)
        chains = self._build(log, data, threshold)
        self._folder.mkdir(parents=True, exist_ok=True)
        written = path.with_suffix(".writing")
        save_file({name: np.ascontiguousarray(getattr(chains, name)) for name in _KEPT}, written)
        written.replace(path)
        return chains

    def _key(self, log: CodedLog, data: HeldOutHistories, threshold: float | None) -> str:
        parts = hashlib.sha256(f"{self._name} {threshold} {log.digest} {log.catalogue_digest}".encode())
        for array in (data.rows, data.learned, data.validation, data.tests):
            parts.update(np.ascontiguousarray(array).tobytes())
        return parts.hexdigest()[:24]


def _read(path: Path, data: HeldOutHistories) -> PlacedChains:
    arrays = kept_arrays(path, _KEPT)
    try:
        return PlacedChains(histories=data.histories, **arrays)
    except (ValueError, IndexError) as error:
        raise KeptFileError(path, f"holds no chains along these histories ({error})") from error
