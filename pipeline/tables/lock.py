"""One driver a table kind: a second one is refused, on this machine and on others that share the disk.

Drivers of different shards of one kind may work side by side: parts never collide, and no unit is in two shards.
"""

import fcntl
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import filelock

from pipeline.base import files
from pipeline.base.errors import UserError

BEAT_SECONDS = 5.0
BEATS_MISSED = 3  # then a driver is dead
GATE_SECONDS = 60.0  # to look at the other drivers takes a moment, and at one of another machine a few beats


class Occupied(UserError):
    """Another driver writes this table now."""


@contextmanager
def driving(run: Path, kind: str, shard: tuple[int, int] | None = None) -> Iterator[None]:
    """Be the only driver of this kind's table, or of its shard (i, n). Raises `Occupied` with who holds it.

    A file lock covers this machine and ends with the process, however it ends; the heartbeat file covers machines that
    share the disk without sharing locks.
    """
    folder = run / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    name = kind if shard is None else f"{kind}.{shard[0]}-of-{shard[1]}"
    with ExitStack() as held:
        with _gate(folder / f"{kind}.gate"):
            _refuse_rivals(folder, kind, name, shard)
            held.enter_context(_locked(folder, name))
            held.enter_context(_beating(_beat_of(folder, name)))
        yield


def held(run: Path, kind: str) -> bool:
    """Whether the lock files of a kind that this process drives are still there; they go when the run folder is deleted."""
    return any((run / "locks").glob(f"{kind}*.lock"))


def at_work(run: Path, kinds: Iterable[str]) -> dict[str, str]:
    """Who writes these kinds now: {kind or shard of it: process and machine}; empty when nobody does.

    Looking never gets in the way of a driver that starts: both go through the same gate.
    """
    folder = run / "locks"
    found: dict[str, str] = {}
    for kind in kinds:
        locks = [lock for lock in sorted(folder.glob(f"{kind}*.lock")) if lock.stem.partition(".")[0] == kind]
        if locks:
            with _gate(folder / f"{kind}.gate"):
                for lock in locks:
                    try:
                        with _locked(folder, lock.stem):
                            pass
                    except Occupied:
                        found[lock.stem] = _who(_beat_of(folder, lock.stem))
        for beat in sorted(folder.glob(f"{kind}*.heartbeat.json")):
            name = beat.name.removesuffix(".heartbeat.json")
            if name.partition(".")[0] == kind and name not in found and _beats(beat):
                found[name] = _who(beat)
    return found


def held_here(run: Path, name: str) -> bool:
    """Whether a process of this machine drives a kind, or the shard of it that lock files name so; see `at_work`.

    Nothing is waited for: raises `Occupied` while another process begins to drive this kind, or looks.
    """
    folder = run / "locks"
    with _gate(folder / f"{name.partition('.')[0]}.gate", 0.0):
        try:
            with _locked(folder, name):
                return False
        except Occupied:
            return True


@contextmanager
def program(run: Path) -> Iterator[None]:
    """Be one of the programs at work on a run (training, generating, evaluating ...): as many as like, but no opt-out beside them.

    Raises `Occupied` while an opt-out is at work. The lock ends with the process, however it ends. Where there is no run, as for a
    program that works on files of its own, there is nothing to keep.
    """
    if not run.is_dir():
        yield
        return
    with _flock(run, fcntl.LOCK_SH, "an opt-out or gc is deleting files of {run}: wait for it"):
        yield


@contextmanager
def no_program(run: Path) -> Iterator[None]:
    """Keep programs out of a run. Raises `Occupied` while one is at work."""
    said = "a program (training, generating, evaluating, fine-tuning data) is at work in {run}; wait for it or stop it"
    with _flock(run, fcntl.LOCK_EX, said):
        yield


