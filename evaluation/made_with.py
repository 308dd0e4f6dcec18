"""A folder of runs tells what they all were made with, so that only what can be compared lies in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def say_made_with(folder: Path, made_with: Mapping[str, str]) -> None:
    """Keep in ``folder`` what its runs share, beside what was said of others before.

    Raises ValueError where they were made with something else.
    """
    path = folder / "made-with.json"
    found: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    for name, value in made_with.items():
        if found.setdefault(name, value) != value:
            raise ValueError(
                f"{folder} holds runs made with {name} {found[name]!r}, not {value!r}: "
                "runs of one folder must be comparable, so name another folder"
            )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1))
