"""What can be wrong with a data file, said in one line that names the input, the rule and the fix.

A file that a person points us at is their input, not our bug: they need the line and the value, never a
traceback. Readers raise the first problem; validation collects them.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_SHOWN_CHARS = 60
"""A value in a message is cut here: a 10 kB id must not fill the terminal."""


class DataFileError(ValueError):
    """A data file that cannot be used as it is. The message is one line and complete."""


@dataclass(frozen=True)
class Problem:
    """One fault at one place of a file.

    ``line`` is 1-based and counts the header, as an editor shows it (for Parquet, which has no lines, it is
    the 1-based row and ``unit`` says ``"row"``).
    """

    path: str
    line: int
    message: str
    unit: str = "line"

    def __str__(self) -> str:
        return f"{self.path}, {self.unit} {self.line}: {self.message}"


def shown(value: object) -> str:
    """The value as it may stand in a one-line message: quoted, escaped and short.

    >>> shown("a" * 100)[-4:]
    "...'"
    """
    text = str(value)
    return repr(text if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + "...")
