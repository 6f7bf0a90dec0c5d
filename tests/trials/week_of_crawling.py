"""A week of crawling on a clock of its own: the real pace, breaker and patience before hosts that throttle and put up bot walls."""

import random
import tempfile
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from pipeline.base.reasons import Failure, Reject
from pipeline.sources.web.ask import patiently
from pipeline.sources.web.pace import Pacer
from pipeline.sources.web.settings import Web
from tests.trials.virtual_time import VirtualClock

HOURS = 168
WORKERS = 32
_COOL_DOWN_MINUTES = 60.0
_EARLY = 1e-3  # seconds: what a clock's rounding may make of an interval


class Answer(Exception):
    """An error of HTTP, as yt-dlp's are: with its status and headers."""

    def __init__(self, status: int, words: str, retry_after: int = 0) -> None:
        super().__init__(f"Unable to download webpage: HTTP Error {status}: {words}")
        self.status = status
        self.response = type("Response", (), {"headers": {"Retry-After": str(retry_after)} if retry_after else {}})()


class Gate:
    """A worker's way to the pacer, as `pace.Gate`, but on the simulated clock."""

    def __init__(self, world: "World", who: int) -> None:
        self._world, self._who = world, who

    def turn(self, host: str) -> None:
        while (wait := self._world.pacer.ask(host, self._who)) > 0:
            self._world.clock.sleep(wait)

    def throttled(self, host: str, retry_after: float = 0.0) -> float:
        return self._world.pacer.throttled(host, self._who, retry_after)

    def bot_wall(self, host: str, detail: str) -> None:
        self._world.pacer.bot_wall(host, self._who, detail)

    def fine(self, host: str) -> None:
        self._world.pacer.fine(host, self._who)

    def done(self, host: str) -> None:
        self._world.pacer.done(host, self._who)

    def is_shut(self, host: str) -> bool:
        return self._world.pacer.is_shut(host)


@dataclass
class Host:
    """A site: when it was asked, and when it wants no more.

    Attributes:
        kept: requests of the last hour, so that a simulated week takes no memory.
        quiet_until: no request that leaves after the answer may come before.
        walls: [(begin, end)] in which everybody is asked for proof of not being a robot.
    """

    kept: deque[float] = field(default_factory=deque)
    quiet_until: float = 0.0
    walls: list[tuple[float, float]] = field(default_factory=list)
    throttle_share: float = 0.0
    most_in_an_hour: int = 0


class World:
    """Hosts, their pacer and what was seen of it."""

    def __init__(self, state: Path, web: Web, hosts: int, dice: random.Random) -> None:
        self.clock, self.dice, self.web = VirtualClock(), dice, web
        self._state = state
        self.began = self.clock.now
        self.counts: Counter[str] = Counter()
        self.hosts = {f"host{number}.org": self._host() for number in range(hosts)}
        self.restart()

    def restart(self) -> None:
        """Another driver: of the one before it knows what is in the file alone."""
        self.pacer = Pacer(self._state, self.web, self.clock, self.dice.random)

    def _host(self) -> Host:
        begins = sorted(self.began + self.dice.uniform(0, HOURS * 3600) for _ in range(self.dice.randrange(4)))
        walls = [(begin, begin + self.dice.uniform(600, 2.5 * 3600)) for begin in begins]
        return Host(walls=walls, throttle_share=self.dice.choice((0.0, 0.002, 0.02)))

    def ask(self, name: str) -> None:
        """One request to a host; raises what its answer would make yt-dlp raise."""
        host, left = self.hosts[name], self.clock.now
        self._look_at(host, left)
        self.clock.sleep(self.dice.uniform(0.3, 8.0))
        now = self.clock.now
        if any(begin <= now < end for begin, end in host.walls):
            self._ask_for_quiet(host, left, _COOL_DOWN_MINUTES * 60)
            raise RuntimeError("Sign in to confirm you're not a bot. Use --cookies-from-browser")
        roll = self.dice.random()
        if roll < host.throttle_share:
            retry_after = self.dice.choice((0, 0, 120, 1800))
            self._ask_for_quiet(host, left, max(retry_after, self.web.throttle_wait_seconds))
            raise Answer(self.dice.choice((429, 403, 503)), "Too Many Requests", retry_after)
        if roll > 0.99:
            raise RuntimeError("[youtube] Video unavailable" if roll > 0.995 else "connection reset by peer")

    def _look_at(self, host: Host, now: float) -> None:
        interval = 3600 / self.web.requests_per_hour
        self.counts["requests"] += 1
        self.counts["too early"] += bool(host.kept) and now - host.kept[-1] < interval - _EARLY
        self.counts["not quiet"] += now < host.quiet_until - _EARLY
        host.kept.append(now)
        while host.kept[0] < now - 3600:
            host.kept.popleft()
        host.most_in_an_hour = max(host.most_in_an_hour, len(host.kept))

    def _ask_for_quiet(self, host: Host, left: float, seconds: float) -> None:
        """An answer to what left before an earlier answer of this kind came says nothing new."""
        self.counts["asked for quiet"] += 1
        if left >= host.quiet_until:
            host.quiet_until = self.clock.now + seconds


def week(seed: int, links: int = 100_000, hosts: int = 20) -> dict[str, Any]:
    """Crawl so many links in about a week of simulated time, and return what was seen.

    Returns: `links`, `hours`, `requests`, `outcomes` by reason, `restarts`; what must be zero: `too_early` (requests closer to
    the one before than the pace), `not_quiet` (requests to a host that had asked for a pause), `over_the_rate` (hosts asked
    more often in some hour than `rate`); `megabytes` and `open_files` at hours 1 and last.
    """
    dice = random.Random(seed)
    rate = max(1.0, 2.2 * links / hosts / HOURS)
    web = Web(requests_per_hour=rate, cool_down_minutes=_COOL_DOWN_MINUTES, cool_downs=5)
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "pace.json", web, hosts, dice)
        order = iter([dice.choice(list(world.hosts)) for _ in range(links)])
        seen: dict[int, tuple[float, int]] = {}
        outcomes: Counter[str] = Counter()

        def each_hour(hour: int) -> None:
            process = psutil.Process()
            seen[hour] = process.memory_info().rss / 2**20, process.num_fds()
            if hour % 24 == 0:
                world.restart()
                for host in world.hosts.values():  # a bot wall is not written down: the next driver meets it anew
                    host.quiet_until = 0.0

        world.clock.run([_worker(world, who, order, outcomes) for who in range(WORKERS)], each_hour)
        hours = (world.clock.now - world.began) / 3600
    first, last = seen[min(seen)], seen[max(seen)]
    return {
        "links": links,
        "hours": round(hours, 1),
        "rate": round(rate, 2),
        "requests": world.counts["requests"],
        "asked_for_quiet": world.counts["asked for quiet"],
        "outcomes": dict(outcomes),
        "restarts": max(seen) // 24,
        "too_early": world.counts["too early"],
        "not_quiet": world.counts["not quiet"],
        "over_the_rate": sum(host.most_in_an_hour > rate + 1 for host in world.hosts.values()),
        "megabytes": (round(first[0], 1), round(last[0], 1)),
        "open_files": (first[1], last[1]),
    }


def _worker(world: World, who: int, order: Iterator[str], outcomes: "Counter[str]") -> Any:
    gate: Any = Gate(world, who)

    def work() -> None:
        for host in order:
            try:
                patiently(gate, host, world.web, lambda host=host: world.ask(host))  # type: ignore[misc]
            except (Reject, Failure) as outcome:
                outcomes[outcome.reason.code] += 1
            else:
                outcomes["ok"] += 1

    return work
