"""A whole installation on one machine: broker, topics and worker, started together and stopped together.

The worker is a process of its own, so that it can be killed and restarted like any worker, and so that a
terminal that only watches does not share its interpreter. It runs in its own session: Ctrl-C reaches the
supervisor alone, which then stops the worker (it writes a snapshot) before the broker.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import IO

from streams.admin import create_topics
from streams.broker import EmbeddedBroker
from streams.settings import Settings
from streams.worker.exit_codes import ExitCode
from streams.worker.note import read_note

log = logging.getLogger(__name__)

READY_WITHIN_S = 120.0
STOP_WITHIN_S = 30.0
MAX_RESTARTS = 5
RESTARTS_WITHIN_S = 120.0

EMBEDDED_SESSION_MS = 3_000
"""The embedded broker answers a join only after half the session timeout, so a short one halves the start."""


class WorkerGone(RuntimeError):
    """Raised when the worker ended and a new start would not help; the text has its last words."""


class Installation:
    """Broker (embedded unless settings name one), topics and a supervised graph worker, as a context manager.

    `tell` gets one line for what a person at the terminal should know.
    """

    def __init__(self, settings: Settings, tell: Callable[[str], None] = log.info) -> None:
        self.settings = settings
        self.broker = settings.broker or ""
        """`host:port` for clients, once started."""
        self.worker_log = settings.state_dir / "worker.log"
        self._tell = tell
        self._embedded: EmbeddedBroker | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self._restarts: deque[float] = deque(maxlen=MAX_RESTARTS)

    # -- start and stop ----------------------------------------------------------------------------------------

    def start(self) -> Installation:
        """Start what is missing. Raises `BrokerError`, `TopicMismatch`; leaves nothing running then."""
        self.settings.state_dir.mkdir(parents=True, exist_ok=True)
        try:
            if not self.settings.broker:
                self._embedded = EmbeddedBroker(
                    self.settings.broker_port,
                    binary=self.settings.broker_bin,
                    log_file=self.settings.state_dir / "broker.log",
                )
                self.broker = self._embedded.start().address
            create_topics(self.broker, self.settings.prefix, self.settings.partitions)
            self._spawn()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the worker, then the broker. Safe to call twice."""
        worker, self._worker = self._worker, None
        if worker is not None and worker.poll() is None:
            worker.terminate()
            try:
                worker.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._tell(f"the worker (pid {worker.pid}) did not stop in {STOP_WITHIN_S:.0f} s: killing it")
                worker.kill()
                worker.wait()
        if self._embedded is not None:
            self._embedded.stop()
            self._embedded = None

    def __enter__(self) -> Installation:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- the worker --------------------------------------------------------------------------------------------

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id while it runs."""
        return self._worker.pid if self._worker is not None and self._worker.poll() is None else None

    @property
    def url(self) -> str | None:
        """Where the worker serves HTTP, None while it has not said so."""
        note = read_note(self.settings.state_dir)
        return str(note["url"]) if note and note.get("pid") == self.worker_pid else None

    def wait_ready(self, timeout_s: float = READY_WITHIN_S) -> str:
        """Wait until the worker serves lists; its URL. Raises `WorkerGone`, `TimeoutError`."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.check()
            url = self.url
            if url and is_ready(url):
                return url
            if time.monotonic() > deadline:
                raise TimeoutError(f"the worker is not ready after {timeout_s:.0f} s; see {self.worker_log}")
            time.sleep(0.05)

    def check(self) -> None:
        """Start the worker again if it died. Raises `WorkerGone` when that does not help."""
        if self._embedded is not None and not self._embedded.running:
            raise WorkerGone("the embedded broker has ended, and its log with it; start again")
        code = self._worker.poll() if self._worker is not None else None
        if code is None:
            return
        if code == ExitCode.STOPPED:
            raise WorkerGone("the worker was stopped from outside")
        now = time.monotonic()
        known = code in set(ExitCode)
        often = len(self._restarts) == MAX_RESTARTS and now - self._restarts[0] < RESTARTS_WITHIN_S
        if often or (known and not ExitCode(code).restartable):
            raise WorkerGone(f"the worker ended with code {code}: {self._last_words()} (log: {self.worker_log})")
        self._restarts.append(now)
        self._tell(f"the worker ended with code {code}; starting it again (log: {self.worker_log})")
        self._spawn()

    def watch(self) -> None:
        """Keep the worker alive until interrupted (KeyboardInterrupt passes through) or `WorkerGone`."""
        while True:
            self.check()
            time.sleep(0.5)

    def _spawn(self) -> None:
        with self._open_log() as sink:
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "evergraph", "worker", "--role", "graph", "--supervised"],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=os.environ | worker_environment(self.settings, self.broker, embedded=self._embedded is not None),
                start_new_session=True,
            )

    def _open_log(self) -> IO[bytes]:
        return self.worker_log.open("ab")

    def _last_words(self) -> str:
        lines = self.worker_log.read_text("utf-8", "replace").splitlines()
        said = [line.strip() for line in lines if line.startswith("error: ") or " ERROR " in line]
        return (said or [line for line in lines if line.strip()] or ["it left no log"])[-1][:1_000]


def worker_environment(settings: Settings, broker: str, *, embedded: bool) -> dict[str, str]:
    """The settings as environment variables: the one way in that carries all of them to another process."""
    variables = {"OMP_NUM_THREADS": "1", "EVERGRAPH_BROKER": broker}
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if name == "broker" or value is None:
            continue
        if name == "session_timeout_ms" and embedded:
            value = min(value, EMBEDDED_SESSION_MS)
        variables[f"EVERGRAPH_{name.upper()}"] = str(value).lower() if isinstance(value, bool) else str(value)
    return variables


def is_ready(url: str) -> bool:
    """Whether the worker at `url` serves lists by now."""
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
