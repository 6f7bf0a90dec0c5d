"""What a server's runs cost, for the units that asked: seconds of its device and of its processor, each counted once.

Runs that overlap share the time in which they do, and so do the rows of a batch: the sum over all requests is the time in which the
server ran anything.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Spent:
    """Seconds of the device, by the clock on the wall, and of the processor, all threads together."""

    device: float = 0.0
    processor: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.device + other.device, self.processor + other.processor)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.device - other.device, self.processor - other.processor)

    def share(self, part: float) -> "Spent":
        return Spent(self.device * part, self.processor * part)


NOTHING = Spent()


def clocks() -> Spent:
    """What this process has spent since some moment."""
    return Spent(time.monotonic(), time.process_time())


class Meter:
    """Shares time among the runs that are under way; any thread may call it.

    Args:
        now: the clocks.
    """

    def __init__(self, now: Callable[[], Spent] = clocks) -> None:
        self._now, self._lock = now, threading.Lock()
        self._running, self._each, self._before = 0, Spent(), now()

    def begin(self) -> Spent:
        """Note that a run begins; returns what `end` wants to know."""
        with self._lock:
            self._go_on()
            self._running += 1
            return self._each

    def end(self, begun: Spent) -> Spent:
        """Note that it ended; returns its share of what was spent meanwhile."""
        with self._lock:
            self._go_on()
            self._running -= 1
            return self._each - begun

    def _go_on(self) -> None:
        now = self._now()
        if self._running:
            self._each += (now - self._before).share(1 / self._running)
        self._before = now


class Account:
    """What servers have run for this process.

    Attributes:
        open: whether any server was asked anything.
        spent: so far.
    """

    def __init__(self) -> None:
        self.open, self.spent = False, Spent()
        self._lock = threading.Lock()

    def add(self, spent: Spent) -> None:
        with self._lock:
            self.open, self.spent = True, self.spent + spent


ACCOUNT = Account()
