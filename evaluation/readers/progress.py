"""A progress bar that shows itself only when reading takes long enough to make one wonder.

A thread waits and then starts the bar, since much of the work is one long call into polars that cannot report.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

PATIENCE_S = 2.0


class Bar:
    """Says how far the work is. Pulses where that is not known."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=None)

    def stage(self, title: str) -> None:
        """Go on to another part of the work, of unknown length until :meth:`at` is called."""
        self._progress.update(self._task, description=title, completed=0, total=None)

    def at(self, done: int, total: int) -> None:
        """``done`` of ``total``, in any unit."""
        self._progress.update(self._task, completed=done, total=total)


@contextmanager
def patient_bar(title: str, console: Console | None = None, patience_s: float = PATIENCE_S) -> Iterator[Bar]:
    """A bar on stderr (or ``console``), drawn after ``patience_s`` seconds and gone at the end; never into a file."""
    console = console or Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    timer = threading.Timer(patience_s, progress.start)
    timer.daemon = True
    timer.start()
    try:
        yield Bar(progress, title)
    finally:
        timer.cancel()
        # A timer that has just fired must have drawn before the bar is taken away.
        timer.join()
        progress.stop()
