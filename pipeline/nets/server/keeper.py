"""Starts the servers of a job and keeps them alive: one that dies is started again, and hears its clients on the same socket."""

import logging
import multiprocessing
import secrets
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.process import BaseProcess
from types import TracebackType

from pipeline.nets.server import wire
from pipeline.nets.server.held import How
from pipeline.nets.server.process import BROKEN_EXIT, LATE_EXIT, Order, serve
from pipeline.nets.server.wire import Address

NAME = "csg405 net server"  # of the processes
DEATHS, DEATH_SECONDS = 12, 600.0  # of one GPU's servers, and the time in which so many are too many

log = logging.getLogger(__name__)


class Keeper:
    """The servers of a job, as long as the block of this context manager runs.

    Args:
        how: nets are run.
        cards: GPUs, each of which gets a server; 1 on a processor.
        begin: called first in each server, for limits of its process; it can be pickled.
        deaths: of one GPU's servers within ten minutes, after which none is started any more.

    Attributes:
        given_up: why no server is started any more; "" as long as they are.
    """

    def __init__(self, how: How, cards: int, begin: Callable[[], object], deaths: int = DEATHS) -> None:
        self._how, self._begin, self._most = how, begin, deaths
        self._token = secrets.token_hex(32)
        self._names = tuple(f"csg405-nets-{secrets.token_hex(16)}" for _ in range(max(1, cards)))
        self.given_up = ""
        self._ending, self._end = Pipe(duplex=False)
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Address:
        self._doors = [wire.listening(name) for name in self._names]
        self._threads = [
            threading.Thread(target=self._keep, args=(card,), daemon=True) for card in range(len(self._names))
        ]
        for thread in self._threads:
            thread.start()
        return Address(self._names, self._token)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end.close()
        for thread in self._threads:
            thread.join()
        self._close_doors()
        self._ending.close()

    def _keep(self, card: int) -> None:
        died: list[float] = []
        while not self.given_up:
            try:
                process = self._started(card)
            except OSError as error:
                self._give_up(f"no server of nets can be started: {error}")
                return
            if not _ended_first(process, self._ending):
                process.kill()
                process.join()
                return
            process.join()
            died = [*(then for then in died if time.monotonic() - then < DEATH_SECONDS), time.monotonic()]
            words = f"the server of nets of GPU {card}" if self._how.device == "cuda" else "the server of nets"
            words = f"{words} {_how_it_ended(process.exitcode or 0)}"
            if len(died) >= self._most:
                self._give_up(f"{words}; it ended {len(died)} times, and is not started again")
                return
            log.warning("%s; another one is started, and does what it had not done", words)

    def _give_up(self, words: str) -> None:
        self.given_up = words
        log.error("%s", words)
        self._close_doors()  # clients that wait are told by this

    def _started(self, card: int) -> BaseProcess:
        spawn = multiprocessing.get_context("spawn")
        order = Order(self._doors[card], self._token, self._how, card, self._begin)
        process = spawn.Process(target=serve, args=(order,), name=NAME, daemon=True)
        process.start()
        return process

    def _close_doors(self) -> None:
        for door in self._doors:
            door.close()


def _ended_first(process: BaseProcess, ending: Connection) -> bool:
    """Wait for a process; whether it ended before the keeper's own end."""
    return ending not in wait([process.sentinel, ending])


def _how_it_ended(code: int) -> str:
    if code == LATE_EXIT:
        return "ended itself: a run never came to an end"
    if code == BROKEN_EXIT:
        return "ended itself: it ran nets before, and no more"
    if code < 0:
        known = -code in set(signal.Signals)
        hint = ": the system may have run out of memory" if -code == signal.SIGKILL else ""
        return f"was ended by {signal.Signals(-code).name if known else -code}{hint}"
    return f"ended with exit code {code}"
