"""Running of another program: in its own process group, with a deadline, without our secrets, its output in a log."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TypeVar

from pipeline.backends import leash
from pipeline.backends.errors import BackendError, Trouble
from pipeline.backends.troubles import diagnose, last_lines

LOOK_SECONDS = 0.5
MAX_LOG_BYTES = 256 << 20
_Seen = TypeVar("_Seen")
# Of an environment, what a program from elsewhere has no business with: keys, and proxies with a password in them.
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASS|CREDENTIAL|KEY|COOKIE|AUTH|^CSG405_", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"://[^/\s@]*:[^/\s@]*@")
# Our own values would point its interpreter at our packages, or limit its linear algebra to one thread.
_OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "OPENBLAS_NUM_THREADS")


def environment(gpu: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of a back-end: the inherited one without secrets and without our own variables.

    Args:
        gpu: CUDA_VISIBLE_DEVICES; "" leaves it as inherited.
        inherited: usually os.environ.
    """
    kept = {
        name: value
        for name, value in inherited.items()
        if name not in _OURS and not _SECRET_NAME.search(name) and not _SECRET_VALUE.search(value)
    }
    if "LD_LIBRARY_PATH" in kept:
        # OpenCV puts its own folder there when it is imported, and its libraries would stand before theirs.
        own = Path(sys.prefix).resolve()
        parts = kept["LD_LIBRARY_PATH"].split(os.pathsep)
        kept["LD_LIBRARY_PATH"] = os.pathsep.join(part for part in parts if own not in Path(part).resolve().parents)
    kept["PYTHONUNBUFFERED"] = "1"
    if gpu:
        kept["CUDA_VISIBLE_DEVICES"] = gpu
    return kept


def run(command: Sequence[str], folder: Path, log: Path, *, gpu: str = "", deadline_seconds: float) -> None:
    """Run a command in a folder until it ends well; whatever ends it, or this process, nothing that it started stays.

    Args:
        command: the arguments, program first; no shell reads them.
        folder: where it runs.
        log: what it says, both streams; kept.
        gpu: as of `environment`.
        deadline_seconds: after that long it is stopped, and all that it started.

    Raises:
        BackendError: NO_PYTHON, HANG, and what `diagnose` finds in the log of a crash.
    """
    with log.open("wb") as output, leashed() as watched:
        process = started(command, folder, output, watched, gpu=gpu)
        try:
            status = _wait(process, log, deadline_seconds)
        finally:  # on Ctrl-C too
            end(process)
    check_status(status, log)


def started(
    command: Sequence[str], folder: Path, output: IO[bytes], watched: int, *, gpu: str, ends: Sequence[int] = ()
) -> "subprocess.Popen[bytes]":
    """Start a command in a process group of its own, on a leash.

    Args:
        command, folder, gpu: as of `run`.
        output: takes what it says, both streams.
        watched: of `leashed`.
        ends: of pipes that it is given beside.

    Raises:
        BackendError: NO_PYTHON where nothing can be started in that folder.
    """
    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", leash.__file__, str(watched), *command],
            cwd=folder,
            env=environment(gpu, os.environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(watched, *ends),
        )
    except OSError as error:
        raise BackendError(Trouble.NO_PYTHON, f"{folder}: no program can be started there: {error.strerror}") from error


def check_status(status: int, log: Path) -> None:
    """Raise BackendError for a status that is not 0: NO_PYTHON, and what `diagnose` finds in the log."""
    if status == leash.NOT_STARTED:
        raise BackendError(Trouble.NO_PYTHON, last_lines(log))
    if status != 0:
        raise diagnose(status, log)


@contextlib.contextmanager
def leashed() -> Iterator[int]:
    """The end of a pipe for `leash` to watch; the other end closes with the block, or with this process, however it dies."""
    watched, held = os.pipe()
    try:
        yield watched
    finally:
        os.close(watched)
        os.close(held)


def _wait(process: "subprocess.Popen[bytes]", log: Path, deadline_seconds: float) -> int:
    """Its exit status; BackendError as of `awaited`."""

    def status(seconds: float) -> int | None:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    return awaited(status, log, deadline_seconds)


def awaited(look: Callable[[float], _Seen | None], log: Path, deadline_seconds: float) -> _Seen:
    """What `look` sees first that is not None.

    Args:
        look: waits for so many seconds at most.
        log: of the program that is waited for.
        deadline_seconds: after that long nobody looks any more.

    Raises:
        BackendError: HANG past the deadline, CRASH when its log fills the disk.
    """
    ending = time.monotonic() + deadline_seconds
    while True:
        left = ending - time.monotonic()
        if left <= 0:
            raise BackendError(
                Trouble.HANG,
                f"it ran past its deadline of {deadline_seconds:g} s and was stopped; raise the deadline for long videos. "
                f"Its last output:\n{last_lines(log)}\nFull log: {log}",
            )
        if log.stat().st_size > MAX_LOG_BYTES:
            raise BackendError(
                Trouble.CRASH, f"it wrote more than {MAX_LOG_BYTES >> 20} MiB of output and was stopped; see {log}"
            )
        if (seen := look(min(LOOK_SECONDS, left))) is not None:
            return seen


def end(process: "subprocess.Popen[bytes]") -> None:
    """End the whole group: what it started may have outlived it, and holds the GPU."""
    with contextlib.suppress(
        ProcessLookupError, PermissionError
    ):  # the group is empty; macOS reports that in the second way
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
