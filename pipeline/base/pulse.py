"""Signs of life from within a unit: processes count frames and bytes as they go, and whoever shows progress adds them up.

Each process has a file of its own, mapped into memory: counting takes no lock and no message, a process may die at any moment, and
how it was started does not matter. Nothing here affects results; a process that nobody listens to counts nothing.
"""

import contextlib
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

_FORM = struct.Struct("5q")  # the counters of a process, in the order of these numbers
_LOADING, _OF_UNIT, _FRAMES, _FETCHED, _READ = range(5)
_REMOTE, _GONE = (
    "worker-",
    "gone-",
)  # before the numbers of other machines' workers, in the place of a process's own number

_WRITE_SECONDS = 0.2  # between two numbers of one remote worker: as often as progress looks

_counters: memoryview | None = None
_owner = 0  # a forked process has the mapping of the one that it came from, and must not count there


@dataclass(frozen=True)
class Beats:
    """What the processes of a job have counted so far.

    Attributes:
        processes: that are at work.
        loading: of them, those that still load nets.
        of_units: frames of the units that they are at.
        frames: frames since they began.
        fetched: bytes downloaded since they began.
        read: bytes of files read whole, likewise.
    """

    processes: int = 0
    loading: int = 0
    of_units: int = 0
    frames: int = 0
    fetched: int = 0
    read: int = 0


class Pulse:
    """The folder in which the processes of a job count."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> Beats:
        """The sums over all processes; those that ended count with what they had done."""
        found = [(path.name, path.read_bytes()) for path in self.folder.iterdir()]
        counters = [(name, _FORM.unpack(data)) for name, data in found if len(data) == _FORM.size]
        alive = [of for name, of in counters if _alive(name)]
        loading, of_units = sum(of[_LOADING] for of in alive), sum(of[_OF_UNIT] for of in alive)
        frames, fetched, read = (sum(of[which] for _, of in counters) for which in (_FRAMES, _FETCHED, _READ))
        return Beats(len(alive), loading, of_units, frames, fetched, read)


class Remote:
    """Brings what processes of other machines have counted into the folder of a job.

    Args:
        folder: of the job's pulse; None where nobody listens.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._known: dict[int, Beats] = {}
        self._written: dict[int, float] = {}

    def write(self, worker: int, beats: Beats) -> None:
        """Take down what a worker has counted so far; what quick units bring by the hundred is not written each time."""
        self._known[worker] = beats
        now = time.monotonic()
        if now - self._written.get(worker, float("-inf")) < _WRITE_SECONDS:
            return
        self._written[worker] = now
        self._write(f"{_REMOTE}{worker}", (beats.loading, beats.of_units, beats.frames, beats.fetched, beats.read))

    def end(self, worker: int) -> None:
        """Note that a worker is gone; what it counted stays counted."""
        if (beats := self._known.pop(worker, None)) is not None and self.folder:
            (self.folder / f"{_REMOTE}{worker}").unlink(missing_ok=True)
            self._write(f"{_GONE}{worker}", (0, 0, beats.frames, beats.fetched, beats.read))

    def _write(self, name: str, counters: tuple[int, ...]) -> None:
        if self.folder is not None:
            with contextlib.suppress(OSError):
                (self.folder / name).write_bytes(_FORM.pack(*counters))


def _alive(name: str) -> bool:
    """Whether the process that counts into a file of this name is at work."""
    return name.startswith(_REMOTE) or (name.isdigit() and psutil.pid_exists(int(name)))


@contextmanager
def listening() -> Iterator[Pulse]:
    """A pulse for the time of a job."""
    with tempfile.TemporaryDirectory(prefix="csg405-", ignore_cleanup_errors=True) as folder:
        try:
            yield Pulse(Path(folder))
        finally:
            _stop()


def _stop() -> None:
    global _counters
    _counters = None


def count_into(folder: Path | None) -> None:
    """Have this process count into a folder, or nowhere; where that cannot be, it counts nothing."""
    global _counters, _owner
    _counters, _owner = None, os.getpid()
    if folder is not None:
        with contextlib.suppress(OSError), (folder / str(_owner)).open("w+b") as file:
            file.write(bytes(_FORM.size))
            file.flush()
            _counters = memoryview(mmap.mmap(file.fileno(), _FORM.size)).cast("q")


def beat(*, frames: int = 0, fetched: int = 0, read: int = 0) -> None:
    """Count frames, bytes that were downloaded, and bytes that were read."""
    if (counters := _mine()) is not None:
        counters[_OF_UNIT] += frames
        counters[_FRAMES] += frames
        counters[_FETCHED] += fetched
        counters[_READ] += read


def begin_unit() -> None:
    """Begin another unit, or none."""
    if (counters := _mine()) is not None:
        counters[_OF_UNIT] = 0


@contextmanager
def loading() -> Iterator[None]:
    """Say that nets are being loaded."""
    _set_loading(1)
    try:
        yield
    finally:
        _set_loading(0)


def _set_loading(value: int) -> None:
    if (counters := _mine()) is not None:
        counters[_LOADING] = value


def _mine() -> memoryview | None:
    return _counters if _counters is not None and os.getpid() == _owner else None
