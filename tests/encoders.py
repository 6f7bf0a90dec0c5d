"""What encoders do to their callers."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


def scheduled_ordinarily() -> bool:
    """Whether this thread is scheduled like any other."""
    return not hasattr(os, "sched_getscheduler") or os.sched_getscheduler(0) == os.SCHED_OTHER


@contextmanager
def ordinary_scheduling() -> Iterator[None]:
    """Undo, at the end of the block, what SVT-AV1 does where it is run by the superuser.

    It gives the thread that opens it the highest real-time priority, which every process begun from there inherits. Two such
    processes that wait by turning round then hold both cores for good against the threads that they wait for.
    """
    try:
        yield
    finally:
        if not scheduled_ordinarily():
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
