"""Threads on a clock of their own: one runs at a time, and time passes when all of them sleep."""

import heapq
import threading
from collections.abc import Callable


class VirtualClock:
    """Simulated wall time in seconds, to be called like `time.time`.

    Attributes:
        now: the time.
    """

    def __init__(self, now: float = 1.7e9) -> None:
        self.now = now
        self._sleeping: list[tuple[float, int, threading.Semaphore]] = []
        self._count = 0
        self._idle = threading.Semaphore(0)
        self._own = threading.local()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the others run until so much time has passed. For threads of `run` alone."""
        self._wait_until(self.now + seconds, self._own.turn, begin=False)

    def run(self, works: list[Callable[[], None]], each_hour: Callable[[int], None]) -> None:
        """Run each of them in a thread until all have ended; `each_hour(n)` is called when n hours have passed."""
        began, hour, failed = self.now, 0, []

        def body(work: Callable[[], None], turn: threading.Semaphore) -> None:
            self._own.turn = turn
            turn.acquire()
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - told below, in the thread that waits
                failed.append(error)
            self._idle.release()

        for work in works:
            turn = threading.Semaphore(0)
            self._wait_until(self.now, turn, begin=True)
            threading.Thread(target=body, args=(work, turn), daemon=True).start()
        while self._sleeping:
            at, _, turn = heapq.heappop(self._sleeping)
            self.now = max(self.now, at)
            while self.now - began >= 3600 * (hour + 1):
                hour += 1
                each_hour(hour)
            turn.release()
            self._idle.acquire()
            if failed:
                raise failed[0]

    def _wait_until(self, at: float, turn: threading.Semaphore, begin: bool) -> None:
        self._count += 1  # those who wake at one time wake in the order in which they fell asleep
        heapq.heappush(self._sleeping, (at, self._count, turn))
        if not begin:
            self._idle.release()
            turn.acquire()
