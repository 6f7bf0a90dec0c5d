"""The last layer of a start, fitted anew to the shards by least squares, before the first step of a fine-tuning.

The start's last layer knows neither the shards' means and spreads nor how far these people move. The gradients of its errors would
change everything under it first, and for the worse (Kumar et al., "Fine-tuning can distort pretrained features", ICLR 2022: fit the
last layer, then train all). It is linear and its loss quadratic, so that the fit is solved for, not stepped towards.
"""

from typing import Any

import torch
from torch import Tensor, nn

from pipeline.model import diffusion
from pipeline.model.audio_to_skeleton import AudioToSkeleton
from pipeline.model.training import TrainingError
from pipeline.model.training.cache import Cache
from pipeline.model.training.draws import drawn
from pipeline.model.training.recipe import Recipe
from pipeline.model.training.windows import Windows

BATCHES = 25  # of the recipe's size; tests/bench/results/2026-11-30-warm-start.txt
_RIDGE = 0.01  # of the mean square of the last layer's inputs: how strongly weights stay where the shards say nothing
_AT_A_TIME = 8  # windows; the same on every machine, as sums round


def batches_of(recipe: Recipe, net: nn.Module) -> int:
    """How many batches the last layer is fitted on: by default none where it is frozen, as under adapters, or keeps its z-scores.

    Measured was what it gains with the shards' means and spreads, in which no start's last layer speaks.

    Raises:
        TrainingError: a fit is asked for, and the layer is frozen.
    """
    frozen = not all(weights.requires_grad for weights in _last_of(net).parameters())
    if frozen and recipe.start_refit > 0:
        raise TrainingError(
            f"train.start_refit={recipe.start_refit} fits the last layer, which train.freeze or train.lora_rank keeps as it is: "
            "leave one out"
        )
    if recipe.start_refit >= 0:
        return recipe.start_refit
    return BATCHES if recipe.start_statistics == "shards" and not frozen else 0


@torch.no_grad()
def refit(model: AudioToSkeleton, data: Cache, recipe: Recipe, batches: int) -> dict[str, Any]:
    """Fit the last layer to the windows, noise and time steps of the training's first batches.

    Ridge regression of what it leaves over, so that values that do not count ask for no change. Every process computes all of it.

    Args:
        model: with the start's weights and the statistics that it is to be trained with.
        data: the split.
        recipe: of the training.
        batches: at least one.

    Returns:
        for the provenance: `batches`, and the mean squared errors of z-scores on them, `error_before` and `error_after`.

    Raises:
        TrainingError: the start's weights give no finite errors, or no value counts.
    """
    last = _last_of(model.net)
    width, channels, device = last.in_features + 1, last.out_features, last.weight.device
    gram = torch.zeros(width, width, dtype=torch.float64, device=device)
    moment = torch.zeros(width, channels, dtype=torch.float64, device=device)
    before = count = 0.0
    windows = Windows(data, recipe.window_frames, recipe.net().lead_frames, recipe.seed)
    model.net.eval()
    for first in range(0, batches * recipe.batch, _AT_A_TIME):
        numbers = range(first, min(batches * recipe.batch, first + _AT_A_TIME))
        inputs, left = _inputs_and_left(model, windows, numbers, recipe)
        gram += inputs.T @ inputs
        moment += inputs.T @ left
        before += float((left**2).sum())
        count += float((left != 0).sum())
    if not count:
        raise TrainingError(f"no value of the first {batches} batches counts: nothing to fit {recipe.start_from} to")
    gram_ridged = gram + _RIDGE * gram.diagonal().mean() * torch.eye(width, dtype=gram.dtype, device=device)
    change = torch.linalg.solve(gram_ridged, moment)  # (W + 1, C)
    after = before - float((2 * change * moment - change * (gram @ change)).sum())
    if not torch.isfinite(change).all():
        raise TrainingError(f"{recipe.start_from} gives errors that are not finite on these shards: take another model")
    last.weight.add_(change[:-1].T)
    last.bias.add_(change[-1])
    return {"batches": batches, "error_before": before / count, "error_after": after / count}


def _last_of(net: nn.Module) -> nn.Linear:
    last = net.final
    assert isinstance(last, nn.Linear)
    return last


def _inputs_and_left(model: AudioToSkeleton, windows: Windows, numbers: range, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Inputs of the last layer (N, W + 1), the last a one, and what it leaves over (N, C), 0 where a value does not count."""
    device = model.space.mean.device
    ready, noise, t, null = drawn(recipe, model.space, windows.__getitems__(list(numbers)), numbers, device)
    x_t = diffusion.noisy(ready.clean, noise, t, diffusion.alpha_bars().to(device))
    heard: list[Tensor] = []
    hook = _last_of(model.net).register_forward_pre_hook(lambda _, given: heard.append(given[0]))
    try:
        predicted = model.net(x_t, t, ready.audio.float(), ready.reference, null, ready.present, ready.lead)
    finally:
        hook.remove()
    rows = ready.counts.any(-1)  # (B, F)
    inputs = heard[0][rows].double()
    left = ((ready.clean - predicted.float()) * ready.counts)[rows].double()
    return torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1), left
