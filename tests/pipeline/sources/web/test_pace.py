"""Pace: never above the rate in any hour, pauses and the breaker hold for everybody, and nobody hangs."""

import bisect
import multiprocessing
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.sources.web.ask import patiently
from pipeline.sources.web.pace import Address, Gate, Pacer, serving
from pipeline.sources.web.settings import Web

HOST = "youtube.com"


class Clock:
    """Simulated wall time."""

    def __init__(self) -> None:
        self.now = 1.7e9

    def __call__(self) -> float:
        return self.now


def granted(pacer: Pacer, clock: Clock, until: float, idle: Callable[[], float] = lambda: 0.0) -> list[float]:
    """Grants to one who asks as often as it may, and is idle for a while now and then."""
    grants = []
    while clock.now < until:
        wait = pacer.ask(HOST, "one")
        if wait == 0:
            grants.append(clock.now)
            pacer.fine(HOST, "one")
            wait = idle()
        clock.now += wait
    return grants


def most_in_an_hour(grants: list[float]) -> int:
    """Of any window of 3600 s, both its ends included."""
    return max(bisect.bisect_right(grants, at + 3600) - i for i, at in enumerate(grants))


@pytest.mark.parametrize("jitter", [0.0, 0.2, 2.0])
@pytest.mark.parametrize("restarts", [1, 40])
def test_no_hour_sees_more_than_its_rate(tmp_path: Path, jitter: float, restarts: int) -> None:
    clock, dice = Clock(), random.Random(405)
    began, grants = clock.now, []
    idle = lambda: dice.choice((0.0, 0.0, 0.0, 1.0, 60.0, 900.0))  # noqa: E731
    for number in range(restarts):
        pacer = Pacer(tmp_path / "pace.json", Web(jitter=jitter), clock, dice.random)
        grants += granted(pacer, clock, began + 5 * 3600 * (number + 1) / restarts, idle if number % 2 else float)
    assert most_in_an_hour(grants) <= 300
    if restarts == 1:  # it is no slower than it has to be: jitter alone makes the pauses longer
        assert len(grants) == pytest.approx(5 * 300 / (1 + jitter / 2), rel=0.05)


def test_drivers_side_by_side_share_the_bucket(tmp_path: Path) -> None:
    clock = Clock()
    pacers = [Pacer(tmp_path / "pace.json", Web(jitter=0), clock) for _ in range(3)]
    grants = []
    while clock.now < 1.7e9 + 5400:
        for pacer in pacers:
            if pacer.ask(HOST, "w") == 0:
                grants.append(clock.now)
                pacer.fine(HOST, "w")
        clock.now += 3
    assert most_in_an_hour(grants) <= 300 and len(grants) > 350


def test_hosts_have_buckets_of_their_own(tmp_path: Path) -> None:
    pacer = Pacer(tmp_path / "pace.json", Web(), Clock())
    assert [pacer.ask(host, "w") for host in ("a.org", "b.org")] == [0, 0]
    pacer.done("a.org", "w")
    assert pacer.ask("a.org", "w") >= 12


def test_a_clock_set_back_or_a_broken_file_stops_nobody_for_long(tmp_path: Path) -> None:
    clock = Clock()
    Pacer(tmp_path / "pace.json", Web(throttle_wait_max_seconds=60), clock).ask(HOST, "w")
    clock.now -= 1e6
    assert Pacer(tmp_path / "pace.json", Web(throttle_wait_max_seconds=60), clock).ask(HOST, "w") <= 60
    (tmp_path / "pace.json").write_text("[half")
    assert Pacer(tmp_path / "pace.json", Web(), clock).ask(HOST, "w") == 0


def test_a_throttle_pauses_everybody_and_doubles(tmp_path: Path) -> None:
    clock, web = Clock(), Web(throttle_wait_seconds=60, throttle_wait_max_seconds=200, requests_per_hour=3600, jitter=0)
    pacer = Pacer(tmp_path / "pace.json", web, clock)
    pauses = []
    for _ in range(4):
        assert pacer.ask(HOST, "a") == 0
        pauses.append(pacer.throttled(HOST, "a"))
        assert pacer.throttled(HOST, "b") == pytest.approx(
            pauses[-1]
        )  # in flight before: the same pause, no longer one
        assert pacer.ask(HOST, "c") == pytest.approx(pauses[-1])
        assert Pacer(tmp_path / "pace.json", web, clock).ask(HOST, "c") == pytest.approx(pauses[-1])  # after a restart
        clock.now += pauses[-1]
    assert pauses == pytest.approx([60, 120, 200, 200])
    assert pacer.ask(HOST, "a") == 0
    pacer.fine(HOST, "a")
    clock.now += 2
    assert pacer.throttled(HOST, "a") == pytest.approx(60)
    clock.now += 60
    assert pacer.throttled(HOST, "a", retry_after=150) == pytest.approx(150)
    clock.now += 150
    assert pacer.throttled(HOST, "a", retry_after=1e6) == pytest.approx(200)


def test_behind_a_bot_wall_nobody_asks_again(tmp_path: Path) -> None:
    clock = Clock()
    pacer = Pacer(tmp_path / "pace.json", Web(requests_per_hour=1e6), clock)
    asking = [who for who in "abcdefgh" if not clock.__setattr__("now", clock.now + 1) and pacer.ask(HOST, who) == 0]
    assert len(asking) == 2  # what is in flight when the wall shows up
    pacer.bot_wall(HOST, asking[0], "not a bot")
    for who in "abcdefgh":
        with pytest.raises(Failure, match="not a bot") as caught:
            pacer.ask(HOST, who)
        assert caught.value.reason is Reason.BOT_WALL
    assert pacer.is_shut(HOST) and not pacer.is_shut("other.org")