@contextmanager
def _flock(run: Path, how: int, otherwise: str) -> Iterator[None]:
    """A lock that many may share, which `filelock` does not know."""
    folder = run / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "programs.flock").open("a") as held:
        try:
            fcntl.flock(held, how | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Occupied(otherwise.format(run=run)) from None
        yield


@contextmanager
def _gate(path: Path, seconds: float = GATE_SECONDS) -> Iterator[None]:
    lock = filelock.FileLock(path, timeout=seconds)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise Occupied(f"other processes have been trying to write to {path.parent.parent} for too long") from None
    try:
        yield
    finally:
        lock.release()


def _refuse_rivals(folder: Path, kind: str, name: str, shard: tuple[int, int] | None) -> None:
    """Raise `Occupied` when a driver works on units that may be ours: on this machine, or on another one."""
    for lock in sorted(folder.glob(f"{kind}*.lock")):
        other = lock.stem
        beside = shard is not None and other.endswith(f"-of-{shard[1]}") and other != name
        if other.partition(".")[0] != kind or beside:
            continue
        with _locked(folder, other):
            pass
    foreign = {}
    for beat in sorted(folder.glob(f"{kind}*.heartbeat.json")):
        other = beat.name.removesuffix(".heartbeat.json")
        beside = shard is not None and other.endswith(f"-of-{shard[1]}") and other != name
        if other.partition(".")[0] == kind and not beside and _of_another_host(files.read_object(beat)):
            foreign[other] = beat
    if foreign:
        whose = ", ".join(map(_who, foreign.values()))
        said = f"waiting up to {BEATS_MISSED * BEAT_SECONDS:g} s to see whether {whose} still works on {kind} of {folder.parent}"
        sys.stderr.write(f"{said}\n")  # before the wait, which looks like a hang otherwise
    for other in _beating_now(foreign):
        raise Occupied(f"{_who(foreign[other])} is writing {other} in {folder.parent}; wait for it or stop it")


@contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    lock = filelock.FileLock(folder / f"{name}.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        who = _who(_beat_of(folder, name))
        raise Occupied(f"{who} is already writing {name} in {folder.parent}; wait for it or stop it") from None
    try:
        yield
    finally:
        lock.release()


def _beat_of(folder: Path, name: str) -> Path:
    return folder / f"{name}.heartbeat.json"


def _of_another_host(beat: dict[str, Any]) -> bool:
    return bool(beat) and beat.get("host") != socket.gethostname()  # on this machine the lock tells, and that was free


def _beats(path: Path) -> bool:
    return bool(_beating_now({"it": path} if _of_another_host(files.read_object(path)) else {}))


def _beating_now(beats: dict[str, Path]) -> list[str]:
    """Which drivers on other machines are alive: a heartbeat changes while we look. No two clocks need agree for that.

    Args:
        beats: heartbeat files by name; all are watched at once, until one changes.
    """
    first = {name: files.read_object(path) for name, path in beats.items()}
    until = time.monotonic() + BEATS_MISSED * BEAT_SECONDS
    while beats and time.monotonic() < until:
        changed = [name for name, path in beats.items() if files.read_object(path) != first[name]]
        if alive := [name for name in changed if files.read_object(beats[name])]:
            return alive
        beats = {name: path for name, path in beats.items() if name not in changed}  # it ended while we looked
        time.sleep(BEAT_SECONDS / 10)
    return []


@contextmanager
def _beating(path: Path) -> Iterator[None]:
    stop = threading.Event()
    since = time.time()
    _beat(path, since)
    thread = threading.Thread(target=_keep_beating, args=(path, since, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        path.unlink(missing_ok=True)


def _beat(path: Path, since: float) -> None:
    text = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": since, "time": time.time()})
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)  # not fsynced: a heartbeat need not survive a power cut


def _keep_beating(path: Path, since: float, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        try:
            _beat(path, since)
        except OSError:
            continue  # a full disk is reported where it matters: by the commit


def _who(path: Path) -> str:
    found = files.read_object(path)
    return f"process {found.get('pid')} on {found.get('host')}" if found else "another process"
