"""Which files a path means: one file, a RecBole stem with its siblings, or a folder."""

from __future__ import annotations

from dataclasses import dataclass
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
}


@dataclass(frozen=True)
class Sources:
    """The files of one log. ``items`` is None where the catalogue, if any, is in the interactions file."""

    name: str
    interactions: Path
    items: Path | None


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
    if extension not in FORMATS:
        raise DataFileError(
            f"{path}: extension {extension!r} is not known; readable are {', '.join(FORMATS)} "
            "(text formats also with .gz), or a folder with interactions.* and items.*"
        )
    return FORMATS[extension]


def find_sources(path: Path) -> Sources:
    """The files that ``path`` stands for.

    A folder holds ``interactions.*`` (and ``items.*``) or one RecBole ``NAME.inter`` (and ``NAME.item``); a
    single ``NAME.inter`` or ``interactions.*`` brings its catalogue sibling along. Raises
    :class:`DataFileError` when nothing or more than one thing fits.
    """
    if not path.exists():
        raise DataFileError(f"{path}: no such file or folder; check the path")
    if path.is_dir():
        interactions = _only(path, "interactions", None) or _only(path, None, ".inter")
        if interactions is None:
            raise DataFileError(
                f"{path}: the folder holds neither interactions.* nor a .inter file; name the file itself"
            )
        return Sources(path.resolve().name, interactions, _catalogue_beside(interactions))
    format_of(path)
    stem = split_name(path)[0]
    name = path.resolve().parent.name if stem == "interactions" else stem
    return Sources(name, path, _catalogue_beside(path))


def _catalogue_beside(interactions: Path) -> Path | None:
    stem, extension = split_name(interactions)
    if extension == ".inter":
        return _only(interactions.parent, stem, ".item")
    if stem == "interactions":
        return _only(interactions.parent, "items", None)
    return None


def _only(folder: Path, stem: str | None, extension: str | None) -> Path | None:
    hits = []
    for path in sorted(folder.iterdir()):
        its_stem, its_extension = split_name(path)
        if its_extension in FORMATS and stem in (None, its_stem) and extension in (None, its_extension):
            hits.append(path)
    if len(hits) > 1:
        names = ", ".join(hit.name for hit in hits)
        raise DataFileError(f"{folder}: {names} could each be meant; name one file or move the others away")
    return hits[0] if hits else None
