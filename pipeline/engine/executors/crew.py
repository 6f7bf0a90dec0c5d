"""Scheduling over workers that come late, go at any moment, and are replaced; which cluster they are of, this does not know.

A cluster is reached through a handful of calls (`Cluster`) and answers with events. `on_ray` is one; tests have another, in which
time is virtual.
"""

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.base.reasons import Reason
from pipeline.engine.executors.executor import Result, Results, Units
from pipeline.engine.unit import Unit
from pipeline.tables.outcome import FAILED

WAIT_SECONDS = 0.5  # of one wait for events: `stopping` is asked that often
LOSSES = 3  # workers that a unit may take down with it before it counts as the reason
ROUNDS = 3  # times that as many workers as there are may end before any began, until the stage cannot run here
AHEAD = 2  # workers asked for beyond the room that there is: who looks after the cluster sees that more would be used
QUICK_SECONDS = 1.0  # units that take less, on average, wait at their worker, so that it does not wait for the driver
QUEUED = 3  # such units, or handfuls of them, at a worker, the one that it is at among them
TOGETHER = 16  # units at most that are given to a worker at once, where each is over so soon that a message costs more
TOGETHER_SECONDS, TOGETHER_BYTES = 0.1, 65536  # that they and their rows may take, by the average
LOOK_SECONDS = 1.0  # between two looks for units that are overdue
RECENT = 0.05  # weight of the last unit in the average of their seconds


@dataclass(frozen=True)
class Ready:
    """A worker answered, and takes units from now on."""

    worker: int


@dataclass(frozen=True)
class Ended:
    """A unit's result."""

    worker: int
    index: int
    result: Result


@dataclass(frozen=True)
class Returned:
    """A worker did not begin a unit that it was given with others, for these took long."""

    worker: int
    index: int


@dataclass(frozen=True)
class Mislaid:
    """A unit ended, and its result was lost on the way; its worker goes on."""

    worker: int
    index: int
    words: str


@dataclass(frozen=True)
class Lost:
    """A worker is gone for good, and whatever it was at has stopped."""

    worker: int
    reason: Reason
    words: str


@dataclass(frozen=True)
class Unfit:
    """A worker cannot run the stage as the driver would, nor would others: the job stops with these words."""

    worker: int
    words: str


Event = Ready | Ended | Returned | Mislaid | Lost | Unfit


class Cluster(Protocol):
    """What a crew needs of a cluster. Workers are numbers, which are not used again."""

    def now(self) -> float:
        """Seconds of a clock that never goes back."""
        ...

    def room(self) -> int:
        """How many workers it has room for now, those at work among them."""
        ...

    def hire(self) -> int:
        """Ask for another worker. It comes when there is room, or never."""
        ...

    def send(self, worker: int, units: Mapping[int, Unit]) -> None:
        """Give units to a worker, which does its units in the order in which they came; it may return all but the first."""
        ...

    def dismiss(self, worker: int) -> None:
        """End a worker in the middle of whatever it does; nothing more is heard of it."""
        ...

    def wait(self, seconds: float) -> Sequence[Event]:
        """What happened, as soon as anything has, and at the latest after this time."""
        ...


@dataclass
class _Hired:
    """A worker, as the crew sees it: what it was given, in this order, and since when it is at the first unit of it."""

    given: list[dict[int, Unit]] = field(default_factory=list)
    ready: bool = False
    since: float = 0.0

    @property
    def units(self) -> list[tuple[int, Unit]]:
        return [item for units in self.given for item in units.items()]


