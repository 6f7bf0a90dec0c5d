"""What a worker's process may use, and what its end says of it; alike wherever it runs."""

import signal

from pipeline.engine.executors import forked

SETUP_SECONDS = 300.0  # loading nets, before the first unit of a worker
TIMED_OUT_EXIT = 124  # as of coreutils' timeout


def limit_memory(gigabytes: float) -> None:
    """Private writable memory, not address space: CUDA reserves far more addresses than it uses."""
    try:
        import resource
    except ImportError:  # not on every platform
        return
    if hasattr(resource, "RLIMIT_DATA"):
        limit = int(gigabytes * 2**30) + forked.brought_bytes
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def how_it_died(code: int) -> str:
    """The exit code of a worker that ended in the middle of a unit, in words."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(code)
        hint = ": the system may have run out of memory" if name == "SIGKILL" else ""
        return f"the worker was ended by {name}{hint}"
    return f"the worker ended with exit code {code}"
