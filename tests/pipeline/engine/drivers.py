"""Drivers in processes of their own, for tests that interrupt or kill them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil


@contextmanager
def driver(run: Path, *stages: Any, workers: int = 2, ray: str | None = None) -> Iterator["subprocess.Popen[str]"]:
    """A driver in a process group of its own, as under a terminal; nothing of it is left afterwards.

    Args:
        ray: address of a cluster of Ray, "" for one of its own; None for the local executor.
    """
    arguments = [text for stage in stages for text in (stage.name, stage.model_dump_json())]
    command = [sys.executable, "-m", "tests.pipeline.engine.drive", str(run), str(workers), *arguments]
    environment = os.environ if ray is None else {**os.environ, "TOY_RAY": ray}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def until(what: Callable[[], Any], seconds: float = 90.0) -> Any:
    """Wait for something to be true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it never happened")


def workers(pid: int) -> list[psutil.Process]:
    """The worker processes of a driver: those that started afresh, and the forks of its process that only imports."""
    try:
        children = psutil.Process(pid).children()
        forks = [fork for child in children if _runs(child, "forkserver") for fork in child.children()]
        return [child for child in children if _runs(child, "spawn_main")] + forks
    except psutil.NoSuchProcess:
        return []


def forkservers(pid: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(pid).children() if _runs(child, "forkserver")]


def _runs(process: psutil.Process, what: str) -> bool:
    try:
        return what in " ".join(process.cmdline())
    except (psutil.ZombieProcess, psutil.NoSuchProcess):
        return False
