"""Jobs for OpenAI's Batch API and their answers, as JSON lines: a cheap or a remote model can serve a replay.

A line's ``custom_id`` is the cache key. What an import needs besides the answer (the prompt it belongs to, and whom
it is about, as a hash) waits in the cache file, so both files on the wire name nobody, the import needs no job, and
an erasure in between makes the answer unknown. Both directions stream; an import that is run again skips what it has.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from llm_workers.answers import checked
from llm_workers.cache import AnswerCache, cache_key
from llm_workers.client.requests import RequestShape, chat_body, completion_text
from llm_workers.protocols import LlmError, Prompt

URL = "/v1/chat/completions"
MOST_REQUESTS = 50_000
"""Lines a file may have by the rules of that API; more go into further files."""
MOST_BYTES = 190_000_000
GROUP = 256
"""Lines per transaction."""
NAMED = 20
"""Bad lines that a report names."""

T = TypeVar("T")

Progress = Callable[[int], None]
"""Called with what has been done since the last call: prompts of an export, bytes of an import."""


class Exported(msgspec.Struct):
    """What an export did."""

    written: int = 0
    cached: int = 0
    """Prompts that the cache answers already."""
    repeated: int = 0
    """Prompts equal to one before."""
    files: list[Path] = msgspec.field(default_factory=list)


class Imported(msgspec.Struct):
    """What an import did, in lines."""

    kept: int = 0
    known: int = 0
    """Answers that the cache had already."""
    unknown: int = 0
    """Ids that no export of this cache file wrote, or that were erased since."""
    failed: int = 0
    """Requests that failed at the server."""
    bad: int = 0
    """Lines that are no such answer, or whose answer does not fit its schema."""
    questions: int = 0
    """Of the bad ones: prompts as :func:`export_jobs` writes them."""
    problems: list[str] = msgspec.field(default_factory=list)
    """The first of them, with their line numbers."""

    def problem(self, line: int, why: str) -> None:
        """Name a line that cannot be used."""
        if len(self.problems) < NAMED:
            self.problems.append(f"line {line}: {why}")


def export_jobs(
    prompts: Iterable[Prompt],
    path: Path,
    cache: AnswerCache,
    model: str,
    *,
    temperature: float | None = 0.0,
    most_requests: int = MOST_REQUESTS,
    most_bytes: int = MOST_BYTES,
    progress: Progress | None = None,
) -> Exported:
    """Write what the cache cannot answer to ``path`` (and ``<stem>-2<suffix>`` and so on), a line a prompt.

    Nothing is left under these names unless the whole export succeeded. Raises ``OSError`` and ``StoreError``.
    """
    report, shape, seen = Exported(), RequestShape(temperature=temperature), set[str]()
    writer = _Writer(path, most_requests, most_bytes)
    try:
        for group in _groups(prompts):
            waiting = []
            for prompt in group:
                key = cache_key(model, prompt)
                if key in seen:
                    report.repeated += 1
                elif cache.get(model, prompt) is not None:
                    report.cached += 1
                else:
                    line = {"custom_id": key, "method": "POST", "url": URL, "body": chat_body(model, prompt, shape)}
                    writer.write(msgspec.json.encode(line) + b"\n")
                    anonymous = msgspec.structs.replace(prompt, owner="")
                    waiting.append((key, zlib.compress(msgspec.msgpack.encode(anonymous)), prompt.owner))
                seen.add(key)
            cache.store.put_pending(waiting)
            report.written += len(waiting)
            if progress is not None:
                progress(len(group))
    except BaseException:
        writer.discard()
        raise
    report.files = writer.finish()
    return report


def import_answers(path: Path, cache: AnswerCache, *, progress: Progress | None = None) -> Imported:
    """Check every answer of a batch's output against its schema and keep it in the cache.

    Raises ``OSError`` and :class:`~llm_workers.store.StoreError`; a bad line is counted and named, and skipped.
    """
    report = Imported()
    with path.open("rb") as lines:
        for group in _groups(enumerate(lines, start=1)):
            answers = [answer for number, line in group if (answer := _read(number, line, cache, report)) is not None]
            kept = cache.store.answer_pending(answers)
            report.kept += kept
            report.known += len(answers) - kept
            if progress is not None:
                progress(sum(len(line) for _, line in group))
    return report


class _Response(msgspec.Struct):
    status_code: int
    body: Any = None


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: Any = None
    url: Any = None
    """Of a question; no answer has one."""


_decoder = msgspec.json.Decoder(_Line)


def _read(number: int, line: bytes, cache: AnswerCache, report: Imported) -> tuple[str, bytes] | None:
    """Key and clean text of one line's answer; None, with a word in the report, where there is nothing to keep."""
    if not line.strip():
        return None
    try:
        said = _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        report.bad += 1
        report.problem(number, f"is no line of a batch's output ({error})")
        return None
    if said.url is not None and said.response is None and said.error is None:
        report.bad += 1
        report.questions += 1
        report.problem(number, "is a prompt as `evergraph llm export-jobs` writes it, not an answer")
        return None
    waiting = cache.store.pending(said.custom_id)
    if waiting is None:
        if cache.store.get(said.custom_id) is not None:
            report.known += 1
        else:
            report.unknown += 1
            report.problem(number, "its custom_id is not waited for by this cache file (another one, or erased since)")
        return None
    if said.response is None or said.response.status_code != 200:
        report.failed += 1
        status = said.response.status_code if said.response else "no response"
        report.problem(number, f"the request failed ({status}); it is exported again next time")
        return None
    prompt = msgspec.msgpack.decode(zlib.decompress(waiting), type=Prompt)
    try:
        return said.custom_id, checked(prompt, completion_text(said.response.body)).encode()
    except LlmError as error:
        report.bad += 1
        report.problem(number, f"its answer does not fit {prompt.version}: {error}")
        return None


class _Writer:
    """Lines into files of bounded size, which get their names at the end."""

    def __init__(self, path: Path, most_lines: int, most_bytes: int) -> None:
        self._path, self._most_lines, self._most_bytes = path, most_lines, most_bytes
        self._names: list[Path] = []
        self._lines = self._bytes = 0
        self._begin()

    def write(self, line: bytes) -> None:
        """Into the next file if this one is full."""
        if self._lines and (self._lines == self._most_lines or self._bytes + len(line) > self._most_bytes):
            self._file.close()
            self._begin()
        self._file.write(line)
        self._lines, self._bytes = self._lines + 1, self._bytes + len(line)

    def finish(self) -> list[Path]:
        """Give the files their names."""
        self._file.close()
        for name in self._names:
            _unfinished(name).replace(name)
        return self._names

    def discard(self) -> None:
        """Remove what was written."""
        self._file.close()
        for name in self._names:
            _unfinished(name).unlink(missing_ok=True)

    def _begin(self) -> None:
        number = len(self._names) + 1
        name = self._path if number == 1 else self._path.with_name(f"{self._path.stem}-{number}{self._path.suffix}")
        self._file = _unfinished(name).open("wb")
        self._names.append(name)
        self._lines = self._bytes = 0


def _unfinished(name: Path) -> Path:
    return name.with_name(name.name + ".unfinished")


def _groups(things: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(things)
    while group := list(islice(iterator, GROUP)):
        yield group
