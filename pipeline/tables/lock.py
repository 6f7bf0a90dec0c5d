"""One driver a table kind: a second one is refused, on this machine and on others that share the disk.

Drivers of different shards of one kind may work side by side: parts never collide, and no unit is in two shards. A file lock covers
this machine, and others where the file system carries locks to them; it ends with the process, however it ends. The heartbeat
covers machines that share a disk without sharing locks.
"""

import errno
import fcntl
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import filelock

from pipeline.base.errors import UserError
from pipeline.tables import heartbeat
from pipeline.tables.heartbeat import SUFFIX, Sample, Taken, who

GATE_SECONDS = 60.0  # to look at the other drivers takes a moment, and at one of another machine a few beats
_BUSY = {errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK}
_lockable: set[Path] = set()  # folders in which this process tried it


class Occupied(UserError):
    """Another driver writes this table now."""


class NoLocks(UserError):
    """The file system of a run cannot lock files, so that nothing keeps two drivers apart."""


@contextmanager
def driving(run: Path, kind: str, shard: tuple[int, int] | None = None) -> Iterator[None]:
    """Be the only driver of this kind's table, or of its shard (i, n).

    Raises: `Occupied` with who holds it; `NoLocks` where files cannot be locked.
    """
    folder = run / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    check_lockable(folder)
    name = kind if shard is None else f"{kind}.{shard[0]}-of-{shard[1]}"
    with ExitStack() as held:
        with _gate(folder / f"{kind}.gate"):
            known = _refuse_rivals(folder, kind, name, shard)
            held.enter_context(_locked(folder, name))
            _claim(held, folder, name, known.get(name))
            _refuse_newcomers(folder, kind, name, shard, known)
        yield


def check_lockable(folder: Path) -> None:
    """Try whether a lock of a file in this folder keeps a second one out. Raises `NoLocks`."""
    if folder in _lockable:
        return
    probe = folder / f".probe.{uuid.uuid4().hex}"
    try:
        with probe.open("a+") as first, probe.open("a+") as second:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as refused:
                if refused.errno not in _BUSY:
                    raise
            else:
                raise NoLocks(_cannot(folder, "a second lock of a file is given beside the first"))
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF):
            raise NoLocks(_cannot(folder, str(error))) from error
        raise
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
    _lockable.add(folder)


def _cannot(folder: Path, why: str) -> str:
    return (
        f"files in {folder} cannot be locked ({why}), so nothing would keep two drivers of a run apart: mount it with locks "
        "(NFS: without nolock, and with the server's lock service; Lustre: -o flock), or give --run a folder on another disk"
    )


def held(run: Path, kind: str) -> bool:
    """Whether the lock files of a kind that this process drives are still there; they go when the run folder is deleted."""
    return any((run / "locks").glob(f"{kind}*.lock"))


def taken_over(run: Path, kind: str) -> str:
    """Who took a kind over that this process drives, because it gave no sign of life for too long; "" where nobody did."""
    path = heartbeat.lost(run / "locks", kind)
    return who(path) if path else ""


def at_work(run: Path, kinds: Iterable[str]) -> dict[str, str]:
    """Who writes these kinds now: {kind or shard of it: process and machine}; empty when nobody does.

    Looking never gets in the way of a driver that starts: both go through the same gate.
    """
    folder = run / "locks"
    found: dict[str, str] = {}
    beats: dict[str, Path] = {}
    for kind in kinds:
        if locks := _locks(folder, kind):
            with _gate(folder / f"{kind}.gate"):
                for name in locks:
                    try:
                        with _locked(folder, name):
                            pass
                    except Occupied:
                        found[name] = who(_beat_of(folder, name))
        beats |= {name: path for name, path in heartbeat.of(folder, kind).items() if heartbeat.from_elsewhere(path)}
    rest = {path: name for name, path in beats.items() if name not in found}
    return found | {rest[path]: who(path) for path in heartbeat.watch(rest)}


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
    check_lockable(folder)
    with (folder / "programs.flock").open("a+") as held:  # NFS gives a shared lock of what is open for reading alone
        try:
            fcntl.flock(held, how | fcntl.LOCK_NB)
        except OSError as refused:
            if refused.errno not in _BUSY:
                raise
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


def _locks(folder: Path, kind: str) -> list[str]:
    """The kind and its shards, as far as they have a lock file."""
    return [lock.stem for lock in sorted(folder.glob(f"{kind}*.lock")) if lock.stem.partition(".")[0] == kind]


def _is_rival(name: str, other: str, shard: tuple[int, int] | None) -> bool:
    """Whether another driver, by what it writes, may work on units that are ours: all but other shards of as many."""
    return shard is None or other == name or not other.endswith(f"-of-{shard[1]}")


def _refuse_rivals(folder: Path, kind: str, name: str, shard: tuple[int, int] | None) -> dict[str, Sample]:
    """Look for drivers whose units may be ours, on this machine and on others.

    Returns: {what is written: heartbeat} of those that are dead, and left one. Raises `Occupied`.
    """
    for other in _locks(folder, kind):
        if _is_rival(name, other, shard):
            with _locked(folder, other):
                pass
    beats = {other: path for other, path in heartbeat.of(folder, kind).items() if _is_rival(name, other, shard)}
    known = {other: found for other, path in beats.items() if (found := heartbeat.sample(path))}
    foreign = {path: other for other, path in beats.items() if heartbeat.from_elsewhere(path)}
    if foreign:
        whose = ", ".join(map(who, foreign))
        seconds = heartbeat.BEATS_MISSED * heartbeat.BEAT_SECONDS
        said = f"waiting up to {seconds:g} s to see whether {whose} still works on {kind} of {folder.parent}"
        sys.stderr.write(f"{said}\n")  # before the wait, which looks like a hang otherwise
    for path in heartbeat.watch(foreign, first=True):
        raise Occupied(f"{who(path)} is writing {foreign[path]} in {folder.parent}; wait for it or stop it")
    return known


def _claim(held: ExitStack, folder: Path, name: str, stale: Sample | None) -> None:
    path = _beat_of(folder, name)
    try:
        held.enter_context(heartbeat.beating(path, stale))
    except Taken:
        raise Occupied(f"{who(path)} began to write {name} in {folder.parent} first; wait for it or stop it") from None


def _refuse_newcomers(
    folder: Path, kind: str, name: str, shard: tuple[int, int] | None, known: dict[str, Sample]
) -> None:
    """Raise `Occupied` where a rival on another machine began as we did: both saw nobody, and both see each other now."""
    for other, path in heartbeat.of(folder, kind).items():
        now = heartbeat.sample(path)
        if other != name and _is_rival(name, other, shard) and now and now != known.get(other):
            raise Occupied(f"{who(path)} began to write {other} in {folder.parent} now; start one of the two again")


@contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    lock = filelock.FileLock(folder / f"{name}.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        holder = who(_beat_of(folder, name))
        raise Occupied(f"{holder} is already writing {name} in {folder.parent}; wait for it or stop it") from None
    try:
        yield
    finally:
        lock.release()


def _beat_of(folder: Path, name: str) -> Path:
    return folder / f"{name}{SUFFIX}"
