"""Runs nets in a process of their own that is ended when they take too long: a model from outside may hold an endless loop."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import TimeoutError as Late
from typing import Any

import pebble

from pipeline.base.errors import UserError


class NetStopped(UserError, RuntimeError):
    """Raised where a net ran past its time, or its process died; the message says which."""


def limited(seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of `function(*arguments)`, computed in a process that ends after so many seconds.

    Args:
        seconds: wall time, in which the process has to start and load its nets too.
        function: of a module, so that another process finds it; what it raises is raised here.

    Raises:
        NetStopped: it took longer, or its process was killed.
    """
    pool = pebble.ProcessPool(max_workers=1, context=multiprocessing.get_context("spawn"))
    try:
        return pool.schedule(function, args=list(arguments), timeout=seconds).result()
    except Late:
        raise NetStopped(f"stopped after {seconds:g} s: a net that never ends, or too slow a machine") from None
    except pebble.ProcessExpired as error:
        raise NetStopped(f"the process that ran the nets died ({error}), perhaps for lack of memory") from None
    finally:
        pool.stop()
        pool.join()
