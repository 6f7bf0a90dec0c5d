"""Pace: one token bucket a host, kept in the driver, with the back-off of hosts that throttle and the breaker for bot walls.

The bucket holds one token (the generic cell rate algorithm without a burst): two requests to a host are never closer
than an hour divided by `web.requests_per_hour`, so no window of an hour sees more than that, across all workers. When the next
request may leave is kept in `pace.json` of the run, under a lock: restarts and drivers of other shards share it.
"""

import hmac
import json
import random
import secrets
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock

from pipeline.base.reasons import Failure, Reason
from pipeline.sources.web.settings import Web

ASKING = 2  # extractions of one host at a time: what is in flight when a bot wall shows up cannot be called back
_STRICTER = 1 + 1e-6  # so that a window with both its ends holds no more either
_LOOK_SECONDS = 1.0  # how often one who waits looks at the clock, and at what other drivers wrote

Address = tuple[int, str]  # port on this machine, password


@dataclass
class _Host:
    pause: float = 0.0  # of the last back-off, seconds
    paused_until: float = 0.0
    walls: int = 0  # bot walls in a row
    shut_until: float = 0.0  # 0: open; inf: for good
    detail: str = ""  # what the wall said
    asking: set[Hashable] = field(default_factory=set)


class Pacer:
    """Who may ask which host when. Thread-safe; clocks and dice can be given.

    Args:
        state: file that outlives the process: {host: earliest time of the next request}.
        web: the pace.
        clock: wall time in seconds, which restarts share.
        dice: 0..1.
    """

    def __init__(
        self,
        state: Path,
        web: Web,
        clock: Callable[[], float] = time.time,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._state, self._web, self._clock, self._dice = state, web, clock, dice
        self._hosts: dict[str, _Host] = {}
        self._lock = filelock.FileLock(state.with_suffix(".lock"))
        self.changed = threading.Condition()
        state.parent.mkdir(parents=True, exist_ok=True)

    def ask(self, host: str, who: Hashable) -> float:
        """0 when `who` may ask the host now, else seconds after which to ask again. Raises Failure(BOT_WALL)."""
        with self.changed:
            known = self._open(host)
            now = self._clock()
            if now < known.shut_until:
                return known.shut_until - now
            others = known.asking - {who}
            if len(others) >= (1 if known.walls else ASKING):  # after a wall one request tries, alone
                return _LOOK_SECONDS
            wait = self._take(host, now)
            if wait == 0:
                known.asking.add(who)
            return wait

    def is_shut(self, host: str) -> bool:
        """Whether the breaker is open: the host has shown a bot wall, and no request may go out."""
        with self.changed:
            return host in self._hosts and self._clock() < self._hosts[host].shut_until

    def done(self, host: str, who: Hashable) -> None:
        """The turn is over, and says nothing about the host."""
        with self.changed:
            self._hosts.setdefault(host, _Host()).asking.discard(who)
            self.changed.notify_all()

    def fine(self, host: str, who: Hashable) -> None:
        """The host answered as it should: back-off and breaker start afresh."""
        with self.changed:
            known = self._hosts.setdefault(host, _Host())
            if self._clock() >= max(known.paused_until, known.shut_until):  # not the answer to an earlier request
                known.pause, known.walls, known.shut_until = 0.0, 0, 0.0
            self.done(host, who)

    def throttled(self, host: str, who: Hashable, retry_after: float = 0.0) -> float:
        """Record that the host throttled: no request goes out for a while. Returns the pause, in seconds."""
        with self.changed:
            known, now, web = self._hosts.setdefault(host, _Host()), self._clock(), self._web
            if now >= known.paused_until:  # else: an answer to a request that left before the pause began
                known.pause = min(web.throttle_wait_max_seconds, known.pause * 2 or web.throttle_wait_seconds)
            pause = max(known.pause, min(retry_after, web.throttle_wait_max_seconds))
            known.paused_until = max(known.paused_until, now + pause)
            self._delay(host, known.paused_until)
            self.done(host, who)
            return known.paused_until - now

    def bot_wall(self, host: str, who: Hashable, detail: str) -> None:
        """Record a bot wall: no request goes out until the cool-down is over, or ever again in this run."""
        with self.changed:
            known, now, web = self._hosts.setdefault(host, _Host()), self._clock(), self._web
            if now >= known.shut_until:  # else: an answer to a request that left before the breaker opened
                known.walls += 1
                known.detail = detail
                rest = web.cool_down_minutes and known.walls <= web.cool_downs
                known.shut_until = now + web.cool_down_minutes * 60 if rest else float("inf")
            self.done(host, who)

    def left(self, who: Hashable) -> None:
        """Release the turns of a client that is gone."""
        with self.changed:
            for host in self._hosts:
                self.done(host, who)

    def _open(self, host: str) -> _Host:
        known = self._hosts.setdefault(host, _Host())
        if known.shut_until == float("inf"):
            raise Failure(Reason.BOT_WALL, wall_text(host, known.detail))
        return known

    def _take(self, host: str, now: float) -> float:
        """Take the host's token: 0, or seconds until there is one."""
        interval = 3600 / self._web.requests_per_hour * _STRICTER
        longest = max(interval * (1 + self._web.jitter), self._web.throttle_wait_max_seconds)
        with self._lock:
            times = self._read()
            earliest = min(times.get(host, 0.0), now + longest)  # a clock that was set back must not stop us for days
            if now < earliest:
                return earliest - now
            times[host] = now + interval * (1 + self._web.jitter * self._dice())
            self._write({name: at for name, at in times.items() if at > now})
        return 0.0

    def _delay(self, host: str, until: float) -> None:
        with self._lock:
            times = self._read()
            times[host] = max(times.get(host, 0.0), until)
            self._write(times)

    def _read(self) -> dict[str, float]:
        try:
            content = json.loads(self._state.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return (
            {k: float(v) for k, v in content.items() if isinstance(v, int | float)} if isinstance(content, dict) else {}
        )

    def _write(self, times: dict[str, float]) -> None:
        temporary = self._state.with_suffix(".new")  # one writer at a time: we hold the lock
        temporary.write_text(json.dumps(times), encoding="utf-8")
        temporary.replace(self._state)  # not fsynced: after a power cut an hour's pace matters little


def wall_text(host: str, detail: str) -> str:
    """A bot wall in one line; what to do about it is said where the stage stops."""
    return f"{host} asks for proof of not being a robot ({detail})"


@contextmanager
def serving(run: Path, web: Web, clock: Callable[[], float] = time.time) -> Iterator[Address]:
    """Serve the run's pacer to the workers of this machine; yields what their `Gate` needs."""
    pacer = Pacer(run / "pace.json", web, clock)
    password = secrets.token_hex(16)
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.pacer, server.password = pacer, password
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1], password
        finally:
            server.closing = True
            with pacer.changed:
                pacer.changed.notify_all()
            server.shutdown()
            thread.join()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False  # a worker that never hangs up must not keep the driver
    request_queue_size = 256
    pacer: Pacer
    password: str
    closing = False


class _Handler(socketserver.StreamRequestHandler):
    """One worker's connection: a line of JSON for each question, one for each answer."""

    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        try:
            if not hmac.compare_digest(self.rfile.readline(100).strip(), self.server.password.encode()):
                return
            while line := self.rfile.readline(4096):
                self.wfile.write(json.dumps(self._answer(json.loads(line))).encode() + b"\n")
        except (OSError, ValueError):
            return  # the worker is gone, or was none
        finally:
            self.server.pacer.left(self)

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        pacer, host = self.server.pacer, asked["host"]
        try:
            match asked["do"]:
                case "turn":
                    self._wait_for_turn(host)
                case "throttled":
                    return {"seconds": pacer.throttled(host, self, asked["retry_after"])}
                case "bot_wall":
                    pacer.bot_wall(host, self, asked["detail"])
                case "fine":
                    pacer.fine(host, self)
                case "done":
                    pacer.done(host, self)
                case "is_shut":
                    return {"shut": pacer.is_shut(host)}
        except Failure as failure:
            return {"wall": failure.detail}
        except OSError as error:  # a full disk, say: a request must not leave uncounted
            return {"failed": f"{error}"}
        return {}

    def _wait_for_turn(self, host: str) -> None:
        pacer = self.server.pacer
        with pacer.changed:
            while (wait := pacer.ask(host, self)) > 0 and not self.server.closing:
                pacer.changed.wait(min(wait, _LOOK_SECONDS))


class Gate:
    """A worker's way to the driver's pacer. One thread at a time."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._lines: Any = None

    def turn(self, host: str) -> None:
        """Wait until the host may be asked. End the turn with `fine`, `throttled`, `bot_wall` or `done`.

        Raises:
            Failure: BOT_WALL when the host wants none of us; NETWORK when the driver is gone.
        """
        self._ask("turn", host)

    def throttled(self, host: str, retry_after_seconds: float = 0.0) -> float:
        """Tell that the host asked to slow down; returns for how long all of its requests pause, seconds."""
        return float(self._ask("throttled", host, retry_after=retry_after_seconds)["seconds"])

    def bot_wall(self, host: str, detail: str) -> None:
        """Tell that the host asked for proof of not being a robot."""
        self._ask("bot_wall", host, detail=detail[:300])

    def fine(self, host: str) -> None:
        """Tell that the host answered, whatever it said of the video."""
        self._ask("fine", host)

    def done(self, host: str) -> None:
        """Give the turn back without a word about the host."""
        self._ask("done", host)

    def is_shut(self, host: str) -> bool:
        """Whether a bot wall keeps everybody from asking the host now; takes no turn."""
        return bool(self._ask("is_shut", host)["shut"])

    def _ask(self, do: str, host: str, **more: Any) -> dict[str, Any]:
        with self._lock:
            try:
                lines = self._connected()
                lines.write(json.dumps({"do": do, "host": host, **more}).encode() + b"\n")
                lines.flush()
                answer = json.loads(lines.readline() or b"null")
            except (OSError, ValueError) as error:
                raise Failure(Reason.NETWORK, "the driver that keeps the pace is gone") from error
        if answer is None:
            raise Failure(Reason.NETWORK, "the driver that keeps the pace is gone")
        if "wall" in answer:
            raise Failure(Reason.BOT_WALL, answer["wall"])
        if "failed" in answer:
            raise Failure(Reason.NOT_WRITABLE, f"the pace cannot be written down: {answer['failed']}")
        return dict(answer)

    def _connected(self) -> Any:
        if self._lines is None:
            port, password = self._address
            connection = (
                socket.socket()
            )  # without a timeout: a turn may be an hour away; when the driver dies, it closes
            connection.connect(("127.0.0.1", port))
            self._lines = connection.makefile("rwb")
            self._lines.write(password.encode() + b"\n")
        return self._lines
