"""What a worker's process may use, and what its end says of it; alike wherever it runs."""

import signal

from pipeline.engine.executors import forked

SETUP_SECONDS = 300.0  # loading nets, before the first unit of a worker
TIMED_OUT_EXIT = 124  # as of coreutils' timeout


CUDA_GB = 8.0


def limit_memory(gigabytes: float, device: str = "cpu") -> None:
    """Limit this process's private writable memory, by RLIMIT_DATA.

    Not its address space (RLIMIT_AS): CUDA reserves as many addresses as all of the machine's and its GPUs' memory, and does not
    start under such a limit. Those are reserved without leave to write, and the card's own memory is mapped as shared: the kernel
    counts neither as data (since Linux 4.7 what is private and writable, no stack; setrlimit(2)). What it does count of CUDA is the
    heap of the driver and the writable parts of cuDNN's and cuBLAS's libraries: some gigabytes that a stage's own figure does not
    know of, so that a process with CUDA has `CUDA_GB` more. `python -m tests.bench gpu --part sessions` tells how much it is.

    Args:
        gigabytes: GiB, beside what it was forked with.
        device: "cpu" or "cuda".
    """
    try:
        import resource
    except ImportError:  # not on every platform
        return
    if hasattr(resource, "RLIMIT_DATA"):
        more = CUDA_GB if device == "cuda" else 0.0
        limit = int((gigabytes + more) * 2**30) + forked.brought_bytes
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
