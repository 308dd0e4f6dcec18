"""The step journal: one small record before every step, saying how the log was cut.

State is a function of the log and of this journal. A record is written before its step is applied, so after a crash
the same events are cut the same way again; a record torn by the crash is the last one, and its step was never
applied, so it is dropped. The journal is kept whole (some 40 bytes a step), in segments, so that recovery reads only
its tail while a replay can still follow it from the beginning.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from dyngraph.lines import JournalError, LineFile, read_lines, segment, segments

__all__ = ["Journal", "JournalError", "StepRecord", "read_journal"]

SEGMENT_BYTES = 1 << 20
"""A segment this large is closed at the next snapshot."""


class StepRecord(msgspec.Struct, frozen=True, array_like=True):
    """How one step is to be taken."""

    first: int
    """First offset of the step."""
    last: int
    """Last offset of the step; offsets in between belong to it whether they are accepted or not."""
    learned: bool
    weights: int
    """Version of the encoder's weights that the step starts from: its own count of updates, or, where weights are
    handed over, that of whoever learned them."""
    erased: tuple[str, ...] = ()
    """Users erased before the step."""
    switched: str = ""
    """Name of the handed-over weights that are switched in before the step; empty for none."""
    encoder: bool | None = None
    """Whether the encoder learned too; None: as ``learned`` says."""
    inputs: int = 0
    """How many side inputs (:mod:`dyngraph.side_inputs`) the state had seen when the step was begun."""

    @property
    def encoder_learned(self) -> bool:
        """Whether the encoder learned in the step."""
        return self.learned if self.encoder is None else self.encoder


_encoder, _decoder = msgspec.json.Encoder(), msgspec.json.Decoder(StepRecord)


class Journal:
    """Append-only segments of checksummed lines in ``folder``, read from the step at ``start`` on.

    Every record reaches the operating system before its step (safe against a killed process); ``sync`` makes all of
    them reach the disk and is called with each snapshot (safe against a lost machine, together with the log).
    """

    def __init__(self, folder: Path, start: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        paths = segments(folder)
        self._by_first: dict[int, StepRecord] = {}
        self._appended = -1
        whole = 0
        for number, path in enumerate(paths):
            last = number == len(paths) - 1
            if last or int(paths[number + 1].name) > start:
                records, whole = _read(path, last=last)
                self._by_first.update((record.first, record) for record in records if record.first >= start)
        self._file = LineFile(paths[-1] if paths else segment(folder, start), whole)

    def at(self, first: int) -> StepRecord | None:
        """The record of the step that starts at offset ``first``, if it was ever begun."""
        return self._by_first.get(first)

    def append(self, record: StepRecord) -> None:
        """Write one record. :meth:`at` gives it from now on, so that a step that failed is tried again as begun."""
        self._file.append([_encoder.encode(record)])
        self._by_first.pop(self._appended, None)
        self._by_first[record.first], self._appended = record, record.first

    def sync(self) -> None:
        """Make all records reach the disk."""
        self._file.sync()

    def settle(self, applied: int) -> None:
        """A snapshot covers everything up to ``applied``: start a new segment if this one is large enough."""
        if self._file.size >= SEGMENT_BYTES:
            self._file.close()
            self._file = LineFile(segment(self.folder, applied + 1), 0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_journal(folder: Path) -> list[StepRecord]:
    """All records of a journal, oldest first; a folder without one has none.

    Raises :class:`JournalError` for a broken line before the last.
    """
    paths = segments(folder)
    return [record for path in paths for record in _read(path, last=path is paths[-1])[0]]


def _read(path: Path, *, last: bool) -> tuple[list[StepRecord], int]:
    """Records of one segment, and how many of its bytes are whole."""
    bodies, whole = read_lines(path, last=last)
    return [_decoder.decode(body) for body in bodies], whole