def test_after_a_cool_down_one_request_tries(tmp_path: Path) -> None:
    clock, web = Clock(), Web(requests_per_hour=3600, jitter=0, cool_down_minutes=10, cool_downs=2)
    pacer = Pacer(tmp_path / "pace.json", web, clock)
    assert pacer.ask(HOST, "a") == 0
    pacer.bot_wall(HOST, "a", "no")
    pacer.bot_wall(HOST, "b", "no")  # was in flight: the same wall
    assert pacer.ask(HOST, "a") == pytest.approx(600) and pacer.is_shut(HOST)
    clock.now += 601
    assert pacer.ask(HOST, "a") == 0 and not pacer.is_shut(HOST)
    clock.now += 5
    assert pacer.ask(HOST, "b") > 0  # one tries
    pacer.fine(HOST, "a")
    assert pacer.ask(HOST, "b") == 0
    clock.now += 2
    assert pacer.ask(HOST, "c") == 0  # open again
    for _ in range(2):
        pacer.bot_wall(HOST, "b", "no")
        clock.now += 601
    pacer.bot_wall(HOST, "b", "no")
    with pytest.raises(Failure):
        pacer.ask(HOST, "a")


def test_who_dies_gives_its_turn_back(tmp_path: Path) -> None:
    clock = Clock()
    pacer = Pacer(tmp_path / "pace.json", Web(requests_per_hour=3600), clock)
    for who in "ab":
        assert pacer.ask(HOST, who) == 0
        clock.now += 2
    assert pacer.ask(HOST, "c") > 0
    pacer.left("a")
    assert pacer.ask(HOST, "c") == 0


# Between processes


def turns(address: Address, count: int, times: "multiprocessing.Queue[float]") -> None:
    gate = Gate(address)
    for _ in range(count):
        gate.turn(HOST)
        times.put(time.time())
        gate.fine(HOST)


def test_workers_share_one_bucket_and_a_killed_one_takes_no_turn_along(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    times: multiprocessing.Queue[float] = context.Queue()
    with serving(tmp_path, Web(requests_per_hour=3600 * 50, jitter=0)) as address:
        dead = [Gate(address) for _ in range(2)]
        for gate in dead:
            gate.turn(HOST)
        workers = [context.Process(target=turns, args=(address, 10, times)) for _ in range(3)]
        for worker in workers:
            worker.start()
        time.sleep(0.3)
        for gate in dead:
            gate._lines.close()  # what the kernel does for a process that was killed
            del gate._lines
        found = sorted(times.get(timeout=30) for _ in range(30))
        for worker in workers:
            worker.join(10)
    assert found[-1] - found[0] >= 29 * 0.02 - 0.01
    assert all(worker.exitcode == 0 for worker in workers)


def test_a_worker_that_waits_notices_the_end_of_the_driver(tmp_path: Path) -> None:
    failures: list[Failure] = []

    def wait(gate: Gate) -> None:
        try:
            gate.turn(HOST)
            gate.turn(HOST)
        except Failure as failure:
            failures.append(failure)

    with serving(tmp_path, Web()) as address:
        thread = threading.Thread(target=wait, args=(Gate(address),))
        thread.start()
        time.sleep(0.2)
        assert thread.is_alive()
    thread.join(30)
    with pytest.raises(Failure) as caught:
        Gate(address).turn(HOST)
    assert not thread.is_alive() and caught.value.reason is Reason.NETWORK


def test_a_stranger_is_not_served(tmp_path: Path) -> None:
    with serving(tmp_path, Web()) as (port, _), pytest.raises(Failure):
        Gate((port, "guess")).turn(HOST)


# Patience


class Site:
    """Answers as it is told, one answer a call."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers = list(answers)

    def __call__(self) -> str:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


QUICK = {"requests_per_hour": 1e6, "throttle_wait_seconds": 0.01, "throttle_retries": 2}
BUSY, WALL = RuntimeError("HTTP Error 429: Too Many Requests"), RuntimeError("Sign in to confirm you're not a bot")


def test_throttles_are_waited_for_and_given_up(tmp_path: Path) -> None:
    web = Web(**QUICK)
    with serving(tmp_path, web) as address:
        gate = Gate(address)
        assert patiently(gate, HOST, web, Site(BUSY, BUSY, "there")) == "there"
        with pytest.raises(Failure) as caught:
            patiently(gate, HOST, web, Site(BUSY, BUSY, BUSY, "never asked"))
        assert caught.value.reason is Reason.THROTTLED
        with pytest.raises(Reject):
            patiently(gate, HOST, web, Site(RuntimeError("This video is private")))
        assert patiently(gate, HOST, web, Site("there")) == "there"


def test_a_bot_wall_ends_it_or_is_sat_out(tmp_path: Path) -> None:
    for minutes, after in ((0.0, None), (0.001, "there")):
        web = Web(**QUICK, cool_down_minutes=minutes, cool_downs=2)
        with serving(tmp_path, web) as address:
            site = Site(WALL, WALL, "there")
            if after:
                assert patiently(Gate(address), HOST, web, site) == after
                continue
            for _ in range(2):
                with pytest.raises(Failure, match="not being a robot") as caught:
                    patiently(Gate(address), HOST, web, site)
                assert caught.value.reason is Reason.BOT_WALL
            assert len(site.answers) == 2  # nobody asked after the first


def test_without_a_driver_nothing_is_waited_for() -> None:
    assert patiently(None, HOST, Web(), Site("there")) == "there"
    for answer, reason in ((BUSY, Reason.THROTTLED), (WALL, Reason.BOT_WALL)):
        with pytest.raises(Failure) as caught:
            patiently(None, HOST, Web(), Site(answer))
        assert caught.value.reason is reason
