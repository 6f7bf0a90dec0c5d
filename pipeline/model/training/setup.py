"""Set-up of a training run: processes and precision, network, optimiser, learning rate."""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs
from torch import nn

from pipeline.base.text import printable
from pipeline.model.audio_to_skeleton import AudioToSkeleton
from pipeline.model.training import TrainingError
from pipeline.model.training.cache import Cache
from pipeline.model.training.recipe import Recipe

_LONGEST_CAUSE = 200  # characters
SETUP_HOURS = 12  # how long processes wait for the first one, which writes the cache: that can take an hour

# What gloo, NCCL and torch's store say where another process is gone, or does not answer; not their own faults of set-up.
_LOST = re.compile(
    r"Timed out waiting|Connection (reset|closed)|Broken pipe|Gloo connect"
    r"|remote process exit|communicator was aborted|collective operation timeout|wait timeout",
    re.IGNORECASE,
)


class LostProcess(TrainingError):
    """Raised where another process of the training ended, or hangs."""


def accelerator_of(recipe: Recipe, folder: Path, device: str) -> Accelerator:
    on_gpu = device == "cuda" and torch.cuda.is_available()
    precision = {"auto": "bf16" if on_gpu else "no", "fp32": "no", "bf16": "bf16"}[recipe.precision]
    compiled = recipe.compile == "on" or (recipe.compile == "auto" and on_gpu)
    if on_gpu:
        torch.backends.cuda.matmul.allow_tf32 = True
    if compiled:
        torch.compiler.reset()  # an earlier training in this process counts towards the recompilation limit
    AcceleratorState._reset_state()  # or a second training in this process would inherit the first one's settings
    return Accelerator(
        cpu=not on_gpu,
        mixed_precision=precision,
        log_with="tensorboard" if "tensorboard" in recipe.trackers else None,  # `trackers` adds the other
        project_dir=str(folder),
        dynamo_backend="inductor" if compiled else "no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(hours=SETUP_HOURS))],  # until `shorten_timeout`
    )


def shorten_timeout(minutes: float) -> None:
    """From now on, wait only so long for other processes: one that hangs ends the run, which the same command resumes."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.distributed_c10d._set_pg_timeout(timedelta(minutes=minutes))


@contextmanager
def all_alive(processes: int, minutes: float) -> Iterator[None]:
    """Tell in a line what torch tells in the middle of a reduction: another process is gone, or hangs.

    Args:
        processes: of the training.
        minutes: as of `shorten_timeout`.

    Raises:
        LostProcess: within.
    """
    try:
        yield
    except RuntimeError as error:
        if processes == 1 or not _LOST.search(str(error)):
            raise
        raise LostProcess(
            f"another of the {processes} processes ended, or did not answer for {minutes:g} minutes "
            f"(train.process_timeout_minutes; before the first step, {SETUP_HOURS} hours): what it said itself tells why; "
            f"the same command goes on from the last checkpoint; torch said: {_first_line(error)}"
        ) from error


def _first_line(error: Exception) -> str:
    return printable(next(iter(str(error).strip().splitlines()), ""))[:_LONGEST_CAUSE]


def new_model(recipe: Recipe, data: Cache) -> AudioToSkeleton:
    """Build an untrained model whose space has the statistics of the data."""
    model = AudioToSkeleton.new(recipe.net(), data.audio_of)
    statistics = data.statistics
    mean, std = (
        (statistics.picture_mean, statistics.picture_std) if model.space.picture else (statistics.mean, statistics.std)
    )
    model.space.fill(
        mean,
        std,
        statistics.neck_std,
        statistics.seen,
        np.stack([statistics.shoulders, statistics.neck_x, statistics.neck_y]),
    )
    return model


def optimizer_of(recipe: Recipe, net: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of the weights that are trained."""
    weights = [each for each in net.parameters() if each.requires_grad]
    # Fused: one pass over the weights, where torch's default on a CPU makes a dozen.
    if recipe.optimizer == "adam":
        return torch.optim.Adam(weights, recipe.learning_rate, fused=True)
    return torch.optim.AdamW(weights, recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)


def rate_of(recipe: Recipe) -> Callable[[int], float]:
    """The learning-rate schedule, as a share of the peak rate at each step."""

    def share(step: int) -> float:
        if step < recipe.warmup_steps:
            return (step + 1) / (recipe.warmup_steps + 1)
        if recipe.schedule == "constant":
            return 1.0
        done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    return share
