"""From a registry entry to a folder that reads: download, unpack, check, and only then the folder's name.

A run that was stopped leaves ``.NAME.download`` beside, from which the next one goes on.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from evaluation.datasets.digests import check_digest, digest_of
from evaluation.datasets.download import Patience, download
from evaluation.datasets.errors import DatasetError
from evaluation.datasets.registry import Dataset, Remote
from evaluation.datasets.unpacking import unpack
from evaluation.readers import DataFileError, ValidationReport, validate_log

ORIGIN = "ORIGIN.md"

Tell = Callable[[str, int, int | None], None]
"""Told the file's name, bytes here, and bytes in all where the server says."""


def fetch(
    wanted: Dataset,
    root: Path,
    *,
    mirror: str | None = None,
    force: bool = False,
    patience: Patience | None = None,
    tell: Tell | None = None,
) -> Path:
    """Bring a data set to ``root / name`` and return that folder. One that is there stays, unless ``force``.

    ``mirror`` is an address below which the same files lie. Raises :class:`DatasetError` where it cannot be fetched or
    is not what it should be; nothing is then left under the name, and an older folder stays as it was.
    """
    folder = root / wanted.name
    if folder.exists() and not force:
        return folder
    downloads = root / f".{wanted.name}.download"
    downloads.mkdir(parents=True, exist_ok=True)
    for file in wanted.files:
        _bring(file, downloads, mirror, patience, tell)
    with tempfile.TemporaryDirectory(dir=root, prefix=f".{wanted.name}.") as scratch:
        fresh = Path(scratch) / wanted.name
        fresh.mkdir()
        try:
            _lay_out(wanted, downloads, fresh)
            report = _checked(wanted, fresh)
        except DatasetError:
            # Kept, the same bytes would be refused again for good.
            shutil.rmtree(downloads)
            raise
        (fresh / ORIGIN).write_text(_origin(wanted, mirror, downloads, report), encoding="utf-8")
        if folder.exists():
            folder.rename(Path(scratch) / "replaced")
        fresh.rename(folder)
    shutil.rmtree(downloads)
    return folder


def _bring(file: Remote, downloads: Path, mirror: str | None, patience: Patience | None, tell: Tell | None) -> None:
    target = downloads / file.name
    if target.exists():
        return
    url = file.url if mirror is None else f"{mirror.rstrip('/')}/{file.name}"
    say = tell or (lambda name, done, total: None)
    download(url, target, digest=file.digest, patience=patience, tell=lambda done, total: say(file.name, done, total))


def _lay_out(wanted: Dataset, downloads: Path, folder: Path) -> None:
    for file in wanted.files:
        if file.unpack:
            unpack(downloads / file.name, folder)
        else:
            shutil.copyfile(downloads / file.name, folder / file.name)


def _checked(wanted: Dataset, folder: Path) -> ValidationReport:
    """Look the folder over. Raises :class:`DatasetError` for what differs from the registry."""
    fix = "the source has changed, or is another one; nothing was kept"
    for name, digest in wanted.members.items():
        if not (folder / name).is_file():
            raise DatasetError(f"{wanted.name}: {name} is missing; {fix}")
        check_digest(folder / name, name, digest, fix)
    try:
        report = validate_log(folder)
    except DataFileError as error:
        raise DatasetError(f"{wanted.name}: what came cannot be read ({error}); {fix}") from error
    if not report.ok:
        raise DatasetError(f"{wanted.name}: {report.n_problems} bad rows, first: {report.problems[0]}; {fix}")
    found = {
        "events": report.rows,
        "users": report.users,
        "items": report.items,
        "lines": report.rows + sum(report.dropped.values()),
    }
    for what, number in found.items():
        expected = getattr(wanted.counts, what)
        if expected is not None and number != expected:
            raise DatasetError(f"{wanted.name}: {number:,} {what} where {expected:,} are published; {fix}")
    return report


def _origin(wanted: Dataset, mirror: str | None, downloads: Path, report: ValidationReport) -> str:
    """Where the folder comes from, for whoever finds it in a year."""
    place = "" if mirror is None else f" the mirror {mirror}, instead of"
    sources = [f"- {file.url}\n  {digest_of(downloads / file.name)}" for file in wanted.files]
    return "\n".join(
        [
            f"# {wanted.title}",
            "",
            f"Fetched {datetime.now(UTC):%Y-%m-%d} from{place}:",
            "",
            *sources,
            "",
            f"Terms: {wanted.licence}.",
            "",
            f"Checked: {wanted.proof}.",
            "",
            f"Reads as {report.rows:,} events of {report.users:,} users on {report.items:,} items.",
            "",
            f"Cite: {wanted.cite}.",
            "",
        ]
    )
