"""Parts of a bench that have a time each: each runs in processes of its own, which end when that time is over.

Rows come as they are measured, so that a part which is ended keeps what it has told. What was cut, left out or failed is said when
it happens, and once more at the end.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from multiprocessing.process import BaseProcess

from tests.bench.table import Row, Skipped

Part = Callable[[], Iterator[Row]]
END_SECONDS = 10.0  # in which a part that has told everything may leave


@dataclass(frozen=True)
class Times:
    """Seconds on the clock.

    Attributes:
        each: that a part may take.
        together: that all of them may take.
        least: a part with less than this left is not begun.
    """

    each: float
    together: float
    least: float


class _Failed(Exception):
    """A part ended by an error, or was killed by somebody else; the message says how."""


def told(parts: Mapping[str, Part], times: Times) -> Iterator[Row]:
    """The rows of all parts as they become known.

    Args:
        parts: by name, in their order; each can be pickled, and so can what it makes.

    Raises:
        RuntimeError: at the end, where a part failed.
        Skipped: at the end, where a part was cut, left out, or cannot run here.
    """
    began, notes, failed = time.monotonic(), list[str](), False
    for name, part in parts.items():
        left = times.together - (time.monotonic() - began)
        try:
            if left < times.least:
                raise Skipped(f"left out, for {times.together:g} s are all that may be used")
            yield from _rows(part, min(times.each, left))
        except (Skipped, _Failed) as why:
            failed |= isinstance(why, _Failed)
            notes.append(f"{name}: {why}")
            print(notes[-1], flush=True)
    if notes:
        raise (RuntimeError if failed else Skipped)("; ".join(notes))


def _rows(part: Part, seconds: float) -> Iterator[Row]:
    """The rows of a part that come within its time; what it runs is ended with it, whatever becomes of who reads them."""
    end = time.monotonic() + seconds
    rows, told_rows = Pipe(duplex=False)
    leash, held = Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_tell, args=(part, told_rows, leash))
    process.start()
    told_rows.close()
    leash.close()
    try:
        while rows.poll(max(0.0, end - time.monotonic())):
            found = rows.recv()
            if found is None:
                process.join(END_SECONDS)
                return
            if isinstance(found, str):
                raise Skipped(found)
            yield found
        raise Skipped(f"cut after {seconds:.0f} s; rows that came before hold")
    except EOFError:
        process.join(END_SECONDS)
        raise _Failed(f"failed: its process ended with {process.exitcode}") from None
    finally:
        _end(process)
        rows.close()
        held.close()


def _end(process: BaseProcess) -> None:
    """End a part, by its id, and its group: its own processes. One that has ended is left alone, for others may have its id."""
    if process.is_alive() and process.pid is not None:
        with contextlib.suppress(ProcessLookupError):  # it has no group of its own yet
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
    process.join()


def _tell(part: Part, rows: Connection, leash: Connection) -> None:
    """Run a part, as the leader of its own group of processes."""
    os.setsid()
    threading.Thread(target=_watch, args=(leash,), daemon=True).start()
    try:
        for row in part():
            rows.send(row)
        rows.send(None)
    except Skipped as reason:
        rows.send(str(reason))


def _watch(leash: Connection) -> None:
    """End this group when the bench is gone, by SIGKILL too: nothing of it is to hold a GPU any longer."""
    with contextlib.suppress(EOFError, OSError):
        leash.recv()
    os.killpg(os.getpgrp(), signal.SIGKILL)
