"""One driver a table kind: a second one is refused, on this machine and on others that share the disk."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

BEAT_SECONDS = 5.0
STALE_SECONDS = 60.0  # a heartbeat older than this belongs to a driver that is gone


class Occupied(Exception):
    """Another driver writes this table now."""


@contextmanager
def driving(run: Path, kind: str) -> Iterator[None]:
    """Be the only driver of this kind's table. Raises `Occupied` with who holds it.

    A file lock covers this machine and ends with the process, however it ends; the heartbeat file covers machines that
    share the disk without sharing locks.
    """
    folder = run / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    beat = folder / f"{kind}.heartbeat.json"
    lock = filelock.FileLock(folder / f"{kind}.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise Occupied(
            f"another process is already writing {kind} in {run} ({_who(beat)}); wait for it or stop it"
        ) from None
    stop = threading.Event()
    try:
        other = _read(beat)
        if (
            other
            and other.get("host") != socket.gethostname()
            and time.time() - float(other.get("time", 0)) < STALE_SECONDS
        ):
            raise Occupied(
                f"{_who(beat)} is writing {kind} in {run}; wait for it, or {STALE_SECONDS:g} s after it ended"
            )
        _beat(beat)
        thread = threading.Thread(target=_keep_beating, args=(beat, stop), daemon=True)
        thread.start()
        yield
        stop.set()
        thread.join()
        beat.unlink(missing_ok=True)
    finally:
        stop.set()
        lock.release()


def _beat(path: Path) -> None:
    text = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "time": time.time()})
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)  # not fsynced: a heartbeat need not survive a power cut


def _keep_beating(path: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        try:
            _beat(path)
        except OSError:
            continue  # a full disk is reported where it matters: by the commit


def _read(path: Path) -> dict[str, float | str]:
    try:
        return dict(json.loads(path.read_text()))
    except (FileNotFoundError, ValueError):
        return {}


def _who(path: Path) -> str:
    found = _read(path)
    return f"process {found['pid']} on {found['host']}" if found else "an unknown process"
