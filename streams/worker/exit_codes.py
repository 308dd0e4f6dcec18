"""How a worker ends: what a supervisor, or an operator's unit file, may conclude from its exit code."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """Codes 2 and 3 need a person; after the others a new start is safe, the log being the truth."""

    STOPPED = 0
    """Asked to stop: snapshot written, everything closed."""
    FAILED = 1
    """A step, the broker's client or Faust failed; the log above has the traceback."""
    USAGE = 2
    """A setting is wrong, a topic is missing, a port is taken."""
    STATE = 3
    """Log and state, or settings and state, do not fit together; going on would lose events silently."""
    STALLED = 4
    """Events were waiting and nothing moved; the watchdog ended the worker."""

    @property
    def restartable(self) -> bool:
        """Whether starting again can help."""
        return self in (ExitCode.FAILED, ExitCode.STALLED)


class StateError(ValueError):
    """Raised when log and state do not fit together; the text is an instruction."""
