"""A mirror on this machine that can be told to misbehave: to break off, to be busy, to forget about ranges."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Mirror:
    """Files by name, and what was asked. ``breaks`` ends the next answers after so many bytes, ``busy`` answers 503."""

    files: dict[str, bytes] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)
    busy: int = 0
    etag: str = '"one"'
    ranges: bool = True
    encoding: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Name and ``Range`` of every request, in order."""
    address: str = ""


@contextmanager
def serving(mirror: Mirror) -> Iterator[Mirror]:
    """Serve on a free port; ``mirror.address`` says where."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            answer(self, mirror)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    mirror.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(request: BaseHTTPRequestHandler, mirror: Mirror) -> None:
    """One answer, after the rules of RFC 9110 for a single range."""
    name = request.path.removeprefix("/")
    wanted = request.headers.get("Range")
    mirror.asked.append((name, wanted))
    if mirror.busy:
        mirror.busy -= 1
        return plain(request, 503)
    if name not in mirror.files:
        return plain(request, 404)
    data, start = mirror.files[name], 0
    if wanted and mirror.ranges and request.headers.get("If-Range") == mirror.etag:
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(data):
            return plain(request, 416, {"Content-Range": f"bytes */{len(data)}"})
        request.send_response(206)
        request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
    else:
        request.send_response(200)
    if mirror.etag:
        request.send_header("ETag", mirror.etag)
    if mirror.encoding:
        request.send_header("Content-Encoding", mirror.encoding)
    rest = data[start:]
    request.send_header("Content-Length", str(len(rest)))
    request.end_headers()
    if mirror.breaks:
        request.wfile.write(rest[: mirror.breaks.pop(0)])
        request.close_connection = True
        return None
    request.wfile.write(rest)
    return None


def plain(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str] | None = None) -> None:
    """An answer without a body."""
    request.send_response(status)
    for name, value in (headers or {}).items():
        request.send_header(name, value)
    request.send_header("Content-Length", "0")
    request.end_headers()
