"""`worker.json` in the state directory: how other commands on this machine find a running worker.

It imports nothing heavy, since `evergraph recommend` reads it and should answer at once.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec

from streams.settings import Settings

NOTE = "worker.json"


def write_note(settings: Settings, broker: str, port: int) -> None:
    """Write the note by which other commands on this machine find the worker, whole or not at all."""
    note = {
        "pid": os.getpid(),
        "http_port": port,
        "url": f"http://{settings.http_host}:{port}",
        "broker": broker,
        "prefix": settings.prefix,
    }
    path = settings.state_dir / NOTE
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(msgspec.json.encode(note))
    temporary.replace(path)


def read_note(state_dir: Path) -> dict[str, Any] | None:
    """What the worker of a state directory says of itself (`pid`, `url`, `broker`), None if there is none."""
    try:
        return msgspec.json.decode((state_dir / NOTE).read_bytes(), type=dict[str, Any])
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def withdraw_note(state_dir: Path) -> None:
    """Take the note back, unless another worker of this state directory has written its own since."""
    note = read_note(state_dir)
    if note is not None and note.get("pid") == os.getpid():
        with contextlib.suppress(FileNotFoundError):
            (state_dir / NOTE).unlink()
