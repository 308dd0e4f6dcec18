"""One file over HTTP: goes on where it broke off, tries again when the line is bad, and is named when it is whole.

Bytes gather in ``NAME.part``. ``NAME.part.etag`` keeps what the server called that version of the file, so that
halves of two versions are never glued together: the server is asked for the rest only of that very version (RFC 9110,
section 13.1.5, ``If-Range``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.exceptions import ConnectionError, SSLError, Timeout
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential, wait_random
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from evaluation.datasets.digests import check_digest
from evaluation.datasets.errors import DatasetError

CHUNK = 1 << 18
TIMEOUT_S = (10, 60)
"""For connecting, and between two pieces."""

Tell = Callable[[int, int | None], None]
"""Told bytes here, and bytes in all where the server says."""


@dataclass(frozen=True)
class Patience:
    """How often a transfer is tried, and how long to wait before the second time (then doubling, with jitter)."""

    attempts: int = 6
    pause_s: float = 1.0


class _Busy(Exception):
    """The server asks to come back later."""


class _NotOurPart(Exception):
    """What is here is no beginning of what the server has."""


TRANSIENT = (ConnectionError, Timeout, ProtocolError, ReadTimeoutError, _Busy, _NotOurPart)


def download(
    url: str, target: Path, *, digest: str | None = None, patience: Patience | None = None, tell: Tell | None = None
) -> None:
    """Fetch ``url`` to ``target``, which appears only when complete and, with ``digest``, checked.

    Raises :class:`DatasetError` for an address that is no HTTP, a refusal of the server, a line that stays bad (what
    has come so far is kept), and another checksum (what came is removed).
    """
    if urlsplit(url).scheme not in ("https", "http"):
        raise DatasetError(f"{url}: no address that can be fetched; it must begin with https:// or http://")
    patience = patience or Patience()
    part = target.with_name(f"{target.name}.part")
    retrying = Retrying(
        retry=retry_if_exception_type(TRANSIENT),
        stop=stop_after_attempt(patience.attempts),
        wait=wait_exponential(multiplier=patience.pause_s, max=30 * patience.pause_s)
        + wait_random(0, patience.pause_s),
        reraise=True,
    )
    try:
        with requests.Session() as session:
            retrying(_continue, session, url, part, tell or (lambda done, total: None))
    except SSLError as error:
        raise DatasetError(f"{url}: no safe connection ({_reason(error)}); check the machine's certificates") from error
    except TRANSIENT as error:
        raise DatasetError(
            f"{url}: {_reason(error)}, {patience.attempts} times; run it again to go on from what is here, "
            "or name a mirror with --from"
        ) from error
    except requests.RequestException as error:
        raise DatasetError(f"{url}: cannot be fetched ({_reason(error)}); check the address") from error
    if digest is not None:
        try:
            check_digest(part, target.name, digest, "it was removed; run it again, or name another source with --from")
        except DatasetError:
            _discard(part)
            raise
    part.replace(target)
    _discard(part)


def _continue(session: requests.Session, url: str, part: Path, tell: Tell) -> None:
    """Ask for what is missing and append it. Raises one of ``TRANSIENT`` if that should be tried again."""
    version = _version_file(part)
    here = part.stat().st_size if part.exists() and version.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if here:
        headers |= {"Range": f"bytes={here}-", "If-Range": version.read_text()}
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
        check_answer(response, url)
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            if response.headers.get("Content-Range") == f"bytes */{here}":
                return  # whole already: the last run ended between the last byte and the name
            _discard(part)
            raise _NotOurPart("the source has changed since the transfer began")
        if response.status_code == requests.codes.partial_content:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {here}-"):
                _discard(part)
                raise _NotOurPart("the server sent another part than was asked for")
        else:
            here = 0
            _remember_version(response, part)
        length = response.headers.get("Content-Length")
        total = here + int(length) if length else None
        with part.open("r+b" if here else "wb") as stream:
            stream.seek(here)
            tell(here, total)
            # As they come: servers that declare a .gz file as an encoding would have it unpacked on the way.
            for chunk in response.raw.stream(CHUNK, decode_content=False):
                stream.write(chunk)
                here += len(chunk)
                tell(here, total)


def check_answer(response: requests.Response, url: str) -> None:
    """Raises :class:`DatasetError` for what asking again will not change, and a private error for what it may."""
    if url.startswith("https:") and not response.url.startswith("https:"):
        raise DatasetError(f"{url}: was sent on to {response.url}, which anyone on the way could change; use --from")
    if response.status_code in (408, 425, 429) or response.status_code >= 500:
        raise _Busy(f"the server answers {response.status_code} {response.reason}")
    if response.status_code >= 400 and response.status_code != 416:
        raise DatasetError(
            f"{response.url}: the server answers {response.status_code} {response.reason}; "
            "the file may have moved: name another source with --from"
        )


def _remember_version(response: requests.Response, part: Path) -> None:
    """Keep a strong validator; without one a broken transfer begins anew."""
    etag = response.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
    _discard(part)
    if validator and response.headers.get("Accept-Ranges") != "none":
        _version_file(part).write_text(validator)


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)


def _reason(error: BaseException) -> str:
    """The innermost cause in a few words; the outer layers only repeat the address."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {error}" if not isinstance(error, _Busy | _NotOurPart) else str(error)
