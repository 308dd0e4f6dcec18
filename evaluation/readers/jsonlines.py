"""JSON lines: one object per line, keys are columns.

Values become text, as in the other formats, so that one set of rules decides types. Lines are decoded one by
one (about 1 µs each), because only then does a broken line have a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl

from evaluation.readers.errors import DataFileError, shown
from evaluation.readers.faults import Fault


@dataclass(frozen=True)
class JsonLines:
    """Text columns, the 1-based line of every row, and the lines that are no JSON object."""

    frame: pl.DataFrame
    lines: list[int]
    faults: tuple[Fault, ...]


def parse(path: Path, data: bytes) -> JsonLines:
    """Parse UTF-8 ``data``; blank lines are skipped. Raises :class:`DataFileError` if there is no object."""
    if data.lstrip().startswith(b"["):
        raise DataFileError(f"{path}, line 1: the file is one JSON array; write one object per line instead")
    decode = msgspec.json.Decoder(dict[str, object]).decode
    records: list[dict[str, object]] = []
    lines: list[int] = []
    faults: list[Fault] = []
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = decode(line)
        except msgspec.DecodeError as error:
            faults.append(Fault(len(records), None, f"{shown(line.decode())} is no JSON object ({error})"))
            record = {}
        records.append(record)
        lines.append(number)
    names = list(dict.fromkeys(name for record in records for name in record))
    if not names:
        raise DataFileError(f"{path}, line {lines[0]}: {faults[0].message if faults else 'the object is empty'}")
    columns = {name: [_text(record.get(name)) for record in records] for name in names}
    for name in names:
        odd = [row for row, record in enumerate(records) if isinstance(record.get(name), (dict, bool))]
        faults += [Fault(row, name, f"{name} {shown(columns[name][row])} is neither text nor number") for row in odd]
    return JsonLines(pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String)), lines, tuple(faults))


def _text(value: object) -> str | None:
    """Text of a JSON value; lists join with ``|``, inner lists with `` > ``, as catalogues in text do."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return "|".join(
            " > ".join(str(level) for level in path) if isinstance(path, list) else str(path) for path in value
        )
    return str(value)
