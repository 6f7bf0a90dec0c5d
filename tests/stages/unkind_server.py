"""A web server on this machine that behaves as badly as the real ones: it cuts off, lies, throttles, redirects."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import urlsplit

HTML = b"<!DOCTYPE html><html><head><title>Log in</title></head><body>Welcome to the hotel</body></html>"


class Unkind(BaseHTTPRequestHandler):
    """`/MANNER/name.mp4`: the manner says how the film is given out."""

    protocol_version = "HTTP/1.1"
    film: bytes = b""
    asked: "Counter[str]" = Counter()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        manner = urlsplit(self.path).path.split("/")[1]
        self.asked[manner] += self.command == "GET"
        with_status = {"gone": 410, "missing": 404, "forbidden": 403, "throttled": 429, "busy": 503, "broken": 500}
        if manner in with_status:
            self._send(b"no", "text/plain", with_status[manner])
        elif manner.startswith("to-"):
            self._redirect(manner.removeprefix("to-"))
        else:
            getattr(self, manner.replace("-", "_"))()

    def good(self) -> None:
        self._send(self.film, "video/mp4")

    def web_page(self) -> None:
        self._send(HTML, "text/html")

    def page_as_video(self) -> None:
        self._send(HTML, "video/mp4")

    def noise_as_video(self) -> None:
        self._send(bytes(range(256)) * 40, "video/mp4")

    def nothing_as_video(self) -> None:
        self._send(b"", "video/mp4")

    def half_and_close(self) -> None:
        """Announces the whole and hangs up in the middle, ranges or not."""
        self._send(self.film, "video/mp4", stop=len(self.film) // 2)

    def half_of_unknown(self) -> None:
        """Announces no length and hangs up in the middle: nothing in HTTP says that something is missing."""
        self.close_connection = True
        self._head(200, "video/mp4", None)
        self._body(self.film[: len(self.film) // 2])

    def breaks_once(self) -> None:
        """Hangs up in the middle the first time, and gives the rest when asked for it."""
        first = self.headers.get("Range", "").removeprefix("bytes=").partition("-")[0]
        if first.isdigit() and int(first) > 0:
            body = self.film[int(first) :]
            span = f"bytes {first}-{len(self.film) - 1}/{len(self.film)}"
            self._head(206, "video/mp4", len(body), {"Content-Range": span})
            self._body(body)
        elif self.asked["breaks-once"] <= 1:  # the extractor's look at the file
            self._send(self.film, "video/mp4")
        else:
            self.half_and_close()

    def silent(self) -> None:
        """Takes the request and never answers; counts the clients that hang up by themselves."""
        self.connection.settimeout(60)
        with contextlib.suppress(TimeoutError):
            self.asked["hung up"] += self.connection.recv(1) == b""
        self.close_connection = True

    def _redirect(self, where: str) -> None:
        port = cast("ThreadingHTTPServer", self.server).server_port
        targets = {
            "good": f"http://127.0.0.1:{port}/good/film.mp4",
            "private": f"http://10.0.0.1:{port}/good/film.mp4",
            "metadata": "http://169.254.169.254/latest/film.mp4",
            "file": "file:///etc/passwd",
            "ftp": "ftp://127.0.0.1/film.mp4",
        }
        self._head(302, "text/plain", 0, {"Location": targets[where]})

    def _send(self, body: bytes, kind: str, status: int = 200, stop: int | None = None) -> None:
        self._head(status, kind, len(body))
        self._body(body[:stop])
        if stop is not None:
            self.close_connection = True

    def _head(self, status: int, kind: str, length: int | None, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def _body(self, body: bytes) -> None:
        if self.command == "GET":
            self.wfile.write(body)


@contextmanager
def serving(film: bytes) -> Iterator[tuple[str, "Counter[str]"]]:
    """Yields the base URL, and how often each manner was asked for with GET."""
    asked: Counter[str] = Counter()
    handler = type("Handler", (Unkind,), {"film": film, "asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
