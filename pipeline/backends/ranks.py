"""Start a program once a GPU, as torchrun does, but in one process group. Self-contained: it runs in a back-end's environment.

`python ranks.py COUNT PROGRAM ARGUMENTS...`. torchrun gives each of its processes a session of its own: whoever ends the group
that torchrun is in leaves them behind, and they go on holding the GPUs.
"""

import os
import socket
import subprocess
import sys
import time

LOOK_SECONDS = 0.2


def main() -> None:
    count, command = int(sys.argv[1]), sys.argv[2:]
    shared = {**os.environ, "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    started = [
        subprocess.Popen([sys.executable, *command], env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(count)
    ]
    code = _wait(started)
    for process in started:  # one that failed leaves the others waiting for it
        process.kill()
        process.wait()
    if code < 0:
        os.kill(os.getpid(), -code)  # so that who waits sees the signal
    sys.exit(code)


def _wait(started: "list[subprocess.Popen[bytes]]") -> int:
    """0 when all have ended well, else the status of one that has not."""
    while True:
        codes = [process.poll() for process in started]
        failed = [code for code in codes if code]
        if failed or None not in codes:
            return failed[0] if failed else 0
        time.sleep(LOOK_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
