"""The validation loss, whole and apart: always over the same windows with the same noise, so that it is comparable within a run."""

import logging
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from pipeline.model import diffusion
from pipeline.model.audio_to_skeleton import AudioToSkeleton
from pipeline.model.space import SkeletonSpace
from pipeline.model.training.batch import prepare
from pipeline.model.training.cache import Cache, open_cache
from pipeline.model.training.integrity import CacheError, DamagedCache
from pipeline.model.training.recipe import Recipe
from pipeline.model.training.windows import Windows, onto, seed_of
from pipeline.skeleton import layout

log = logging.getLogger(__name__)
_PARTS = {
    "mouth": [*range(layout.K)[layout.MOUTH]],
    "face": [k for k in range(layout.K)[layout.FACE] if k not in range(layout.K)[layout.MOUTH]],
    "hands": [*range(layout.K)[layout.LEFT_HAND], *range(layout.K)[layout.RIGHT_HAND]],
    "body": [*range(layout.K)[layout.BODY_AND_FEET]],
}
_RANGE = 25  # time steps
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
def validation_losses(
    model: AudioToSkeleton, held_out: Cache, recipe: Recipe, device: torch.device, micro: int
) -> dict[str, float]:
    """Masked MSE of z-scores over the first windows of a split, each with its own fixed time step and noise.

    Returns:
        `validation_loss`: of everything; of the release's network a mean over windows of each window's mean, as in training.
        `validation_mouth`, `_face` (without the mouth), `_hands`, `_body`: of the points of a part.
        `validation_t_0_24` and so on: of the windows whose time step lies in a range; those without a window are absent.
    """
    count = min(len(held_out), recipe.validation_windows)
    windows = Windows(held_out, recipe.window_frames, recipe.net().lead_frames, recipe.seed, still=True)
    bars = diffusion.alpha_bars().to(device)
    model.net.eval()
    error = total = 0.0
    squares, counts, steps = [], [], []  # (B, C), (B, C), (B,)
    for first in range(0, count, micro):
        numbers = list(range(first, min(count, first + micro)))
        ready = prepare(onto(windows.__getitems__(numbers), device), model.space, keep_unsure=recipe.as_released)
        drawn = [torch.Generator().manual_seed(seed_of(recipe.seed, _NOISE, number)) for number in numbers]
        noise = torch.stack([torch.randn(ready.clean.shape[1:], generator=each) for each in drawn]).to(device)
        t = torch.tensor([37 * number % diffusion.STEPS for number in numbers], device=device)
        x_t = diffusion.noisy(ready.clean, noise, t, bars)
        predicted = model.net(x_t, t, ready.audio.float(), ready.reference, None, ready.present, ready.lead)
        weights = diffusion.mean_by_sample(ready.counts.float()) if recipe.as_released else ready.counts
        error += diffusion.squared_error(predicted, ready.clean, weights).item()
        total += len(numbers) if recipe.as_released else ready.counts.sum().item()
        squares.append(((predicted.float() - ready.clean) ** 2 * ready.counts).sum(1).cpu())
        counts.append(ready.counts.sum(1).cpu())
        steps.append(t.cpu())
    whole = {"validation_loss": error / max(1.0, total)}
    return whole | _apart(torch.cat(squares).double(), torch.cat(counts), torch.cat(steps), model.space)


def _apart(squares: Tensor, counts: Tensor, steps: Tensor, space: SkeletonSpace) -> dict[str, float]:
    """Means by part and by range of time steps, of sums (B, C) over frames of squares and of values that count."""
    chosen = space.chosen.cpu()
    found = {}
    for part, points in _PARTS.items():
        within = torch.isin(chosen, torch.tensor(points)).repeat_interleave(2)
        within = torch.cat([within, within.new_zeros(2)]) if space.neck else within
        if seen := int(counts[:, within].sum()):
            found[f"validation_{part}"] = float(squares[:, within].sum()) / seen
    for first in range(0, diffusion.STEPS, _RANGE):
        rows = (steps >= first) & (steps < first + _RANGE)
        if seen := int(counts[rows].sum()):
            found[f"validation_t_{first}_{first + _RANGE - 1}"] = float(squares[rows].sum()) / seen
    return found
