"""The report over HTTP, for a run on another machine: this machine alone may ask, for the page and what it plays, nothing else.

Other accounts of this machine reach its ports too. So the address holds a key, that a cookie keeps from then on: who has not
opened the address, which its owner's terminal shows, gets nothing.
"""

import logging
import re
import secrets
import urllib.parse
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import IO

from pipeline.base.reasons import Failure
from pipeline.storage import storage_of

log = logging.getLogger(__name__)

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
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")  # int() refuses numbers of thousands of digits
_LOCKED = b"Open the address that csg405 report --serve printed: it holds the key.\n"
_CHUNK_BYTES = 1 << 18


class ReportServer(ThreadingHTTPServer):
    """A server of one run's report.

    Attributes:
        key: what the first request must show; random.
        cookie: the name under which a browser keeps it. Ports share their cookies, so that each server has its own.
    """

    def __init__(self, run: Path, port: int) -> None:
        self.key, self.cookie = secrets.token_urlsafe(24), f"csg405-{secrets.token_hex(4)}"
        super().__init__((HOST, port), partial(_Handler, run))

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{HOST}:{self.server_address[1]}/?key={self.key}"

    def opened_by(self, key: str | None) -> bool:
        """Whether this is the key; in a time that tells nothing of it."""
        return secrets.compare_digest((key or "").encode(errors="replace"), self.key.encode())


def serve(run: Path, port: int) -> ReportServer:
    """A server of a run's report that is not running yet: call `serve_forever`. OSError where the port is taken; 0: any."""
    return ReportServer(run, port)


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
    if steps[0] != "report":
        return _stored(run, "/".join(steps))
    root, found = (run / "report").resolve(), run.joinpath(*steps).resolve()
    return found if found.is_relative_to(root) and found.is_file() else None


def _stored(run: Path, key: str) -> Path | None:
    """A preview or clip; None where it is not there, or the bucket that it lies in cannot be reached."""
    storage = storage_of(run)
    storage.release()  # a stage that ran meanwhile may have made it anew
    try:
        path = storage.contained(key)
    except Failure as failure:
        log.warning("%s", failure.detail)
        return None
    return path if path and path.is_file() else None


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD, whole files or one range of bytes, which browsers ask for when they seek in a film."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "csg405", ""
    timeout = 60
    server: ReportServer

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
        if self.path == "/favicon.ico":  # browsers ask for one unasked
            return self._refuse(HTTPStatus.NO_CONTENT)
        place, _, query = self.path.partition("?")
        known = self.server.opened_by(_cookies(self.headers.get_all("Cookie", [])).get(self.server.cookie))
        shown = self.server.opened_by(urllib.parse.parse_qs(query).get("key", [""])[0])
        if not (known or (place == "/" and shown)):
            return self._locked(send=send)
        if place == "/":
            return self._lead_to(PAGE)
        try:
            path = file_of(self._run, self.path)
            file = path.open("rb") if path else None
        except (ValueError, OSError):  # also one that this account may not read
            path = file = None
        if path is None or file is None:
            return self._refuse(HTTPStatus.NOT_FOUND)
        try:
            with file:
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
        self.send_header("Set-Cookie", f"{self.server.cookie}={self.server.key}; Path=/; HttpOnly; SameSite=Strict")
        self.send_header("Content-Length", "0")
        self._end()

    def _locked(self, *, send: bool) -> None:
        self.send_response(HTTPStatus.FORBIDDEN)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(_LOCKED)))
        self._end()
        if send:
            self.wfile.write(_LOCKED)

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


def _cookies(lines: list[str]) -> dict[str, str]:
    """Name -> value. The library's parser gives up at a cookie that it does not understand, and other ports' come along."""
    pairs = (pair.partition("=") for line in lines for pair in line.split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs}


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
