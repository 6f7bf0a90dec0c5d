"""A back-end's process that stays for the clips that follow, so that its weights are opened once."""

import json
import os
import select
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from pipeline.backends import batch_runner
from pipeline.backends.backend import Cut
from pipeline.backends.process import awaited, check_status, end, leashed, started

_END_SECONDS = 5.0  # for a process that has answered its last job, or none, to be gone


class Kept:
    """Runs a back-end's command as `process.run` does, in a process that is kept for the next one.

    A clip that fails is told as ever, and the process stays where the next clip does not depend on it. One that crashed, hung, or
    was started for another back-end, folder or GPU is ended, and the next clip starts anew.

    Attributes:
        opened: how many processes were started so far, each of which opens the weights once.
    """

    def __init__(self) -> None:
        self.opened = 0
        self._process: _Process | None = None
        self._of: tuple[object, ...] = ()

    def run(
        self, command: Sequence[str], folder: Path, log: Path, cut: Cut, *, gpu: str = "", deadline_seconds: float
    ) -> None:
        """Film one clip.

        Args:
            command: interpreter, program, arguments.
            folder, log, gpu, deadline_seconds: as of `process.run`; opening the weights counts.
            cut: of the program.

        Raises:
            BackendError: as of `process.run`.
        """
        python, program, *_ = command
        of = (python, Path(program).name, folder, cut, gpu)
        log.touch()
        if self._process is None or self._of != of or not self._process.stays():
            self.close()
            self._process, self._of = _Process(python, folder, log, cut, gpu), of
            self.opened += 1
        try:
            status = self._process.film(command[1:], log, deadline_seconds)
        except BaseException:  # it hangs, or we are interrupted
            self.close()
            raise
        check_status(status, log)

    def close(self) -> None:
        """End the process and all that it started."""
        if self._process is not None:
            self._process.close()
            self._process = None


class _Process:
    """A running `batch_runner.py`; it ends with this object, or with this process, however that dies."""

    def __init__(self, python: str, folder: Path, log: Path, cut: Cut, gpu: str) -> None:
        with ExitStack() as held, ExitStack() as theirs, log.open("wb") as output:
            jobs, self._jobs = os.pipe()
            theirs.callback(os.close, jobs)
            held.callback(os.close, self._jobs)
            self._answers, answers = os.pipe()
            theirs.callback(os.close, answers)
            held.callback(os.close, self._answers)
            watched = held.enter_context(leashed())
            command = [python, batch_runner.__file__, str(jobs), str(answers), json.dumps(asdict(cut))]
            self._process = started(command, folder, output, watched, gpu=gpu, ends=(jobs, answers))
            held.callback(end, self._process)
            self.close = weakref.finalize(self, held.pop_all().close)
        self._said, self._last = b"", False

    def stays(self) -> bool:
        """Whether it can take another job."""
        return not self._last and self._process.poll() is None

    def film(self, command: Sequence[str], log: Path, deadline_seconds: float) -> int:
        """The status of one job. Raises BackendError (HANG; CRASH for too long a log)."""
        job = json.dumps({"command": list(command), "log": str(log.absolute())}) + "\n"
        try:
            _write(self._jobs, job.encode())
        except BrokenPipeError:
            return self._ended()
        return awaited(self._answered, log, deadline_seconds)

    def _answered(self, seconds: float) -> int | None:
        """What it answers within so many seconds, or how it ended."""
        if not select.select([self._answers], [], [], seconds)[0]:
            # The watcher on its leash holds the pipe too, so that this one does not end with the process.
            return None if self._process.poll() is None else self._ended()
        said = os.read(self._answers, 4096)
        self._said += said
        if not said:
            return self._ended()
        line, newline, rest = self._said.partition(b"\n")
        if not newline:
            return None
        self._said = rest
        try:
            answer = json.loads(line)
            status, self._last = int(answer["status"]), bool(answer["last"])
        except (ValueError, KeyError, TypeError):  # the program itself wrote into that pipe
            status, self._last = 1, True
        return status

    def _ended(self) -> int:
        """How it ended, which a job that it answers does not make it do; 1 where it ended as if all were well."""
        return self._process.wait(_END_SECONDS) or 1


def _write(end_of_pipe: int, data: bytes) -> None:
    while data:
        data = data[os.write(end_of_pipe, data) :]
