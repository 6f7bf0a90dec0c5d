"""The worker in a seat's process: it is unpickled here, takes units as they come, and ends with its seat."""

import contextlib
import logging
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from pipeline.engine.executors.expected import imported
from pipeline.engine.executors.limits import TIMED_OUT_EXIT, limit_memory
from pipeline.engine.executors.parcel import Parcel, packed, unpacked
from pipeline.engine.executors.worker import Worker

LOOK_SECONDS = 0.2


def opened(job: bytes, nets: Mapping[str, str], folder: Path, host: str) -> Callable[[Parcel], Parcel]:
    """A function from a unit to its result.

    Args:
        job, nets: of the orders, see `Orders`.
        folder: in which it counts what it does.
        host: what results say of where they were made.
    """
    stage, context = pickle.loads(job)  # noqa: S301 - of the driver
    # Before a unit's time begins; Arrow imports pandas with its first list.
    for name in ("pandas", *imported(stage)):
        with contextlib.suppress(Exception):  # a unit that needs it meets the same, and says so
            import_module(name)
    limit_memory(stage.resources.memory_gb, context.device)
    models = context.models.here(nets) if context.models is not None else None
    worker = Worker(stage, replace(context, models=models, pulse=folder))
    logging.getLogger().addHandler(worker.logs)
    logging.getLogger().setLevel(logging.INFO)
    threading.Thread(target=_watch, args=(worker, os.getppid()), daemon=True).start()

    def run(unit: Parcel) -> Parcel:
        return packed(replace(worker.run(unpacked(unit)), host=host))

    return run


def _watch(worker: Worker, seat: int) -> None:
    """End this process when its unit ran past its time, or when its seat is gone: nobody would hear of the result."""
    while os.getppid() == seat:
        time.sleep(LOOK_SECONDS)
        if time.monotonic() > worker.deadline:
            os._exit(TIMED_OUT_EXIT)
    os.kill(os.getpid(), signal.SIGKILL)
