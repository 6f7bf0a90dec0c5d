"""A loopback HTTP server for a folder: HEAD, byte ranges, content types; what a crawler needs and no more."""

import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

CONTENT_TYPES = {
    ".mp4": "video/mp4", ".mkv": "video/x-matroska", ".webm": "video/webm", ".ts": "video/mp2t",
    ".json": "application/json",
}  # fmt: skip
_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path

    def handle(self) -> None:
        """Answer until the other side has enough: a crawler that only sniffs hangs up in the middle."""
        with suppress(ConnectionError):
            super().handle()

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _file(self) -> Path | None:
        """The file asked for: one directly in the folder, of a known kind."""
        name = unquote(urlsplit(self.path).path).removeprefix("/")
        if "/" in name or "\\" in name or name.startswith("."):
            return None
        path = self.folder / name
        return path if path.suffix in CONTENT_TYPES and path.is_file() else None

    def _span(self, size: int) -> tuple[int, int] | None:
        """First and last byte asked for; None if that cannot be satisfied."""
        match = _RANGE.match(self.headers.get("Range", ""))
        if match is None or match.groups() == ("", ""):
            return 0, size - 1
        first, last = match.groups()
        if first == "":  # the last so many bytes
            return max(0, size - int(last)), size - 1
        start, end = int(first), min(int(last) if last else size - 1, size - 1)
        return (start, end) if start <= end else None

    def _answer(self, with_body: bool) -> None:
        path = self._file()
        if path is None:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        size = path.stat().st_size
        span = self._span(size)
        if span is None:
            self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {"Content-Range": f"bytes */{size}"})
            return
        partial = "Range" in self.headers and span != (0, size - 1)
        self.send_response(HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPES[path.suffix])
        self.send_header("Content-Length", str(span[1] - span[0] + 1))
        self.send_header("Accept-Ranges", "bytes")
        if partial:
            self.send_header("Content-Range", f"bytes {span[0]}-{span[1]}/{size}")
        self.end_headers()
        if with_body:
            self._send(path, *span)

    def _send(self, path: Path, first: int, last: int) -> None:
        with path.open("rb") as file:
            file.seek(first)
            if last == path.stat().st_size - 1:
                shutil.copyfileobj(file, self.wfile)
            else:
                self.wfile.write(file.read(last - first + 1))

    def _refuse(self, status: HTTPStatus, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve the files of a folder on 127.0.0.1 at a free port while the context lasts; yields the base URL.

    URLs are `<base>/<file name>`. Only media and JSON files directly in the folder are given out.
    """
    handler = type("Handler", (_Handler,), {"folder": folder.resolve()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
