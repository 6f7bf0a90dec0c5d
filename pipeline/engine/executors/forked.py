"""Workers as forks of one process, multiprocessing's fork server, which has imported what they need.

A driver has one, from its first worker to its end. A worker that starts afresh finds things as they are with the driver, a fork
as they were when the server began: what has changed since is handed over (`AsDriver`; multiprocessing does the working folder
and `sys.path`), and where that cannot be done, workers start afresh.
"""

import atexit
import json
import multiprocessing
import os
import sys
from collections.abc import Sequence
from multiprocessing import forkserver, reduction
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from pipeline.nets.environ import variables

PRELOADER = "pipeline.engine.executors.preload"
MODULES = "CSG405_PRELOAD"  # a variable of the server's, for the preloader
# Prefixes of variables that forks take over: no library reads them as it loads, or importing OpenCV and threadpoolctl sets them.
late = ["CSG405_", "LD_LIBRARY_PATH", "KMP_DUPLICATE_LIB_OK", "COLUMNS", "LINES", "NO_COLOR", "RAY_"]
_STATUS = ("Uid", "Gid", "Groups", "SigBlk", "SigIgn", "CapEff", "NoNewPrivs", "Seccomp", "Cpus_allowed", "Mems_all")

# Of this driver's server: its modules, and the circumstances in which it began.
_began: tuple[list[str], object] | None = None
brought_bytes = 0  # in a fork: private memory for modules, whether this worker needs them or not
brought_variables: dict[str, str] = {}  # in a fork: those that modules set as they were imported


def processes(modules: Sequence[str]) -> BaseContext | None:
    """Forks of the server, which imports these modules if it begins now; None where workers have to start afresh.

    Args:
        modules: what workers will need, now and later.
    """
    global _began
    now = _circumstances()
    if _began is None:
        _began = list(modules), now
        atexit.register(_end, os.getpid())
    if _began[1] != now:
        return None
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload([PRELOADER])
    try:
        with variables(**_first_variables(_began[0])):
            forkserver.ensure_running()
    except OSError:
        # Its socket lies below TMPDIR: too long a path for one, or a file system without sockets. No process was started then.
        return None
    return forks


def _end(driver: int) -> None:
    """At the driver's exit, wait for the server to end: its processor time, and its forks', then count as the driver's."""
    stop = getattr(forkserver._forkserver, "_stop", None)
    if stop and os.getpid() == driver and not multiprocessing.active_children():  # it ends after the last of them
        stop()


def _first_variables(modules: Sequence[str]) -> dict[str, str]:
    """What the server's environment has beside the driver's, so that it finds the modules and starts no thread."""
    path = [place or str(Path.cwd()) for place in sys.path]
    return {
        MODULES: json.dumps(list(modules)),
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONSAFEPATH": "1",  # nothing of the folder that the driver happens to be in
        # Arrow's second allocator, which is used only where somebody asks for it
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
        "ORT_DISABLE_TELEMETRY": "1",
    }


def _circumstances() -> object:
    """What a process gets from the one that starts it, and cannot change by itself, or not once libraries are loaded."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(tuple(late))}
    status = [line for line in _proc("status").splitlines() if line.startswith(_STATUS)]
    scheduling = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)
    return environment, status, scheduling, [_proc(name) for name in ("limits", "cgroup", "oom_score_adj")]


def _proc(name: str) -> str:
    return Path("/proc/self", name).read_text()


def data_bytes() -> int:
    """Private writable memory of this process, as RLIMIT_DATA counts it."""
    return 1024 * int(_status("VmData").split()[0])


def _status(name: str) -> str:
    return next(line.split(":")[1] for line in _proc("status").splitlines() if line.startswith(f"{name}:"))


class AsDriver:
    """Pickled by a driver and unpickled first in its worker, which then has the driver's environment, umask and output."""

    def __reduce__(self) -> tuple[Any, ...]:
        output = {number: reduction.DupFd(number) for number in (1, 2) if Path(f"/proc/self/fd/{number}").exists()}
        return _take_over, (dict(os.environ), int(_status("Umask"), 8), output)


def _take_over(environment: dict[str, str], umask: int, output: dict[int, Any]) -> AsDriver:
    os.environ.clear()
    os.environ.update(environment | brought_variables)
    os.umask(umask)
    for number, given in output.items():
        if (received := given.detach()) != number:
            os.dup2(received, number)
            os.close(received)
    return AsDriver()
