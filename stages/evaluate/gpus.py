"""The GPUs of an evaluation: each worker process takes one for itself, and another one gets it when that process has ended."""

import fcntl
import os
import platform
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from pipeline.base.errors import StageError

WAIT_SECONDS = 60.0  # for a process that was killed to be gone


def _listed(value: Any) -> Any:
    """A number, or a text such as "0,1", as a list of texts."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return [str(part) for part in value] if isinstance(value, list | tuple) else value


def _named(gpus: tuple[str, ...]) -> tuple[str, ...]:
    for gpu in gpus:
        if not re.fullmatch(r"[\w:.-]+", gpu):
            raise ValueError(f"{gpu!r} is no number or UUID of a GPU: expected such as 0,1")
    return gpus


Gpus = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_named)]


_claimed: dict[Path, tuple[str, IO[str]]] = {}  # of this process, by store; the locks end with it


def claim(gpus: Sequence[str], run: Path) -> str:
    """Take a GPU that no other worker has, and let this process see no other one; "" where none are named.

    Must come before anything in this process looks for GPUs.

    Args:
        gpus: as CUDA_VISIBLE_DEVICES names them; one that stands there twice is for two workers.
        run: the store's folder; locks lie in it, by machine.

    Raises:
        StageError: others hold all of them.
    """
    if not gpus:
        return ""
    if run in _claimed and _claimed[run][0] in gpus:
        return _claimed[run][0]
    folder = run / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    ending = time.monotonic() + WAIT_SECONDS
    while True:
        for place, gpu in enumerate(gpus):
            held = _lock(folder / f"gpu-{platform.node()}-{gpu}-{list(gpus[:place]).count(gpu)}.flock")
            if held is not None:
                _claimed[run] = gpu, held
                os.environ["CUDA_VISIBLE_DEVICES"] = gpu
                return gpu
        if time.monotonic() > ending:
            raise StageError(f"every GPU of {', '.join(gpus)} has a worker: does another evaluation of {run} use them?")
        time.sleep(0.1)


def _lock(path: Path) -> IO[str] | None:
    """The lock of a file, or None where another process has it."""
    held = path.open("a")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        return None
    return held
