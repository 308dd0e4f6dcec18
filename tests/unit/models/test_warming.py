"""What lists and reasons need compiled is compiled before the first of them is asked for."""

from __future__ import annotations

import subprocess
import sys

CALLED = {
    "models.lrd.kernels": ("scores",),
    "models.sources.history_kernels": ("describe", "propose", "visits"),
    "models.sources.transition_kernels": ("add", "best", "count", "describe", "evidence", "witness"),
}


def test_a_worker_compiles_nothing_while_a_list_is_waited_for() -> None:
    # In a process of its own: here other tests may have compiled them.
    program = (
        "import importlib; from models.warming import warm_up; warm_up();"
        f"print([f'{{room}}.{{name}}' for room, names in {CALLED!r}.items() for name in names"
        " if not getattr(importlib.import_module(room), name).signatures])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=True)
    assert done.stdout.strip() == "[]"
