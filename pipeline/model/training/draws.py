"""Everything random of a training step, drawn from the run's seed and each window's number.

A step is therefore the same on any number of processes and in micro-batches of any size. Only the masks of `dropout` are drawn by
process and micro-batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.model import diffusion
from pipeline.model.space import SkeletonSpace
from pipeline.model.training.batch import Prepared, prepare, with_still_lead
from pipeline.model.training.recipe import Recipe
from pipeline.model.training.windows import Batch, onto, seed_of

SCHEME = "by window"  # stored in checkpoints: those of an older scheme cannot go on with the same losses
_NOISE = 1 << 41  # takes a place in the seeds that no step's number has
_CHANCES = 5  # null, still, and three of the augmentation


@dataclass(frozen=True)
class Draws:
    """What is random of B windows.

    Attributes:
        noise: (B, F, C), standard normal; t: (B,), uniform; both on the device.
        null, still: (B,) in [0, 1), on the device: below a share, audio is replaced by the null vector, or a lead stands still.
        change: (B, 3) in [0, 1), on the processor: of the augmentation.
    """

    noise: Tensor
    t: Tensor
    null: Tensor
    still: Tensor
    change: Tensor


def draw(seed: int, numbers: Sequence[int], frames: int, channels: int, device: torch.device) -> Draws:
    """Draw for the windows of these numbers, F frames of C values each.

    Noise is drawn on the device, where it costs least: a processor and a GPU draw different noise.
    """
    noise = torch.empty(len(numbers), frames, channels, device=device)
    generator = torch.Generator(device)
    chances = np.empty((len(numbers), _CHANCES), np.float32)
    steps = np.empty(len(numbers), np.int64)
    for row, number in enumerate(numbers):
        noise[row].normal_(generator=generator.manual_seed(seed_of(seed, _NOISE, number)))
        rng = np.random.default_rng([seed, 2, number])
        steps[row] = rng.integers(diffusion.STEPS)
        chances[row] = rng.random(_CHANCES, np.float32)
    on_cpu = torch.from_numpy(chances)
    there = on_cpu.to(device, non_blocking=True)
    return Draws(
        noise, torch.from_numpy(steps).to(device, non_blocking=True), there[:, 0], there[:, 1], on_cpu[:, 2:].clone()
    )


def drawn(
    recipe: Recipe, space: SkeletonSpace, batch: Batch, numbers: Sequence[int], device: torch.device
) -> tuple[Prepared, Tensor, Tensor, Tensor]:
    """A batch of the windows of these numbers on the device, with what is random of it.

    Returns:
        the batch, augmented and z-scored; noise (B, F, C), t (B,), and (B,) bool, whose audio is null.
    """
    channels = 2 * len(space.chosen) + 2 * space.neck
    chance = draw(recipe.seed, numbers, recipe.window_frames, channels, device)
    ready = prepare(onto(batch, device), space, recipe.augmentation(), chance.change, keep_unsure=recipe.as_released)
    if ready.lead is not None:
        ready = with_still_lead(ready, chance.still < recipe.lead_still)
    return ready, chance.noise, chance.t, chance.null < recipe.null_audio
