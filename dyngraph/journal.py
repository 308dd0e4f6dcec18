"""The step journal: one small record before every step, saying how the log was cut.

State is a function of the log and of this journal. A record is written before its step is applied, so after a crash
the same events are cut the same way again; a record torn by the crash is the last one, and its step was never
applied, so it is dropped.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import msgspec


class JournalError(ValueError):
    """Raised for a journal that contradicts itself anywhere but in its torn last line."""


class StepRecord(msgspec.Struct, frozen=True, array_like=True):
    """How one step is to be taken."""

    first: int
    """First offset of the step."""
    last: int
    """Last offset of the step; offsets in between belong to it whether they are accepted or not."""
    learned: bool
    weights: int
    """Version of the weights the step starts from."""
    erased: tuple[str, ...] = ()
    """Users erased before the step."""


_encoder, _decoder = msgspec.json.Encoder(), msgspec.json.Decoder(StepRecord)


class Journal:
    """Append-only file of checksummed lines.

    Every record reaches the operating system before its step (safe against a killed process); ``sync`` makes all of
    them reach the disk and is called with each snapshot (safe against a lost machine, together with the log).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.records, whole = read_journal(path)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self._file, whole)
        os.lseek(self._file, whole, os.SEEK_SET)
        self._by_first = {record.first: record for record in self.records}

    def at(self, first: int) -> StepRecord | None:
        """The record of the step that starts at offset ``first``, if it was ever begun."""
        return self._by_first.get(first)

    @property
    def end(self) -> int:
        """First offset that no record covers."""
        return max((record.last for record in self._by_first.values()), default=-1) + 1

    def append(self, record: StepRecord) -> None:
        """Write one record."""
        line = _encoder.encode(record)
        os.write(self._file, b"%08x %b\n" % (zlib.crc32(line), line))
        self.records.append(record)
        self._by_first[record.first] = record

    def sync(self) -> None:
        """Make all records reach the disk."""
        os.fsync(self._file)

    def trim(self, first: int) -> None:
        """Forget records below offset ``first``: no kept snapshot is older."""
        keep = [record for record in self.records if record.first >= first]
        if len(keep) == len(self.records):
            return
        temporary = self.path.with_suffix(".tmp")
        temporary.unlink(missing_ok=True)
        trimmed = Journal(temporary)
        for record in keep:
            trimmed.append(record)
        trimmed.sync()
        trimmed.close()
        temporary.replace(self.path)
        os.close(self._file)
        self.__init__(self.path)  # type: ignore[misc]

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read_journal(path: Path) -> tuple[list[StepRecord], int]:
    """Records of a journal file, and how many of its bytes are whole. A missing file has none.

    Raises :class:`JournalError` if a line before the last is broken.
    """
    data = path.read_bytes() if path.exists() else b""
    records: list[StepRecord] = []
    whole = 0
    lines = data.split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):
        checksum, _, body = line.partition(b" ")
        if checksum != b"%08x" % zlib.crc32(body):
            if number == len(lines) - 1:
                break
            raise JournalError(
                f"{path}, line {number}: the checksum does not match, so the steps after it cannot be trusted; "
                "restore the file, or remove the shard's folder to rebuild it from the log"
            )
        records.append(_decoder.decode(body))
        whole += len(line) + 1
    return records, whole
