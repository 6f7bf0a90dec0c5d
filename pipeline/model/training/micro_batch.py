"""The size of a micro-batch: estimated from the memory that one more window takes, and on a GPU confirmed by trying."""

import logging
from collections.abc import Callable

import psutil
import torch
from accelerate.utils import find_executable_batch_size
from torch import Tensor

from pipeline.model.training.batch import Prepared
from pipeline.model.training.recipe import Recipe

log = logging.getLogger(__name__)


def micro_batch(share: int, trial: Callable[[int], None], device: torch.device, frames: int) -> int:
    """Windows that fit into memory at a time, at most `share`.

    Args:
        share: windows of a step that this process has.
        trial: runs forward and backward on so many windows, as a step does, without a lasting effect.
        device: where the trial runs.
        frames: of a window, for the log.
    """
    with torch.random.fork_rng(devices=[]):
        rough = even(share, _windows_that_fit(trial, device))
    if device.type != "cuda":
        return rough

    @find_executable_batch_size(starting_batch_size=rough)
    def largest(batch_size: int) -> int:
        trial(batch_size)
        return batch_size

    size = even(share, int(largest()))
    log.info("micro-batch %d of %d windows of %d frames", size, share, frames)
    return size


def blank(count: int, recipe: Recipe, audio: int, device: torch.device) -> Prepared:
    """A batch of `count` blank windows, with `audio` features a frame."""
    settings, shape = recipe.net(), (count, recipe.window_frames)
    clean = torch.zeros(*shape, settings.channels, device=device)
    lead = torch.zeros(count, settings.lead_frames, settings.channels, device=device)
    return Prepared(
        clean,
        torch.ones_like(clean, dtype=torch.bool),
        torch.zeros(*shape, audio, device=device, dtype=torch.float16),
        clean[:, 0],
        torch.ones(shape, dtype=torch.bool, device=device),
        lead if settings.lead_frames else None,
    )


def _windows_that_fit(trial: Callable[[int], None], device: torch.device) -> int:
    """Estimate how many windows fill a share of the free memory, from the bytes that autograd keeps for one more."""

    def kept(windows: int) -> int:
        kept_bytes: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            kept_bytes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            trial(windows)
        return sum(kept_bytes.values())

    each = kept(2) - kept(1)  # without the weights, which are kept once
    on_gpu = device.type == "cuda"  # assumed to be ours alone
    free = torch.cuda.mem_get_info(device)[0] if on_gpu else psutil.virtual_memory().available
    return max(1, int((0.7 if on_gpu else 0.5) * free / max(1, each)))


def even(count: int, most: int) -> int:
    """A micro-batch of at most `most` that divides `count` evenly, where that takes few more parts.

    A part of another size would be compiled again, and would use the GPU less well.
    """
    fewest = -(-count // min(count, most))
    parts = next((parts for parts in range(fewest, 2 * fewest) if count % parts == 0), fewest)
    return -(-count // parts)
