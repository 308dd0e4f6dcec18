"""A whole installation on one machine: broker, topics, worker, LLM worker and, where set, trainer, started and stopped
together.

The worker is a process of its own, so that it can be killed and restarted like any worker, and so that a terminal that
only watches does not share its interpreter. Ctrl-C reaches the supervisor alone, which then stops LLM worker, trainer
and worker (which writes a snapshot) before the broker. A trainer or LLM worker that is lost for good is told and done
without: lists go on with what it handed over last.
"""

from __future__ import annotations

import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from types import TracebackType

import msgspec

from streams.admin import create_topics
from streams.broker import EmbeddedBroker
from streams.child import Child, WorkerGone
from streams.settings import Settings, as_environment
from streams.worker.note import read_note

__all__ = ["Installation", "WorkerGone", "is_ready", "worker_environment"]

log = logging.getLogger(__name__)

READY_WITHIN_S = 120.0

EMBEDDED_SESSION_MS = 3_000
"""The embedded broker answers a join only after half the session timeout, so a short one halves the start."""


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
        self._worker: Child | None = None
        self._trainer: Child | None = None
        self._llm: Child | None = None
        self._environment: dict[str, str] = {}

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
            create_topics(
                self.broker,
                self.settings.prefix,
                self.settings.partitions,
                llm_partitions=self.settings.llm_partitions,
            )
            environment = worker_environment(self.settings, self.broker, embedded=self._embedded is not None)
            self._worker = Child("graph", self.worker_log, environment, self._tell)
            self._worker.start()
            if self.settings.learner == "trainer":
                self._trainer = Child("trainer", self.settings.state_dir / "trainer.log", environment, self._tell)
                self._trainer.start()
            self._environment = environment
            if self.settings.llm_layer:
                self.start_llm()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the workers, then the broker. Safe to call twice."""
        for child in (self._llm, self._trainer, self._worker):
            if child is not None:
                child.stop()
        self._llm = self._trainer = self._worker = None
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
        return self._worker.pid if self._worker is not None else None

    @property
    def trainer_pid(self) -> int | None:
        """The trainer's process id while one runs."""
        return self._trainer.pid if self._trainer is not None else None

    def start_llm(self) -> None:
        """Start the LLM worker, unless it runs."""
        if self._llm is None:
            self._llm = Child("llm", self.settings.state_dir / "llm.log", self._environment, self._tell)
            self._llm.start()

    def stop_llm(self) -> None:
        """Stop the LLM worker: jobs wait, lists go on."""
        child, self._llm = self._llm, None
        if child is not None:
            child.stop()

    @property
    def llm_pid(self) -> int | None:
        """The LLM worker's process id while one runs."""
        return self._llm.pid if self._llm is not None else None

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
        """Start again what died. Raises `WorkerGone` when that does not help the worker."""
        if self._embedded is not None and not self._embedded.running:
            raise WorkerGone("the embedded broker has ended, and its log with it; start again")
        if self._worker is not None:
            self._worker.check()
        try:
            if self._trainer is not None:
                self._trainer.check()
        except WorkerGone as gone:
            self._trainer = None
            self._tell(f"{gone}; lists go on with the weights it handed over last")
        try:
            if self._llm is not None:
                self._llm.check()
        except WorkerGone as gone:
            self._llm = None
            self._tell(f"{gone}; lists go on with the profiles there are")

    def watch(self) -> None:
        """Keep the worker alive until interrupted (KeyboardInterrupt passes through) or `WorkerGone`."""
        while True:
            self.check()
            time.sleep(0.5)


def worker_environment(settings: Settings, broker: str, *, embedded: bool) -> dict[str, str]:
    """The settings for a worker of ours, as environment variables."""
    if embedded:
        session_ms = min(settings.session_timeout_ms, EMBEDDED_SESSION_MS)
        settings = msgspec.structs.replace(settings, session_timeout_ms=session_ms)
    settings = msgspec.structs.replace(settings, broker=broker)
    return {"OMP_NUM_THREADS": "1", **as_environment(settings)}


def is_ready(url: str) -> bool:
    """Whether the worker at `url` serves lists by now."""
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