class Crew:
    """Runs the units of a job over a cluster.

    Args:
        cluster: where.
        units: drawn as workers take them.
        workers: at most, at a time.
        seconds: after which a worker that does not answer with its unit's result is given up.
        stage: its name, for words.
    """

    def __init__(self, cluster: Cluster, units: Units, workers: int, seconds: float, stage: str) -> None:
        self.cluster = cluster
        self._units, self._workers, self._seconds, self._stage = units, workers, seconds, stage
        self._hired: dict[int, _Hired] = {}
        # Workers that may take a unit, by how often they were given some, those that wait longest first.
        self._free = [OrderedDict[int, None]() for _ in range(QUEUED)]
        self._back: deque[tuple[int, Unit]] = deque()  # drawn, and to be given to another worker, each alone
        self._drawn: tuple[int, Unit] | None = None
        self._losses: dict[int, int] = {}
        self._in_vain, self._most = 0, 1
        self._average, self._bytes, self._looked = QUICK_SECONDS, 0.0, 0.0
        self.heard = False  # whether any worker has answered yet

    def results(self, stopping: Callable[[], bool]) -> Results:
        """Yield (index, result) in the order in which units end."""
        while not stopping():
            self._hire()
            self._hand_out()
            if not self._more() and not any(hired.given for hired in self._hired.values()):
                return
            for event in self.cluster.wait(WAIT_SECONDS):
                yield from self._take(event)
            yield from self._overdue()

    def close(self) -> None:
        """Dismiss every worker."""
        for worker in list(self._hired):
            self._let_go(worker)

    def _more(self) -> bool:
        """Whether a unit waits for a worker; draws one to know it."""
        if not self._back and self._drawn is None:
            self._drawn = next(self._units, None)
        return bool(self._back) or self._drawn is not None

    def _next(self) -> dict[int, Unit]:
        """The next unit, or several that are soon over; one that comes back comes alone: if its worker is lost, it is why."""
        if self._back:
            return dict([self._back.popleft()])
        units: dict[int, Unit] = {}
        most = self._together()
        while len(units) < most and self._more():
            assert self._drawn is not None, "`_more` said that there is one"
            (index, unit), self._drawn = self._drawn, None
            units[index] = unit
        return units

    def _together(self) -> int:
        seconds, size = max(self._average, TOGETHER_SECONDS / TOGETHER), max(self._bytes, TOGETHER_BYTES / TOGETHER)
        return max(1, int(min(TOGETHER_SECONDS / seconds, TOGETHER_BYTES / size)))

    def _hire(self) -> None:
        if len(self._hired) >= self._workers or not self._more():
            return
        wanted = min(self._workers, self.cluster.room() + AHEAD)
        for _ in range(wanted - len(self._hired)):
            self._hired[self.cluster.hire()] = _Hired()
        self._most = max(self._most, len(self._hired))

    def _hand_out(self) -> None:
        """Give units to those that have fewest."""
        for level in range(QUEUED if self._average < QUICK_SECONDS else 1):
            while self._free[level] and self._more():
                worker, _ = self._free[level].popitem(last=False)
                self._send(worker, self._hired[worker], self._next())

    def _send(self, worker: int, hired: _Hired, units: dict[int, Unit]) -> None:
        if not hired.given:
            hired.since = self.cluster.now()
        self.cluster.send(worker, units)
        hired.given.append(units)
        self._offer(worker, hired)

    def _offer(self, worker: int, hired: _Hired) -> None:
        """Note how much a worker has, and so whether it may take more."""
        self._forget(worker)
        if len(hired.given) < QUEUED:
            self._free[len(hired.given)][worker] = None

    def _forget(self, worker: int) -> None:
        for free in self._free:
            free.pop(worker, None)

    def _take(self, event: Event) -> Iterator[tuple[int, Result]]:
        hired = self._hired.get(event.worker)
        if hired is None:  # of one that was let go
            return
        match event:
            case Ready():
                hired.ready, self.heard, self._in_vain = True, True, 0
                self._offer(event.worker, hired)
            case Ended():
                yield from self._ended(event, hired)
            case Returned():
                self._back.append((event.index, self._remove(event.worker, hired, event.index)))
            case Mislaid():
                yield from self._mislaid(event, hired)
            case Lost():
                yield from self._lost(event, hired)
            case Unfit():
                yield from self._stop(event.words)

    def _ended(self, event: Ended, hired: _Hired) -> Iterator[tuple[int, Result]]:
        self._remove(event.worker, hired, event.index)
        self._losses.pop(event.index, None)
        self._average += RECENT * (event.result.wall_seconds - self._average)
        self._bytes += RECENT * (event.result.bytes - self._bytes)
        yield event.index, event.result

    def _remove(self, worker: int, hired: _Hired, index: int) -> Unit:
        """Take a unit from its worker."""
        units = next(units for units in hired.given if index in units)
        unit = units.pop(index)
        hired.since = self.cluster.now()
        if not units:
            hired.given.remove(units)
            self._offer(worker, hired)
        return unit

    def _mislaid(self, event: Mislaid, hired: _Hired) -> Iterator[tuple[int, Result]]:
        unit = self._remove(event.worker, hired, event.index)
        yield from self._again(event.index, unit, Reason.CRASHED, f"its result was lost: {event.words}")

    def _lost(self, event: Lost, hired: _Hired) -> Iterator[tuple[int, Result]]:
        """Give its units to others; the first of them, which it was at, may be why it is gone."""
        del self._hired[event.worker]
        self._forget(event.worker)
        logging.getLogger(__name__).warning("%s: a worker is gone: %s", self._stage, event.words)
        if hired.given:
            (index, unit), *others = hired.units
            self._back.extendleft(reversed(others))
            yield from self._again(index, unit, event.reason, event.words)
        elif not hired.ready:
            self._in_vain += 1
            if self._in_vain >= ROUNDS * self._most:
                yield from self._stop(f"its workers end before they begin a unit: {event.words}")

    def _again(self, index: int, unit: Unit, reason: Reason, words: str) -> Iterator[tuple[int, Result]]:
        """Have a unit done by another worker, unless it has taken too many down."""
        self._losses[index] = self._losses.get(index, 0) + 1
        if self._losses[index] < LOSSES:
            self._back.append((index, unit))
            return
        del self._losses[index]
        yield index, Result(FAILED, reason.code, f"{LOSSES} workers were lost at it; the last one: {words}")

    def _stop(self, words: str) -> Iterator[tuple[int, Result]]:
        """A result that stops the stage, unless all units have theirs."""
        known = [at for hired in self._hired.values() for at, _ in hired.units]
        if known or self._more():
            index = known[0] if known else next(iter(self._next()))
            yield index, Result(FAILED, Reason.CRASHED.code, f"{self._stage} cannot start: {words}", broken=True)

    def _overdue(self) -> Iterator[tuple[int, Result]]:
        """Give up workers that should have ended their unit themselves, and did not."""
        now = self.cluster.now()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        for worker, hired in list(self._hired.items()):
            if hired.given and now - hired.since > self._seconds:
                self._let_go(worker)
                yield from self._too_late(hired, now - hired.since)

    def _too_late(self, hired: _Hired, seconds: float) -> Iterator[tuple[int, Result]]:
        """The result of the unit that a worker was at; of several that were given together, any may be the one."""
        sure = len(hired.given[0]) == 1
        first, *others = hired.units
        self._back.extendleft(reversed(others if sure else hired.units))
        if sure:
            words = f"its worker did not answer for {seconds:.0f} s"
            yield first[0], Result(FAILED, Reason.TIMED_OUT.code, words, wall_seconds=seconds)

    def _let_go(self, worker: int) -> None:
        del self._hired[worker]
        self._forget(worker)
        self.cluster.dismiss(worker)
