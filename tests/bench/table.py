"""Side by side: what runs cost when they take turns, and the table that it comes to."""

import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

OURS, PEER, LIMIT = "ours", "peer", "limit"


class Skipped(Exception):
    """A bench cannot run here; the message says why."""


@dataclass(frozen=True)
class Cost:
    """Seconds of one run: on the clock, and of all processor cores (user + system, child processes too)."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Goal:
    """A bound on one figure of a row.

    Its own value, or rate (which must reach the bound), its speed over the peer's or the limit's, its time over the peer's or
    the limit's.
    """

    figure: Literal["value", "rate", "ratio", "share", "times the peer", "times the limit"]
    bound: float

    @property
    def most(self) -> bool:
        """The figure must not pass the bound; else it must reach it."""
        return self.figure in ("value", "times the peer", "times the limit")

    def __str__(self) -> str:
        return f"{self.figure} {'<=' if self.most else '>='} {self.bound:g}"


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        what: was measured.
        unit: of ours, peer and limit; more is better where it is something a second, else less is.
        goal: None where the row is for information only.
        samples: what the medians are of, by contestant.
    """

    what: str
    unit: str
    ours: float
    peer: float | None = None
    limit: float | None = None
    goal: Goal | None = None
    samples: dict[str, list[float]] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """Our speed over the peer's."""
        return self._speed_over(self.peer)

    @property
    def share(self) -> float | None:
        """Our speed over the limit's."""
        return self._speed_over(self.limit)

    def _speed_over(self, other: float | None) -> float | None:
        if other is None or not self.ours or not other:  # counts may be 0, and have no speed
            return None
        return self.ours / other if "/" in self.unit else other / self.ours

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if self.goal is None:
            return None
        ratio, share = self.ratio, self.share
        figures = {
            "value": self.ours,
            "rate": self.ours,
            "ratio": ratio,
            "share": share,
            "times the peer": ratio and 1 / ratio,
            "times the limit": share and 1 / share,
        }
        figure = figures[self.goal.figure]
        if figure is None:
            return None
        return figure <= self.goal.bound if self.goal.most else figure >= self.goal.bound

    def record(self) -> dict[str, Any]:
        """Everything, for JSON."""
        goal = str(self.goal) if self.goal else None
        return {**asdict(self), "goal": goal, "ratio": self.ratio, "share": self.share, "met": self.met}


HEAD = f"{'what':<50} {'unit':<13} {'ours':>8} {'peer':>8} {'ratio':>6} {'limit':>8} {'share':>6}  {'goal':<22} met?"


def line(row: Row) -> str:
    """The row as text; ratio and share are speeds over the peer's and the limit's."""
    cells = (_number(value) for value in (row.ours, row.peer, row.ratio, row.limit, row.share))
    ours, peer, ratio, limit, share = cells
    met = {None: "", True: "yes", False: "NO"}[row.met]
    goal = str(row.goal or "")
    return f"{row.what:<50} {row.unit:<13} {ours:>8} {peer:>8} {ratio:>6} {limit:>8} {share:>6}  {goal:<22} {met}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def cost_of(run: Callable[[], object], loops: int = 1) -> Cost:
    """What one call costs, in the mean of so many."""
    wall, cpu = time.perf_counter(), _cpu_seconds()
    for _ in range(loops):
        run()
    return Cost((time.perf_counter() - wall) / loops, (_cpu_seconds() - cpu) / loops)


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def contest(
    runs: Mapping[str, Callable[[], object]], rounds: int, *, warm: bool = True, loops: int = 1
) -> dict[str, list[Cost]]:
    """Costs of runs that take turns, so that a busy minute hits all of them: `rounds` each, after one that does not count.

    Args:
        loops: calls that count as one, for runs of less than a second or so.
    """
    if warm:
        for run in runs.values():
            run()
    costs: dict[str, list[Cost]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            costs[name].append(cost_of(run, loops))
    return costs


def rows(what: str, costs: Mapping[str, list[Cost]], goal: Goal | None, frames: int = 0) -> Iterator[Row]:
    """A contest as two rows of medians: on the clock (what the goal is about), and of the processor.

    Args:
        frames: of one run; rows tell frames a second. 0: rows tell seconds.
    """
    for kind, unit in (("wall", "frames/s" if frames else "s"), ("cpu", "frames/CPU s" if frames else "CPU s")):
        seconds = {name: [getattr(cost, kind) for cost in found] for name, found in costs.items()}
        values = {name: [frames / s if frames else s for s in found] for name, found in seconds.items()}
        ours, peer, limit = (statistics.median(values[n]) if n in values else None for n in (OURS, PEER, LIMIT))
        assert ours is not None
        yield Row(what, unit, ours, peer, limit, goal if kind == "wall" else None, values)


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
