"""A place for one worker on a machine of a cluster: a process beside the cluster's own, watched as local workers are.

The worker has a process to itself, and not the cluster's: what it does to its memory, its threads or its signals concerns nobody
else, its limits hold to the byte, and how it ended is known. As a program, this module is that process.
"""

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

from pipeline.base.process import prepare
from pipeline.base.pulse import Beats, Pulse
from pipeline.base.reasons import Reason
from pipeline.engine.executors.alike import installed, lacking
from pipeline.engine.executors.limits import SETUP_SECONDS, TIMED_OUT_EXIT, how_it_died
from pipeline.engine.executors.parcel import Parcel, receive, send

TOGETHER_SECONDS = 1.0  # after which units that came together are not begun any more
_OF_THE_CLUSTER = ("OMP_NUM_THREADS",)  # set for its own processes; how many threads a worker has, its context says


@dataclass(frozen=True)
class Orders:
    """What a worker needs of its driver, and all that it needs.

    Attributes:
        job: pickled (stage, context), which only the worker's own process unpickles.
        seconds: a unit's limit.
        shared: a folder that this machine must share with the driver's; None where a store is all that they share.
        modules: packages that the stage needs.
        nets: {name: sha256} of the nets that the driver has.
        path: where the driver finds modules; what of it a machine has too, as one that shares a checkout, counts there.
    """

    job: bytes
    seconds: float
    shared: Path | None
    modules: tuple[str, ...]
    nets: Mapping[str, str]
    path: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """What a machine has.

    Attributes:
        installed: {what: version} that it must have as the driver's machine has it.
        lacking: packages of the stage that are not there.
        host: its name, and the GPU.
        gpus: that its process was given, "" for none.
        sees_shared: whether the folder is there that it must share.
    """

    installed: dict[str, str]
    lacking: list[str]
    host: str
    gpus: str
    sees_shared: bool


class Seat:
    """Runs a worker's process, gives it units, and tells how they ended, and it.

    Args:
        orders: of the driver.
    """

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.folder = tempfile.TemporaryDirectory(prefix="csg405-", ignore_cleanup_errors=True)
        self.pulse = Pulse(Path(self.folder.name))
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None

    def report(self) -> Report:
        """What a driver asks of a machine before it gives it units: what is installed there, and whether it sees the files."""
        self._begin()
        shared = self.orders.shared
        return Report(installed(), lacking(self.orders.modules), host(), gpus(), shared is None or shared.is_dir())

    def run(self, units: Sequence[Parcel]) -> tuple[list[Parcel], Beats]:
        """The results of units, in their order, and what was counted so far.

        Of several units the last ones are left undone where the first take longer than was thought: nobody hears of results before.
        """
        answers, began = [self._asked(units[0])], time.monotonic()
        for unit in units[1:]:
            if time.monotonic() - began > TOGETHER_SECONDS:
                break
            answers.append(self._asked(unit))
        return answers, self.beats()

    def beats(self) -> Beats:
        """What the worker has counted so far."""
        return self.pulse.read()

    def _asked(self, unit: Parcel) -> Parcel:
        for _ in range(2):  # one that ended between two units says nothing of the second
            try:
                send(self._begin(), unit)
                break
            except OSError:
                self._end()
        assert self._line is not None, "`_begin` opened it"
        limit = self.orders.seconds + SETUP_SECONDS
        try:
            if self._line.poll(limit):
                return receive(self._line)
        except (EOFError, OSError):
            return self._failed(*self._how_it_ended())
        self._end()
        return self._failed(Reason.TIMED_OUT, f"stopped after {limit:g} s")

    def _how_it_ended(self) -> tuple[Reason, str]:
        assert self._process is not None, "its line was open"
        try:
            code = self._process.wait(10)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        self._end()
        if code == TIMED_OUT_EXIT:
            return Reason.TIMED_OUT, f"stopped after {self.orders.seconds:g} s"
        return Reason.CRASHED, how_it_died(code)

    def _failed(self, reason: Reason, words: str) -> Parcel:
        seconds = self.orders.seconds if reason is Reason.TIMED_OUT else 0.0
        return _failure(reason, words, wall_seconds=seconds, host=host())

    def _begin(self) -> Connection:
        """Start the worker's process, unless it runs."""
        if self._process is None or self._line is None:
            self._line, theirs = Pipe()
            command = [sys.executable, "-m", __name__, str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env=_environment(self.orders.path), stdin=subprocess.DEVNULL
            )
            theirs.close()
            self._line.send_bytes(pickle.dumps((self.orders, self.folder.name)))
        return self._line

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._line is not None:
            self._line.close()
        self._process = self._line = None


def host() -> str:
    """This machine's name, and the GPU that this process was given, where it was."""
    given = gpus()
    return f"{socket.gethostname()} gpu {given}" if given else socket.gethostname()


def gpus() -> str:
    """The GPUs that this process was given, such as "0" or "0,1"; "" for none."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return given if Path("/proc/driver/nvidia/version").exists() and given != "-1" else ""


def _environment(driver: Sequence[str]) -> dict[str, str]:
    """This process's, and in it where modules are: first what this machine alone has, as code that was sent to it."""
    own = [place for place in module_path() if place not in driver]
    kept = {name: value for name, value in os.environ.items() if name not in _OF_THE_CLUSTER}
    return {**kept, "PYTHONPATH": os.pathsep.join([*own, *driver]), "PYTHONSAFEPATH": "1"}


def module_path() -> tuple[str, ...]:
    """Where this process finds modules."""
    return tuple(place or str(Path.cwd()) for place in sys.path)


def _main(number: int) -> None:
    """Take orders, then units, until the seat is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's business
    line = Connection(number)
    orders, folder = pickle.loads(line.recv_bytes())  # noqa: S301 - of the process that started this one
    prepare()
    try:
        run = _worker(orders, Path(folder))
    except Exception as error:  # noqa: BLE001 - whatever it is, the driver must hear of it
        run = _broken(f"its worker cannot begin on {host()}: {type(error).__name__}: {error}")
    while True:
        try:
            unit = receive(line)
        except EOFError:
            return
        send(line, run(unit))


def _broken(words: str) -> Callable[[Parcel], Parcel]:
    """A function that answers every unit with a result that stops the stage."""
    answer = _failure(Reason.EXCEPTION, words, broken=True)
    return lambda _: answer


def _failure(reason: Reason, words: str, **more: Any) -> Parcel:
    """A result that no worker gave."""
    from pipeline.engine.executors import seated  # Arrow, before which `prepare` has to be called

    return seated.failure(reason, words, **more)


def _worker(orders: Orders, folder: Path) -> Callable[[Parcel], Parcel]:
    """A function from a unit to its result."""
    from pipeline.engine.executors import seated_worker  # all that a worker needs: after `prepare`, too

    return seated_worker.opened(orders.job, orders.nets, folder, host())


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # the seat is gone
        _main(int(sys.argv[1]))
