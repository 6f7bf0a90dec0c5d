"""A cluster in virtual time: workers come, work, and go as planned, and nothing waits for a clock."""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.base.reasons import Reason
from pipeline.engine.executors.crew import Ended, Event, Lost, Mislaid, Ready, Returned
from pipeline.engine.executors.executor import Result
from pipeline.engine.unit import Unit
from pipeline.tables.outcome import OK

START_SECONDS = 3.0


@dataclass
class _Node:
    slots: int
    workers: set[int] = field(default_factory=set)


class StandIn:
    """The calls of `Cluster`, over nodes that exist in this object alone.

    Args:
        nodes: slots for workers of each.
        seconds: of a unit.

    Attributes:
        begun: {index: how often a worker began it}.
        asked, most: workers that were asked for in all, and units that were away at a time, at most.
        handfuls: how many units were given at once.
        returns: units that their worker gives back unbegun, once.
    """

    def __init__(self, nodes: Sequence[int], seconds: Callable[[Unit], float] = lambda _: 1.0) -> None:
        self.time = 0.0
        self.nodes = {number: _Node(slots) for number, slots in enumerate(nodes)}
        self.begun: dict[int, int] = {}
        self.asked = self.away = self.most = 0
        self.frozen: set[int] = set()  # workers that never answer again
        self.mislays: set[int] = set()  # units of which the next result is lost on the way
        self.handfuls: list[int] = []
        self.returns: set[int] = set()
        self.starts = True  # whether workers that have room come up; else they end at once
        self.row_bytes = 0
        self._seconds = seconds
        self._queues: dict[int, deque[tuple[int, Unit]]] = {}
        self._waiting: deque[int] = deque()  # asked for, without room
        self._agenda: list[tuple[float, int, Callable[[], Event | None]]] = []
        self._count = itertools.count()

    def now(self) -> float:
        return self.time

    def room(self) -> int:
        return sum(node.slots for node in self.nodes.values())

    def hire(self) -> int:
        self.asked += 1
        self._waiting.append(self.asked)
        self._place()
        return self.asked

    def send(self, worker: int, units: Mapping[int, Unit]) -> None:
        idle = not self._queues[worker]
        self.handfuls.append(len(units))
        self.away += len(units)
        self.most = max(self.most, self.away)
        self._queues[worker].extend(units.items())
        if idle:
            self._begin(worker)

    def dismiss(self, worker: int) -> None:
        self.away -= len(self._queues.pop(worker, ()))
        for node in self.nodes.values():
            node.workers.discard(worker)
        self._place()

    def wait(self, seconds: float) -> Sequence[Event]:
        end = self.time + seconds
        while self._agenda and self._agenda[0][0] <= end:
            self.time, _, happens = heapq.heappop(self._agenda)
            if event := happens():
                return [event]
        self.time = end
        return []

    def at(self, seconds: float, happens: Callable[[], Event | None]) -> None:
        """Plan something."""
        heapq.heappush(self._agenda, (self.time + seconds, next(self._count), happens))

    def join(self, slots: int) -> None:
        """A node comes."""
        self.nodes[max(self.nodes, default=0) + 1] = _Node(slots)
        self._place()

    def kill_node(self, number: int) -> None:
        """A node goes, and its workers with it."""
        for worker in self.nodes.pop(number).workers:
            self._lose(worker)

    def kill_worker(self, reason: Reason = Reason.CRASHED) -> None:
        """A worker goes that is at a unit."""
        busy = [worker for worker, queue in self._queues.items() if queue]
        if busy:
            self._lose(busy[0], reason)

    def _lose(self, worker: int, reason: Reason = Reason.CRASHED) -> None:
        self.dismiss(worker)
        self.at(0.0, lambda: Lost(worker, reason, "its machine is gone"))

    def _place(self) -> None:
        for node in self.nodes.values():
            while self._waiting and len(node.workers) < node.slots:
                worker = self._waiting.popleft()
                node.workers.add(worker)
                self.at(START_SECONDS, lambda worker=worker: self._up(worker))  # type: ignore[misc]

    def _up(self, worker: int) -> Event | None:
        if not any(worker in node.workers for node in self.nodes.values()):
            return None
        if not self.starts:
            self.dismiss(worker)
            return Lost(worker, Reason.CRASHED, "it fell over")
        self._queues[worker] = deque()
        return Ready(worker)

    def _begin(self, worker: int) -> None:
        index, unit = self._queues[worker][0]
        if index in self.returns:
            self.returns.remove(index)
            self.at(0.0, lambda: self._give_back(worker, index))
            return
        self.begun[index] = self.begun.get(index, 0) + 1
        self.at(self._seconds(unit), lambda: self._end(worker, index, unit))

    def _give_back(self, worker: int, index: int) -> Event | None:
        queue = self._queues.get(worker)
        return self._over(queue, worker, Returned(worker, index)) if queue is not None else None

    def _over(self, queue: deque[tuple[int, Unit]], worker: int, event: Event) -> Event:
        queue.popleft()
        self.away -= 1
        if queue:
            self._begin(worker)
        return event

    def _end(self, worker: int, index: int, unit: Unit) -> Event | None:
        queue = self._queues.get(worker)
        if queue is None or worker in self.frozen:
            return None
        if index in self.mislays:
            self.mislays.remove(index)
            return self._over(queue, worker, Mislaid(worker, index, "its node is gone"))
        ended = Ended(worker, index, Result(OK, count=1, wall_seconds=self._seconds(unit), bytes=self.row_bytes))
        return self._over(queue, worker, ended)


def numbered(count: int) -> Iterator[tuple[int, Unit]]:
    """Units with their indices."""
    return ((index, Unit(f"u{index}", {})) for index in range(count))
