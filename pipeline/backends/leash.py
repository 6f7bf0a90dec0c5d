"""Run a program on a leash: when the holder of the leash dies, the program and everything it started is killed.

`python leash.py FD COMMAND...` leads a process group of its own. FD is the end of a pipe whose other end is held by the one who
waits for the command: it closes however that one dies, by SIGKILL too. A watcher in the group reads it, and then kills the
group, itself among it: a group that the watcher is in is never another one by the same number. Who ends the group ends the watcher.

Self-contained, so that it starts at once and whatever the command's environment holds.
"""

import os
import signal
import sys

NOT_STARTED = 127  # as shells say it


def main() -> None:
    end, command = int(sys.argv[1]), sys.argv[2:]
    _watch(end)
    os.close(end)
    for name in ("SIGPIPE", "SIGXFSZ"):  # which Python ignores, and a new program would go on ignoring
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is what is wanted
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
        sys.exit(NOT_STARTED)


def _watch(end: int) -> None:
    """Leave a watcher in this group. It is nobody's child, so that the command never meets one that it did not start."""
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        return
    if os.fork():
        os._exit(0)
    while os.read(end, 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
