"""Processor seconds of a command and of all processes that it starts, and of them those of the driver and of its fork server."""

import ctypes
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

LOOK_SECONDS = 0.05
FORK_SERVER = "multiprocessing.forkserver"
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Spent:
    """Processor seconds of a command.

    Attributes:
        whole: of all its processes, as the kernel counted them.
        driver: of the first one.
        server: of the process that its workers are forked from, without them, as it was seen last.
    """

    whole: float = 0.0
    driver: float = 0.0
    server: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.whole + other.whole, self.driver + other.driver, self.server + other.server)


def run(words: Sequence[str | Path], folder: Path, environment: Mapping[str, str]) -> tuple[str, Spent]:
    """What a command printed, and what it used; its failure ends the bench. Call `adopt_orphans` before."""
    before = _children_seconds()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(words, cwd=folder, env=environment, stdout=out, stderr=errors)
        driver, server = _watch(process)
        _reap()
        out.seek(0)
        errors.seek(0)
        said = out.read()
        if process.returncode:
            told = f"{said[-2000:]}{errors.read()[-2000:]}"
            raise SystemExit(f"{folder}: {' '.join(map(str, words))} ended with {process.returncode}:\n{told}")
    return said, Spent(_children_seconds() - before, driver, server)


def _watch(process: "subprocess.Popen[bytes]") -> tuple[float, float]:
    """Look at a command until it ends: (driver's, server's) seconds."""
    driver, server, found = 0.0, 0.0, None
    while True:
        try:
            process.wait(LOOK_SECONDS)
            return driver, server
        except subprocess.TimeoutExpired:
            driver = max(driver, _own(psutil.Process(process.pid)))
            found = found or _server_of(process.pid)
            server = max(server, _own(found)) if found else server


def _server_of(driver: int) -> psutil.Process | None:
    for child in psutil.Process(driver).children():
        try:
            if FORK_SERVER in " ".join(child.cmdline()):
                return child
        except psutil.Error:  # it ended meanwhile
            continue
    return None


def _own(process: psutil.Process) -> float:
    """Seconds of one process, without its children; 0 where it is gone."""
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _children_seconds() -> float:
    """Processor seconds of all processes that were started here, theirs included, and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def adopt_orphans() -> None:
    """Become the parent of processes whose own parent ends first, as a fork server's does; else nobody counts them."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _reap() -> None:
    """Wait for processes that outlive the command that started them."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return
