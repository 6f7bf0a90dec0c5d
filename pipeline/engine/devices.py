"""A run's share of this machine: processor cores, worker processes, a GPU, a part of the units."""

import os
from pathlib import Path

import click

from pipeline.base.errors import BadUse, StageError
from pipeline.engine.executors import LOCAL
from pipeline.engine.profile import MOST_WORKERS, Profile

_GPUS, _NODES = Path("/proc/driver/nvidia/gpus"), Path("/dev")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_of(profile: Profile, asked: int | None) -> int:
    """Worker processes: as the command line says, else the profile, else one a core, which of a cluster the executor counts."""
    if asked is not None:
        return asked
    return profile.machine.workers or (cores() if profile.machine.executor == LOCAL else MOST_WORKERS)


def device_of(profile: Profile) -> str:
    """cpu, or cuda when the profile asks for it or finds it."""
    if profile.machine.device != "auto":
        return profile.machine.device
    return "cuda" if Path("/proc/driver/nvidia/version").exists() else "cpu"


def cards() -> int:
    """NVIDIA GPUs that this process may use: those of the machine, or as many of them as CUDA_VISIBLE_DEVICES names.

    A container may be told of all of the machine's, and be given the device files of some: CUDA finds these alone.
    """
    there = len(list(_GPUS.glob("*")))
    if nodes := len(list(_NODES.glob("nvidia[0-9]*"))):
        there = min(there, nodes)
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return there
    count = 0
    for name in (one.strip() for one in named.split(",")):
        if not name or name == "-1":  # CUDA looks no further
            break
        count += 1
    return min(there, count) if named.replace(",", "").replace(" ", "").isdigit() else count  # MIG: several a GPU


def torch_device(profile: Profile) -> str:
    """As `device_of`, for what torch runs: cuda only where torch has it; StageError where the profile insists and it has not."""
    if device_of(profile) == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if profile.machine.device == "cuda":
        raise StageError("machine.device is cuda, and torch sees no GPU: install torch's CUDA build (make ... GPU=1)")
    click.echo("torch sees no GPU here and runs on the processor: GPU=1 installs its CUDA build", err=True)
    return "cpu"


def shard_of(text: str) -> tuple[int, int] | None:
    """(i, n) of "i/n"; None of "". Raises BadUse."""
    if not text:
        return None
    first, slash, last = text.partition("/")
    if not (slash and first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise BadUse(f"--shard {text}: expected I/N with 0 <= I < N")
    return int(first), int(last)
