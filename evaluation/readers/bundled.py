"""Where the bundled log lies, so that a first run needs no download."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from evaluation.readers.errors import DataFileError


def bundled_path(name: str = "online_retail") -> Path:
    """The folder of a bundled log, readable by :func:`~evaluation.readers.read_log`.

    The data travel in the folder ``data`` of the package ``evergraph``. Only its place is looked up:
    importing the façade from here would turn the order of the rooms round. Raises :class:`DataFileError` for
    an unknown name.
    """
    spec = find_spec("evergraph")
    roots = [Path(place) / "data" for place in (spec.submodule_search_locations or [])] if spec else []
    known = {path.parent.name: path.parent for root in roots for path in root.glob("*/interactions.parquet")}
    if name not in known:
        raise DataFileError(f"no bundled data called {name!r}; bundled are: {', '.join(sorted(known)) or 'none'}")
    return known[name]
