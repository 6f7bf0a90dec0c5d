"""The server: plain HTTP on this machine, with YouTube's hosts as the first step of every path."""

import base64
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.youtube import pages
from tests.youtube.faults import PAGE, Refusal, Trouble
from tests.youtube.planted import CREATIVE_COMMONS, Plan, Video

_PLACES = {
    "/youtubei/v1/search": "search",
    "/youtubei/v1/player": "player",
    "/youtubei/v1/next": "next",
    "/youtubei/v1/browse": "browse",
    "/youtubei/v1/navigation/resolve_url": "resolve",
    "/watch": "watch",
    "/videoplayback": "media",
    "/playlist": "playlist",
    "/embed": "embed",
}
_CC_FILTER = bytes([0x30, 0x01])  # field 6 of the search's filters
_HD_FILTER = bytes([0x20, 0x01])  # field 4
_BLOCK = 16 << 10


@dataclass
class Request:
    """A request, noted when it comes: `place` is search, player, watch, media ...; `at` in seconds of a monotonic clock.

    `status` and `sent` (bytes of the body) follow as it is answered; `first_byte` is where a range begins, None without one;
    `walled` where the answer is the bot wall.
    """

    host: str
    path: str
    at: float
    place: str
    video: str
    status: int = 0
    first_byte: int | None = None
    key: str = ""
    sent: int = 0
    walled: bool = False


@dataclass
class _Throttle:
    left: int
    status: int
    retry_after: float | None


