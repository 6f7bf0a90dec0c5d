"""Python's search for cycles of objects, which costs most where there are none: while a million lists are made."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unsearched() -> Iterator[None]:
    """Make a million objects and no cycles of them, without the search for those: of judge it took a third of the time.

    For work that ends in seconds and holds what it makes anyway: cycles that others make meanwhile stay until it ends.
    """
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()
