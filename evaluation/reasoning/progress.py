"""How far a long training is, on the terminal."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evaluation.reasoning.outcomes import Run


class TrainingBar:
    """A bar over the updates of the epoch at hand, on standard error; a line per epoch where that is no terminal."""

    def __init__(self, run: Run) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._name = f"{run.row}, {run.order}, seed {run.seed}"
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(self._name, total=None)

    def __enter__(self) -> TrainingBar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def tell(self, epoch: int, done: int, updates: int, loss: float) -> None:
        """After each update."""
        told = f"{self._name}, epoch {epoch}: loss {loss:.3f}"
        self._bar.update(self._task, completed=done, total=updates, description=told)
        if done == updates and not self._bar.console.is_terminal:
            self._bar.console.print(told)