@dataclass
class YouTube:
    """The site: its plan, its state and its log.

    Attributes:
        mirror: its address, for `web.mirror`.
        requests: everything that was asked of it, in order of arrival.
        wall_after: players given out before a bot wall comes up; None for no wall.
        bytes_per_second: of a stream's connection; 0 for as fast as it goes.
        faults: whether planted faults are on.
        stall_seconds: silence of a stream that stalls.
    """

    plan: Plan
    mirror: str = ""
    requests: list[Request] = field(default_factory=list)
    wall_after: int | None = None
    bytes_per_second: float = 0.0
    faults: bool = True
    stall_seconds: float = 5.0
    elsewhere: int = 0  # a port of this machine that nobody may be led to
    _throttles: dict[str, _Throttle] = field(default_factory=dict)
    _players: int = 0
    _hits: "Counter[str]" = field(default_factory=Counter)
    _burnt: set[str] = field(default_factory=set)
    _keys: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def throttle(self, place: str, times: int, status: int = 429, retry_after: float | None = None) -> None:
        """Answer the next requests for a place (search, player, media, watch) with 429 or another status."""
        with self._lock:
            self._throttles[place] = _Throttle(times, status, retry_after)

    def lift_wall(self) -> None:
        """Believe from now on that nobody is a bot."""
        with self._lock:
            self.wall_after = None

    def asked(self, place: str, video: str = "") -> list[Request]:
        """The requests for a place, or for one video there."""
        return [r for r in list(self.requests) if r.place == place and (not video or r.video == video)]

    def throttled(self, place: str) -> _Throttle | None:
        with self._lock:
            found = self._throttles.get(place)
            if found is None or found.left <= 0:
                return None
            found.left -= 1
            return found

    def walled(self, counts: bool) -> bool:
        """Whether the wall is up; `counts` where this is a player to be given out."""
        with self._lock:
            up = self.wall_after is not None and self._players >= self.wall_after
            self._players += counts and not up
            return up

    def trouble(self, video: Video, at_player: bool, counts: bool = True) -> Trouble | None:
        """The trouble that hits this request, if any is left."""
        fault = video.fault
        if not self.faults or not isinstance(fault, Trouble) or fault.at_player != at_player:
            return None
        with self._lock:
            if video.times and self._hits[video.id] >= video.times:
                return None
            self._hits[video.id] += counts
            return fault

    def key(self) -> str:
        with self._lock:
            self._keys += 1
            return f"k{self._keys}"

    def burn(self, key: str) -> None:
        with self._lock:
            self._burnt.add(key)

    def burnt(self, key: str) -> bool:
        with self._lock:
            return key in self._burnt


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    youtube: YouTube

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        _, host, rest = (self.path + "/").split("/", 2)
        address = urlsplit("/" + rest[:-1])
        self._query = {name: values[0] for name, values in parse_qs(address.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        self._json = json.loads(body) if body else {}
        self._place = _PLACES.get("/embed" if address.path.startswith("/embed/") else address.path, "other")
        self._video = str(self._query.get("v") or self._query.get("id") or self._json.get("videoId") or "")
        self._asked = Request(host, address.geturl(), time.monotonic(), self._place, self._video)
        self._asked.key = self._query.get("key", "")
        self.youtube.requests.append(self._asked)
        try:
            if throttle := self.youtube.throttled(self._place):
                after = {} if throttle.retry_after is None else {"Retry-After": f"{throttle.retry_after:g}"}
                self._send(b"{}", "application/json", throttle.status, after)
            else:
                getattr(self, f"_{self._place}")()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    # pages

    def _search(self) -> None:
        at, query, first = 0, str(self._json.get("query", "")), True
        if "continuation" in self._json:
            _, number, query = pages.named(self._json["continuation"]).split(":", 2)
            at, first = int(number), False
        plan = self.youtube.plan
        found = [plan.videos[name] for name in plan.queries.get(query, [])]
        filters = base64.urlsafe_b64decode(str(self._json.get("params") or "") + "==")
        if _CC_FILTER in filters:
            found = [video for video in found if video.licence == CREATIVE_COMMONS]
        if _HD_FILTER in filters:
            found = [video for video in found if any(form.height >= 720 for form in video.formats)]
        self._answer(pages.search(found, query, at, first))

    def _player(self) -> None:
        video = self.youtube.plan.videos.get(self._video)
        trouble = self.youtube.trouble(video, at_player=True) if video else None
        if trouble in (Trouble.PLAYER_429, Trouble.PLAYER_503):
            self._send(b"{}", "application/json", 429 if trouble is Trouble.PLAYER_429 else 503)
        elif trouble is Trouble.PLAYER_PAGE:
            self._send(PAGE, "text/html")
        else:
            self._answer(self._played(video, trouble, counts=True))

    def _watch(self) -> None:
        video = self.youtube.plan.videos.get(self._video)
        trouble = self.youtube.trouble(video, at_player=True, counts=False) if video else None
        shown = trouble if trouble is Trouble.LIVE else None
        self._send(pages.watch(video, self._played(video, shown, counts=False)), "text/html")

    def _played(self, video: Video | None, trouble: Trouble | None, counts: bool) -> pages.Json:
        """The player's answer; only those of the API count for the wall."""
        if video is None:
            return pages.player(Video(self._video), "", Refusal.UNAVAILABLE, None)
        refusal = video.fault if isinstance(video.fault, Refusal) and self.youtube.faults else None
        if self.youtube.walled(counts):
            refusal = Refusal.BOT_WALL
            self._asked.walled = True
        return pages.player(video, self.youtube.key(), refusal, trouble)

    def _next(self) -> None:
        self._answer(pages.next_data(self.youtube.plan.videos.get(self._video)))

    def _browse(self) -> None:
        at, name, first = 0, str(self._json.get("browseId", "")).removeprefix("VL"), True
        if "continuation" in self._json:
            _, number, name = pages.named(self._json["continuation"]).split(":", 2)
            at, first = int(number), False
        self._answer(pages.playlist(name, self._listed(name), at, first))

    def _playlist(self) -> None:
        name = self._query.get("list", "")
        shown = json.dumps(pages.playlist(name, self._listed(name), 0, True)).replace("</", "<\\/")
        page = f"<script>ytcfg.set({json.dumps(pages.CLIENT)});</script><script>var ytInitialData = {shown};</script>"
        self._send(page.encode(), "text/html")

    def _resolve(self) -> None:
        name = parse_qs(urlsplit(str(self._json.get("url", ""))).query).get("list", [""])[0]
        self._answer({"endpoint": {"browseEndpoint": {"browseId": f"VL{name}"}}})

    def _listed(self, name: str) -> list[Video]:
        plan = self.youtube.plan
        return [plan.videos[video] for video in plan.playlists.get(name, [])]

    def _embed(self) -> None:
        self._send(pages.watch(None, None), "text/html")

    def _other(self) -> None:
        """The home page, and the player's script for clients that can run one."""
        path = urlsplit(self._asked.path).path
        if path == "/":
            self._send(pages.watch(None, None), "text/html")
        elif path == "/iframe_api":
            self._send(pages.IFRAME_API, "text/javascript")
        elif path.startswith("/s/player/"):
            self._send(pages.PLAYER_SCRIPT, "text/javascript")
        else:
            self._send(b"no", "text/plain", 404)

    # streams

    def _media(self) -> None:
        youtube = self.youtube
        video = youtube.plan.videos.get(self._video)
        form = video.form(int(self._query.get("itag", 0)), self._query.get("track", "")) if video else None
        if video is None or form is None:
            self._send(b"no", "text/plain", 404)
            return
        content = video.content(form)
        if youtube.burnt(self._asked.key):
            self._send(b"no", "text/plain", 403)
            return
        trouble = youtube.trouble(video, at_player=False)
        statuses = {Trouble.MEDIA_429: 429, Trouble.MEDIA_503: 503, Trouble.MEDIA_403: 403}
        wrong = {Trouble.PAGE_AS_VIDEO: PAGE, Trouble.EMPTY_AS_VIDEO: b""}
        if trouble in statuses:
            self._send(b"no", "text/plain", statuses[trouble])
        elif trouble is Trouble.MEDIA_429_RETRY_AFTER:
            self._send(b"no", "text/plain", 429, {"Retry-After": "1"})
        elif trouble is not None and trouble.name.startswith("TO_"):
            self._redirect(trouble)
        elif trouble is Trouble.NOISE_AS_VIDEO:
            self._stream(random.Random(video.id).randbytes(len(content)), form.mime)
        elif trouble in wrong:
            self._send(wrong[trouble], "video/mp4")
        else:
            self._stream(content, form.mime, trouble)

    def _stream(self, content: bytes, mime: str, trouble: Trouble | None = None) -> None:
        """Send what the range asks for, in the trouble's way."""
        if trouble is Trouble.ANNOUNCES_LESS:
            content = content[: len(content) * 2 // 3]
        length = len(content) + (5000 if trouble is Trouble.ANNOUNCES_MORE else 0)
        first, last = self._range(length)
        if first >= length:
            self._send(b"", "text/plain", 416, {"Content-Range": f"bytes */{length}"})
            return
        body = content[first : last + 1]
        kind = mime.partition(";")[0]
        halfway = (Trouble.TRUNCATED, Trouble.ENDS_EARLY, Trouble.STALLS, Trouble.MEDIA_403_MIDWAY)
        if trouble is Trouble.ENDS_EARLY:
            self._head(200, kind, None)
            body = content
        elif self._asked.first_byte is None:
            self._head(200, kind, last - first + 1)
        else:
            self._head(206, kind, last - first + 1, {"Content-Range": f"bytes {first}-{last}/{length}"})
        self._body(body[: len(body) // 2] if trouble in halfway else body)
        if trouble is Trouble.MEDIA_403_MIDWAY:
            self.youtube.burn(self._asked.key)
        if trouble is Trouble.STALLS:
            time.sleep(self.youtube.stall_seconds)
        if trouble in halfway or trouble is Trouble.ANNOUNCES_MORE:
            self.close_connection = True

    def _range(self, length: int) -> tuple[int, int]:
        """First and last byte of the range asked for; the whole without one."""
        text = self.headers.get("Range", "")
        if not text.startswith("bytes="):
            return 0, length - 1
        first, _, last = text.removeprefix("bytes=").partition("-")
        self._asked.first_byte = int(first)
        return int(first), min(int(last) if last else length - 1, length - 1)

    def _redirect(self, trouble: Trouble) -> None:
        here = f"/videoplayback?{urlsplit(self._asked.path).query}"
        targets = {
            Trouble.TO_FILE: "file:///etc/passwd",
            Trouble.TO_METADATA: "http://169.254.169.254/latest/meta-data/",
            Trouble.TO_PRIVATE: "http://10.0.0.1/film.mp4",
            Trouble.TO_LOOPBACK: f"http://127.0.0.1:{self.youtube.elsewhere}/film.mp4",
            Trouble.TO_OTHER_HOST: f"https://rr9---sn-other.googlevideo.com{here}",
        }
        self._send(b"", "text/plain", 302, {"Location": targets[trouble]})

    # HTTP

    def _answer(self, value: pages.Json) -> None:
        self._send(json.dumps(value).encode(), "application/json")

    def _send(self, body: bytes, kind: str, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._head(status, kind, len(body), headers)
        self._body(body)

    def _head(self, status: int, kind: str, length: int | None, headers: dict[str, str] | None = None) -> None:
        self._asked.status = status
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        else:
            self.send_header("Connection", "close")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def _body(self, body: bytes) -> None:
        if self.command == "HEAD":
            return
        for at in range(0, len(body), _BLOCK):
            block = body[at : at + _BLOCK]
            self.wfile.write(block)
            self._asked.sent += len(block)
            if self.youtube.bytes_per_second and self._place == "media":
                time.sleep(len(block) / self.youtube.bytes_per_second)


class _Elsewhere(BaseHTTPRequestHandler):
    """What no redirect may reach: it notes that it was."""

    youtube: YouTube

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.youtube.requests.append(Request("127.0.0.1", self.path, time.monotonic(), "elsewhere", "", 200))
        self.send_response(200)
        self.end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def serve(plan: Plan) -> Iterator[YouTube]:
    """Run the site while the block runs."""
    youtube = YouTube(plan)
    for video in plan.videos.values():  # drawn before anybody waits for an answer
        for form in video.formats:
            video.content(form)
    servers = [
        _Server(("127.0.0.1", 0), type("Handler", (cls,), {"youtube": youtube})) for cls in (_Handler, _Elsewhere)
    ]
    youtube.mirror = f"http://127.0.0.1:{servers[0].server_address[1]}"
    youtube.elsewhere = servers[1].server_address[1]
    threads = [threading.Thread(target=s.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True) for s in servers]
    for thread in threads:
        thread.start()
    try:
        yield youtube
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()
