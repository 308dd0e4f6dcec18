"""A folder of runs tells what they all were made with, so that only what can be compared lies in it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from evaluation.kept_files import kept_json

FIX = "delete it if the runs beside it are of this log and these settings; otherwise name another folder"


def say_made_with(folder: Path, made_with: Mapping[str, str]) -> None:
    """Keep in ``folder`` what its runs share, beside what was said of others before.

    Raises ValueError where they were made with something else, and where what was said cannot be read.
    """
    path = folder / "made-with.json"
    known = kept_json(path, dict[str, str], "names and values", FIX) if path.exists() else {}
    found = dict(known)
    for name, value in made_with.items():
        if found.setdefault(name, value) != value:
            raise ValueError(
                f"{folder} holds runs made with {name} {found[name]!r}, not {value!r}: "
                "runs of one folder must be comparable, so name another folder"
            )
    if found != known:
        folder.mkdir(parents=True, exist_ok=True)
        # Others may start in the same folder at this moment, and must not find half a file.
        written = path.with_suffix(f".{os.getpid()}.writing")
        written.write_text(json.dumps(found, indent=1))
        written.replace(path)
