"""The report over HTTP, for a run on another machine: this machine alone may ask, for the page and what it plays, nothing else."""

import re
import urllib.parse
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import IO

from pipeline.storage import storage_of

HOST = "127.0.0.1"
PAGE = "/report/index.html"
FOLDERS = ("report", "previews", "clips")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".webp": "image/webp",
    ".png": "image/png",
    ".mp4": "video/mp4",
}
_NAMES = (
    "127.0.0.1",
    "localhost",
)  # whatever forwards a port asks by one of them; a foreign page's name is not among them
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_CHUNK_BYTES = 1 << 18


def serve(run: Path, port: int) -> ThreadingHTTPServer:
    """A server of a run's report that is not running yet: call `serve_forever`. OSError where the port is taken; 0: any."""
    return ThreadingHTTPServer((HOST, port), partial(_Handler, run))


def file_of(run: Path, target: str) -> Path | None:
    """The file that a request asks for; None where it is not of the report, its previews and clips.

    Only whole, plain steps count: no "..", no hidden file, no other type, and no link that leads out of its folder.
    """
    path = urllib.parse.unquote(urllib.parse.urlsplit(target).path, errors="strict")
    steps = PAGE.split("/")[1:] if path == "/" else path.split("/")[1:]
    plain = all(step and not step.startswith(".") and "\\" not in step and step.isprintable() for step in steps)
    if len(steps) < 2 or not plain or steps[0] not in FOLDERS or PurePosixPath(steps[-1]).suffix not in TYPES:
        return None
    # the report is a page of this machine; the rest may lie wherever the storage keeps it
    local = storage_of(run).local if steps[0] != "report" else run.joinpath
    root, found = local(steps[0]).resolve(), local("/".join(steps)).resolve()
    return found if found.is_relative_to(root) and found.is_file() else None


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD, whole files or one range of bytes, which browsers ask for when they seek in a film."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "csg405", ""
    timeout = 60

    def __init__(self, run: Path, *args: object) -> None:
        self._run = run
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self._answer(send=True)

    def do_HEAD(self) -> None:
        self._answer(send=False)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal is for the address."""

    def _answer(self, *, send: bool) -> None:
        if (self.headers.get("Host") or "").rpartition(":")[0] not in _NAMES:
            return self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
        if self.path.partition("?")[0] == "/":
            return self._lead_to(PAGE)
        if self.path == "/favicon.ico":  # browsers ask for one unasked
            return self._refuse(HTTPStatus.NO_CONTENT)
        try:
            path = file_of(self._run, self.path)
        except (ValueError, OSError):
            path = None
        if path is None:
            return self._refuse(HTTPStatus.NOT_FOUND)
        try:
            with path.open("rb") as file:
                self._send(file, path.stat().st_size, TYPES[path.suffix], send=send)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # a film that is left

    def _send(self, file: IO[bytes], size: int, kind: str, *, send: bool) -> None:
        span = _span(self.headers.get("Range"), size)
        if span is None:
            return self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"bytes */{size}")
        first, stop, part = span
        self.send_response(HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK)
        if part:
            self.send_header("Content-Range", f"bytes {first}-{stop - 1}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(stop - first))
        self._end()
        if send:
            file.seek(first)
            while first < stop and (data := file.read(min(_CHUNK_BYTES, stop - first))):
                self.wfile.write(data)
                first += len(data)

    def _lead_to(self, place: str) -> None:
        self.send_response(HTTPStatus.FOUND)
        self.send_header("Location", place)
        self.send_header("Content-Length", "0")
        self._end()

    def _refuse(self, status: HTTPStatus, span: str = "") -> None:
        self.send_response(status)
        if span:
            self.send_header("Content-Range", span)
        self.send_header("Content-Length", "0")
        self._end()

    def _end(self) -> None:
        """No other page may read or frame what is people's footage, and nothing of it is left in a cache."""
        for name, value in (
            ("X-Content-Type-Options", "nosniff"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        self.end_headers()


def _span(asked: str | None, size: int) -> tuple[int, int, bool] | None:
    """(first, stop, whether it is a part) of a file's bytes: all where nothing is asked that is understood; None past the end."""
    found = _RANGE.fullmatch((asked or "").strip())
    if not found or not (found[1] or found[2]):
        return 0, size, False
    if not found[1]:
        first, stop = max(0, size - int(found[2])), size
    else:
        first, stop = int(found[1]), min(size, int(found[2]) + 1 if found[2] else size)
    return (first, stop, True) if first < stop else None
