"""The validation loss: always over the same windows with the same noise, so that it is comparable within a run."""

import logging
from collections.abc import Callable
from pathlib import Path

import torch

from pipeline.model import diffusion
from pipeline.model.audio_to_skeleton import AudioToSkeleton
from pipeline.model.training.batch import prepare
from pipeline.model.training.cache import Cache, open_cache
from pipeline.model.training.integrity import CacheError, DamagedCache
from pipeline.model.training.recipe import Recipe
from pipeline.model.training.windows import Windows, onto, seed_of

log = logging.getLogger(__name__)
_NOISE = 1 << 40  # takes the position of a step's number in the seeds; no training has as many steps


def held_out_split(
    recipe: Recipe, shards: Path, caches: Path, *, say: Callable[[str], None] = log.info
) -> Cache | None:
    """Open the validation split; None when it is empty."""
    try:
        return open_cache(shards, "validation", caches, recipe.min_score, recipe.speaker, say=say)
    except DamagedCache:
        raise
    except CacheError as error:
        log.warning("no validation: %s", error)
        return None


@torch.inference_mode()
def validation_loss(model: AudioToSkeleton, held_out: Cache, recipe: Recipe, device: torch.device, micro: int) -> float:
    """Masked MSE of z-scores over the first windows of a split, each with its own fixed time step and noise.

    Of the release's network it is a mean over windows of each window's mean, as in training.
    """
    count = min(len(held_out), recipe.validation_windows)
    windows = Windows(held_out, recipe.window_frames, recipe.net().lead_frames, recipe.seed, still=True)
    bars = diffusion.alpha_bars().to(device)
    model.net.eval()
    error = total = 0.0
    for first in range(0, count, micro):
        numbers = list(range(first, min(count, first + micro)))
        ready = prepare(onto(windows.__getitems__(numbers), device), model.space, keep_unsure=recipe.as_released)
        drawn = [torch.Generator().manual_seed(seed_of(recipe.seed, _NOISE, number)) for number in numbers]
        noise = torch.stack([torch.randn(ready.clean.shape[1:], generator=each) for each in drawn]).to(device)
        t = torch.tensor([37 * number % diffusion.STEPS for number in numbers], device=device)
        x_t = diffusion.noisy(ready.clean, noise, t, bars)
        predicted = model.net(x_t, t, ready.audio.float(), ready.reference, None, ready.present, ready.lead)
        counts = diffusion.mean_by_sample(ready.counts.float()) if recipe.as_released else ready.counts
        error += diffusion.squared_error(predicted, ready.clean, counts).item()
        total += len(numbers) if recipe.as_released else ready.counts.sum().item()
    return error / max(1.0, total)
