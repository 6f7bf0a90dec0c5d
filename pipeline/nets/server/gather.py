"""Gathers requests of several workers into batches."""

import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Generic, TypeVar

from pipeline.nets.server.credit import NOTHING, Spent
from pipeline.nets.server.wire import Array

Net = TypeVar("Net")
Answer = TypeVar("Answer")


@dataclass(eq=False)
class Request(Generic[Net, Answer]):
    """A worker's request to run a net.

    Attributes:
        net: to be run.
        names: of the outputs that are asked for; None for all.
        feed: inputs by name, where they lie in the worker's slot.
        together: the rows of requests may be run in one batch.
        alone: nothing else may run beside it: a server died of it, or of another request that ran with it.
        mark: told whether the request is being run.
        came: seconds of the monotonic clock.
        answer: set before `done` is.
        spent: likewise: its share of what the run cost.
    """

    net: Net
    names: tuple[str, ...] | None
    feed: Mapping[str, Array]
    together: bool
    alone: bool = False
    mark: Callable[[bool], None] = lambda _: None
    came: float = field(default_factory=time.monotonic)
    done: threading.Event = field(default_factory=threading.Event)
    answer: Answer | None = None
    spent: Spent = NOTHING

    @property
    def rows(self) -> int:
        return len(next(iter(self.feed.values())))

    @property
    def key(self) -> Hashable:
        """Equal for requests that may be run together."""
        if self.alone or not self.together:
            return id(self)
        return self.net, self.names, tuple((name, a.dtype.str, a.shape[1:]) for name, a in self.feed.items())

    def finish(self, answer: Answer, spent: Spent = NOTHING) -> None:
        self.answer, self.spent = answer, spent
        self.done.set()


class Gather(Generic[Net, Answer]):
    """Requests that wait, and which of them to run next.

    Args:
        limit: rows of a batch, unless a single request has more.
        seconds: for which a request waits at most, as long as others may still come.

    Attributes:
        limit: as given; it may be changed.
    """

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit, self._seconds = limit, seconds
        self._waiting: list[Request[Net, Answer]] = []
        self._lines = self._running = 0
        self._exclusive = False  # what runs now has to run alone
        self._changed = threading.Condition()

    def joined(self, lines: int) -> None:
        """Note that so many connections have come, or gone where it is negative: each may send one request at a time."""
        with self._changed:
            self._lines += lines
            self._changed.notify_all()

    def put(self, request: "Request[Net, Answer]") -> None:
        """Add a request."""
        with self._changed:
            self._waiting.append(request)
            self._changed.notify_all()

    def ended(self, batch: "Sequence[Request[Net, Answer]]") -> None:
        """Note that a batch is done: those who asked for it may ask again."""
        with self._changed:
            self._running -= len(batch)
            self._exclusive = False if batch[0].alone else self._exclusive
            self._changed.notify_all()

    def take(self) -> "list[Request[Net, Answer]]":
        """The next batch, as soon as it is full, its oldest request has waited long enough, or no other can come."""
        with self._changed:
            while True:
                now = time.monotonic()
                if batch := self._next(now):
                    self._waiting = [one for one in self._waiting if one not in batch]
                    self._running += len(batch)
                    self._exclusive = batch[0].alone
                    return batch
                due = [left for one in self._waiting if (left := one.came + self._seconds - now) > 0]
                self._changed.wait(min(due, default=None))

    def _next(self, now: float) -> "list[Request[Net, Answer]]":
        """A batch to run now, if there is one."""
        if self._exclusive:
            return []
        if lonely := [one for one in self._waiting if one.alone]:
            return lonely[:1] if not self._running else []
        return next((batch for batch in self._batches() if self._due(batch, now)), [])

    def _batches(self) -> "list[list[Request[Net, Answer]]]":
        """For each kind of request a batch of the oldest, the kind first whose oldest waits longest."""
        kinds: dict[Any, list[Request[Net, Answer]]] = {}
        for request in self._waiting:
            kinds.setdefault(request.key, []).append(request)
        return [self._first(requests) for requests in kinds.values()]

    def _first(self, requests: "list[Request[Net, Answer]]") -> "list[Request[Net, Answer]]":
        batch, rows = requests[:1], 0
        for before, request in pairwise(requests):
            rows += before.rows
            if rows + request.rows > self.limit:
                break
            batch.append(request)
        return batch

    def _due(self, batch: "list[Request[Net, Answer]]", now: float) -> bool:
        alone = len(self._waiting) + self._running >= self._lines
        if alone or not batch[0].together or now - batch[0].came >= self._seconds:
            return True
        same = [one for one in self._waiting if one.key == batch[0].key]
        return len(same) > len(batch) or sum(one.rows for one in batch) >= self.limit
