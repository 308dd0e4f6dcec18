"""One file with all that a training needs to go on as if it had never been stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from evaluation.kept_files import KeptFileError

_STATE = "state"
_FIX = "delete it, and the .json and .ranks of its name where they are, to train anew"


class Checkpoint:
    """Weights, best weights so far, the optimiser's moments, and figures, written whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(
        self, module: nn.Module, best: dict[str, Tensor], adam: torch.optim.Optimizer, state: dict[str, Any]
    ) -> None:
        """Replace the file. ``state`` is what JSON can hold."""
        tensors = {f"now.{name}": value for name, value in module.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in best.items()}
        for index, moments in adam.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{name}": value for name, value in moments.items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        written = self.path.with_suffix(".writing")
        save_file({name: value.contiguous() for name, value in tensors.items()}, written, {_STATE: json.dumps(state)})
        written.replace(self.path)

    def load(self, module: nn.Module, adam: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Put weights and moments back; returns best weights and ``state``, or None where there is no file.

        Raises ValueError for a file of another model, and for one that is torn.
        """
        if not self.path.exists():
            return None
        parts, state = self._read()
        try:
            module.load_state_dict(parts["now"])
        except RuntimeError as error:
            raise ValueError(f"{self.path} is of another model ({error}); remove it or name another folder") from error
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["adam"].items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = value
        adam.load_state_dict({"state": moments, "param_groups": adam.state_dict()["param_groups"]})
        return parts["best"], state

    def best(self) -> dict[str, Tensor]:
        """The best weights. Raises FileNotFoundError where nothing was trained yet, ValueError for a torn file."""
        if not self.path.exists():
            raise FileNotFoundError(f"{self.path}: no such checkpoint; train the base model first")
        return self._read()[0]["best"]

    def _read(self) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
        parts: dict[str, dict[str, Tensor]] = {"now": {}, "best": {}, "adam": {}}
        try:
            with safe_open(self.path, "pt") as file:
                for name in file.keys():  # noqa: SIM118 (the file is no mapping)
                    part, _, rest = name.partition(".")
                    parts[part][rest] = file.get_tensor(name)
                return parts, json.loads((file.metadata() or {})[_STATE])
        except (SafetensorError, KeyError, ValueError) as error:
            raise KeptFileError(self.path, f"holds no checkpoint ({error})", _FIX) from error
