"""Heartbeats: how drivers on machines that share a disk, but perhaps no locks, know of each other.

A driver makes its heartbeat file exclusively, which network file systems do atomically, and writes into it every few seconds.
Whoever looks from another machine watches for a change: no two clocks need agree, and a process id means nothing there. Which
machine wrote it is told by the id of its boot, for two machines may have one name, and containers of one machine many.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.base import files

BEAT_SECONDS = 5.0
BEATS_MISSED = 3  # then a driver is dead
SUFFIX = ".heartbeat.json"
_BYTES = 512  # always as many, so that no reader finds the end of an older beat
_BOOT = Path("/proc/sys/kernel/random/boot_id")

Sample = tuple[int, int, bytes]  # inode, time of change by the file system's clock, content

_dead: dict[Path, Sample] = {}  # as they were when this process had watched them to the end
_ours: "set[Heartbeat]" = set()


def machine() -> str:
    """What names this machine, since it was started, among those that share a disk: its boot id, or else its host name."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return socket.gethostname()


def from_elsewhere(path: Path) -> bool:
    """Whether a heartbeat may be of another machine: it is, or does not say. Locks tell of the drivers of this one."""
    if not path.exists():
        return False
    beat = files.read_object(path)
    if "machine" in beat:
        return bool(beat["machine"] != machine() or beat.get("disk", _disk(path)) != _disk(path))
    return beat.get("host") != socket.gethostname()  # an older version wrote it, or nobody knows


def _disk(path: Path) -> int:
    """The mount that a heartbeat lies on: locks tell nothing of containers of one machine with a mount of their own each."""
    return path.parent.stat().st_dev


def who(path: Path) -> str:
    """The process of a heartbeat, in words."""
    found = files.read_object(path)
    return f"process {found.get('pid')} on {found.get('host')}" if found else "another process"


def sample(path: Path) -> Sample | None:
    """A heartbeat as it is now; None where there is none."""
    try:
        with path.open("rb") as opened:
            state = os.fstat(opened.fileno())
            return state.st_ino, state.st_mtime_ns, opened.read(4096)
    except OSError:
        return None


def watch(paths: Iterable[Path], *, first: bool = False) -> list[Path]:
    """Which of these heartbeats change while we look, all at once; with `first`, as soon as one does.

    One that was watched to its end before, and is as it was then, is not watched again.
    """
    before = {path: found for path in paths if (found := sample(path)) and _dead.get(path) != found}
    until = time.monotonic() + BEATS_MISSED * BEAT_SECONDS
    alive: list[Path] = []
    while before and time.monotonic() < until and not (first and alive):
        time.sleep(BEAT_SECONDS / 10)
        for path in [path for path, then in before.items() if sample(path) != then]:
            del before[path]
            alive += [path] if path.exists() else []  # else it ended while we looked
    if not (first and alive):
        _dead.update(before)
    return alive


class Taken(Exception):
    """Raised when another driver made the heartbeat first."""


class Heartbeat:
    """The heartbeat of this process as a driver."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._about = {
            "host": socket.gethostname(),
            "machine": machine(),
            "disk": _disk(path),
            "pid": os.getpid(),
            "since": time.time(),
        }
        self._handle = -1

    def take(self, stale: Sample | None) -> None:
        """Make the file. Raises Taken.

        Args:
            stale: what lies there and is known to be of a dead driver.
        """
        if stale is not None:
            self._put_aside(stale)
        try:
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            raise Taken from None
        self.beat()

    def _put_aside(self, stale: Sample) -> None:
        """Take a dead driver's file away; one that another driver made meanwhile is put back."""
        aside = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}")
        try:
            self.path.rename(aside)
        except FileNotFoundError:  # somebody else took it away
            return
        if sample(aside) != stale:
            with suppress(FileExistsError):
                os.link(aside, self.path)
        aside.unlink()

    def beat(self) -> None:
        """Write that this process is alive; at once where other machines see it."""
        text = json.dumps({**self._about, "time": time.time()})
        os.pwrite(self._handle, text.encode().ljust(_BYTES), 0)
        os.fsync(self._handle)

    def is_ours(self) -> bool:
        """Whether the file that lies there is still the one that this process made."""
        try:
            there, mine = self.path.stat(), os.fstat(self._handle)
        except OSError:
            return False
        return (there.st_ino, there.st_dev) == (mine.st_ino, mine.st_dev)

    def end(self) -> None:
        """Take the file away, if it is still ours."""
        if self.is_ours():
            self.path.unlink(missing_ok=True)
        os.close(self._handle)


@contextmanager
def beating(path: Path, stale: Sample | None) -> Iterator[None]:
    """Make a heartbeat, and write into it until the block ends. Raises Taken, as `Heartbeat.take`."""
    mine = Heartbeat(path)
    mine.take(stale)
    stop = threading.Event()
    thread = threading.Thread(target=_keep_beating, args=(mine, stop), daemon=True)
    thread.start()
    _ours.add(mine)
    try:
        yield
    finally:
        _ours.discard(mine)
        stop.set()
        thread.join()
        mine.end()


def _keep_beating(mine: Heartbeat, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        with suppress(OSError):  # a full disk is reported where it matters: by the commit
            mine.beat()


def lost(folder: Path, kind: str) -> Path | None:
    """A heartbeat of this process for a kind, or a shard of it, that another driver took for dead and replaced."""
    mine = [beat for beat in _ours if beat.path.parent == folder and beat.path.name.partition(".")[0] == kind]
    gone = [beat for beat in mine if not beat.is_ours()]
    if gone:
        time.sleep(BEAT_SECONDS / 10)  # one that a rival put aside by mistake is back at once
    return next((beat.path for beat in gone if not beat.is_ours()), None)


def seen_by_the_disk(path: Path) -> float:
    """Seconds since a heartbeat was written, by the clock of its file system alone, or, where nothing can be written, by ours."""
    written = path.stat().st_mtime
    probe = path.with_name(f".clock.{uuid.uuid4().hex}")
    try:
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
    except OSError:
        now = time.time()
    return now - written


def of(folder: Path, kind: str) -> dict[str, Path]:
    """{what is written, the kind or a shard of it: heartbeat file} of the drivers of a kind."""
    found = {path.name.removesuffix(SUFFIX): path for path in sorted(folder.glob(f"{kind}*{SUFFIX}"))}
    return {name: path for name, path in found.items() if name.partition(".")[0] == kind}
