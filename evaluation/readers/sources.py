"""What a file name says: stem and extension, the format, and which files lie beside it."""

from __future__ import annotations

from pathlib import Path

from evaluation.readers.errors import DataFileError

FORMATS = {
    ".inter": "recbole",
    ".item": "recbole",
    ".user": "recbole",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".xlsx": "xlsx",
}

UNTIMED = (".kg", ".link", ".net")
"""RecBole's files of relations between things, which carry no times."""


def split_name(path: Path) -> tuple[str, str]:
    """Stem and extension, looking through ``.gz``.

    >>> split_name(Path("ml-100k.inter.gz"))
    ('ml-100k', '.inter')
    """
    plain = Path(path.name[:-3]) if path.name.lower().endswith(".gz") else Path(path.name)
    return plain.stem, plain.suffix.lower()


def format_of(path: Path) -> str:
    """The format by extension. Raises :class:`DataFileError` for one we cannot read."""
    extension = split_name(path)[1]
    if extension in UNTIMED:
        raise DataFileError(
            f"{path}: a {extension} file holds relations without times, which nothing can replay in time order; "
            "name the file of interactions (.inter)"
        )
    if extension not in FORMATS:
        raise DataFileError(
            f"{path}: extension {extension!r} is not known; readable are {', '.join(FORMATS)} "
            "(text formats also with .gz), the layouts of public data sets that the manual lists, or a folder"
        )
    return FORMATS[extension]


def beside(path: Path, stem: str | None = None, extensions: tuple[str, ...] = tuple(FORMATS)) -> Path | None:
    """The only other file in the folder of ``path`` with this stem (None: any) and one of these extensions.

    Raises :class:`DataFileError` where several fit.
    """
    hits = [
        other
        for other in sorted(path.parent.iterdir())
        if other.name != path.name and split_name(other)[1] in extensions and stem in (None, split_name(other)[0])
    ]
    return only(path.parent, hits)


def only(folder: Path, hits: list[Path]) -> Path | None:
    """The one hit, None for none. Raises :class:`DataFileError` for several."""
    if len(hits) > 1:
        names = ", ".join(hit.name for hit in hits)
        raise DataFileError(f"{folder}: {names} could each be meant; name one file or move the others away")
    return hits[0] if hits else None
