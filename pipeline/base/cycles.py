"""Python's search for cycles of objects, which costs most where there are none: while a million lists are made."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_open_blocks = 0  # of all threads
_was_on = False  # before the first of them


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause garbage collection while a million objects are made and no cycles of them: of judge it took a third of the time.

    For work that holds what it makes anyway. It stays paused for the whole process until the last such block, of any thread, has
    ended; cycles that others make meanwhile stay in memory so long.
    """
    global _open_blocks, _was_on
    with _lock:
        if _open_blocks == 0:
            _was_on = gc.isenabled()
            gc.disable()
        _open_blocks += 1
    try:
        yield
    finally:
        with _lock:
            _open_blocks -= 1
            if _open_blocks == 0 and _was_on:
                gc.enable()
