"""One supervised process of an installation: started, started again when that can help, and stopped.

It runs in its own session, so that Ctrl-C reaches the supervisor alone, which then stops what it started in order.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from streams.worker.exit_codes import ExitCode

STOP_WITHIN_S = 30.0
MAX_RESTARTS = 5
RESTARTS_WITHIN_S = 120.0


class WorkerGone(RuntimeError):
    """Raised when a process ended and a new start would not help; the text has its last words."""


class Child:
    """`evergraph worker --role ROLE` as a child process; `tell` gets one line for what a person should know."""

    def __init__(self, role: str, log_file: Path, environment: Mapping[str, str], tell: Callable[[str], None]) -> None:
        self.name = "worker" if role == "graph" else role
        self.log_file = log_file
        self._command = [sys.executable, "-m", "evergraph", "worker", "--role", role, "--supervised"]
        self._environment = environment
        self._tell = tell
        self._process: subprocess.Popen[bytes] | None = None
        self._restarts: deque[float] = deque(maxlen=MAX_RESTARTS)

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start it."""
        with self.log_file.open("ab") as sink:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=os.environ | dict(self._environment),
                start_new_session=True,
            )

    def stop(self) -> None:
        """Ask it to stop, and kill it if it does not. Safe to call twice."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._tell(f"the {self.name} (pid {process.pid}) did not stop in {STOP_WITHIN_S:.0f} s: killing it")
            process.kill()
            process.wait()

    def check(self) -> None:
        """Start it again if it died. Raises `WorkerGone` when that does not help."""
        code = self._process.poll() if self._process is not None else None
        if code is None:
            return
        if code == ExitCode.STOPPED:
            raise WorkerGone(f"the {self.name} was stopped from outside")
        now = time.monotonic()
        known = code in set(ExitCode)
        often = len(self._restarts) == MAX_RESTARTS and now - self._restarts[0] < RESTARTS_WITHIN_S
        if often or (known and not ExitCode(code).restartable):
            raise WorkerGone(f"the {self.name} ended with code {code}: {self._last_words()} (log: {self.log_file})")
        self._restarts.append(now)
        self._tell(f"the {self.name} ended with code {code}; starting it again (log: {self.log_file})")
        self.start()

    def _last_words(self) -> str:
        lines = self.log_file.read_text("utf-8", "replace").splitlines()
        said = [line.strip() for line in lines if line.startswith("error: ") or " ERROR " in line]
        return (said or [line for line in lines if line.strip()] or ["it left no log"])[-1][:1_000]
