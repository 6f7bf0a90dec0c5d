"""Diffusion over skeletons: noise schedule, loss, guidance, samplers, and overlapping windows for motion of any length.

The schedule is the release's: T = 100, alpha_bar(t) = cos^4(((t + 0.008) / 1.008) pi / 2), betas clipped at 0.999; the network
predicts x0. Schedulers come from diffusers, which takes the schedule as trained betas.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Sampler = Literal["ancestral", "ddim", "dpm"]
Predict = Callable[[Tensor, Tensor], Tensor]
"""x_t (B, F, C) and t (B,) -> x0 (B, F, C)."""

STEPS = 100  # T
FEWER_STEPS = 20  # default of DDIM and DPM-Solver++
MAX_BETA = 0.999


def betas(steps: int = STEPS) -> NDArray[np.float32]:
    """The release's noise schedule, (steps,)."""

    def alpha_bar(share: float) -> float:
        return math.cos((share + 0.008) / 1.008 * math.pi / 2) ** 4

    values = [1 - alpha_bar((n + 1) / steps) / alpha_bar(n / steps) for n in range(steps)]
    return np.minimum(values, MAX_BETA).astype(np.float32)


def alpha_bars(steps: int = STEPS) -> Tensor:
    """Share of the signal's power left at each t, (steps,)."""
    return torch.from_numpy(np.cumprod(1 - betas(steps).astype(np.float64)).astype(np.float32))


def noisy(clean: Tensor, noise: Tensor, step: Tensor, bars: Tensor) -> Tensor:
    """Forward process: x_t (B, F, C) from x0 (B, F, C), standard normal noise (B, F, C) and t (B,); `bars` is `alpha_bars()`."""
    bar = bars[step][:, None, None]
    return bar.sqrt() * clean + (1 - bar).sqrt() * noise


def squared_error(predicted: Tensor, clean: Tensor, counts: Tensor) -> Tensor:
    """Weighted sum of squared errors (B, F, C); divided by `counts.sum()` it is the masked MSE."""
    return ((predicted.float() - clean) ** 2 * counts).sum()


def velocity_error(predicted: Tensor, clean: Tensor, counts: Tensor) -> Tensor:
    """Weighted sum of squared errors of the differences between neighbouring frames of (B, F, C), where both count.

    The velocity loss of MDM (Tevet et al., ICLR 2023); a pair of frames weighs as the lesser of its two.
    """
    return squared_error(predicted.float().diff(dim=1), clean.diff(dim=1), torch.minimum(counts[:, 1:], counts[:, :-1]))


def mean_by_sample(weights: Tensor) -> Tensor:
    """Weights (B, F, C) of squared errors with those of each sample brought to a sum of 1, 0 where none counts.

    With them the sum of squared errors, divided by B, is the release's loss: a mean over each sample, then over the samples.
    """
    return weights / weights.sum((1, 2), keepdim=True).clamp(min=1)


def guided(
    predict_both: Callable[[Tensor, Tensor, bool], Tensor],
    scale: float,
    interval: tuple[float, float] = (0.0, 1.0),
    rescale: float = 0.0,
) -> Predict:
    """Classifier-free guidance (Ho & Salimans 2022) on x0: unconditional + scale (conditional - unconditional).

    Args:
        predict_both: x_t, t and whether audio is replaced by the null vector -> x0.
        scale: 1 is the conditional prediction alone, at one network call a step instead of two.
        interval: least and greatest noise level, t / (T - 1), at which there is guidance (Kynkaanniemi et al., NeurIPS 2024);
            outside, the conditional prediction alone.
        rescale: as of `rescaled`.
    """
    low, high = interval

    def predict(x_t: Tensor, step: Tensor) -> Tensor:
        conditional = predict_both(x_t, step, False)
        if scale == 1 or not low <= int(step[0]) / (STEPS - 1) <= high:
            return conditional
        unconditional = predict_both(x_t, step, True)
        moved = unconditional + scale * (conditional - unconditional)
        return rescaled(moved, conditional, rescale) if rescale else moved

    return predict


def rescaled(moved: Tensor, conditional: Tensor, share: float) -> Tensor:
    """Guided x0 (B, F, C) whose channels deviate over time as much as those of the conditional prediction.

    Guidance rescale (Lin et al., WACV 2024), which scales a whole picture; here each channel is scaled about its own mean over
    time, so that amplitudes change and the person's proportions do not.

    Args:
        moved, conditional: (B, F, C).
        share: 1 takes on the conditional deviation, 0 keeps the guided one.
    """
    mean = moved.mean(1, keepdim=True)
    wanted = conditional.std(1, correction=0, keepdim=True)
    ratio = wanted / moved.std(1, correction=0, keepdim=True).clamp(min=1e-6)
    return mean + (moved - mean) * (1 + share * (ratio - 1))


def beginning_at(predict: Predict, first: Tensor, known: Tensor, frames: int) -> Predict:
    """A predictor whose x0 stands at a known skeleton in its first frames; the network arranges the rest to continue from it.

    Args:
        predict: x_t (B, F, C) and t (B,) -> x0 (B, F, C).
        first: (B, C) the skeleton.
        known: (B, C) bool, which of its values are known; the others stay as predicted.
        frames: that stand at it; no more than there are.
    """

    def predict_begun(x_t: Tensor, step: Tensor) -> Tensor:
        x_0 = predict(x_t, step)
        begun = torch.where(known[:, None], first[:, None].to(x_0.dtype), x_0[:, :frames])
        return torch.cat([begun, x_0[:, frames:]], 1)

    return predict_begun


def scheduler(sampler: Sampler, steps: int = 0) -> Any:
    """A diffusers scheduler for this noise schedule, with its time steps set.

    Args:
        sampler: ancestral (DDPM, as the release), ddim (deterministic), dpm (DPM-Solver++, second order).
        steps: network calls; 0: 100 for ancestral, else 20.

    Raises:
        ValueError: ddim in a number of steps that does not divide 100; its scheduler steps from t to t - 100 // steps.
    """
    from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

    common = {"num_train_timesteps": STEPS, "trained_betas": betas(), "prediction_type": "sample"}
    if sampler == "ddim" and steps and STEPS % steps:
        whole = [n for n in range(1, STEPS + 1) if STEPS % n == 0]
        raise ValueError(f"ddim takes {', '.join(map(str, whole))} steps, not {steps}: dpm takes any number")
    made: Any
    if sampler == "ancestral":
        made = DDPMScheduler(**common, clip_sample=False, variance_type="fixed_small", timestep_spacing="trailing")
    elif sampler == "ddim":
        made = DDIMScheduler(**common, clip_sample=False, timestep_spacing="trailing")
    else:
        made = DPMSolverMultistepScheduler(**common, algorithm_type="dpmsolver++", timestep_spacing="trailing")
    made.set_timesteps(steps or (STEPS if sampler == "ancestral" else FEWER_STEPS))
    return made


def sample(
    predict: Predict,
    noise: Tensor,
    sampler: Sampler = "ancestral",
    steps: int = 0,
    generator: torch.Generator | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Sample motion from noise.

    Args:
        predict: the network, with guidance and windows applied.
        noise: (B, F, C) standard normal.
        sampler, steps: as in `scheduler`.
        generator: for the noise that ancestral sampling adds; on the CPU, so that every device draws the same.
        progress: called with the steps done and the total.

    Returns:
        (B, F, C) x0.
    """
    plan = scheduler(sampler, steps)
    x_t = noise
    for done, t in enumerate(plan.timesteps):
        step = torch.full((len(x_t),), int(t), device=x_t.device)
        x_0 = predict(x_t, step)
        more = {"generator": generator} if sampler == "ancestral" else {}
        x_t = plan.step(x_0.float(), t, x_t, **more).prev_sample
        if progress:
            progress(done + 1, len(plan.timesteps))
    return x_t


def windows(frames: int, window: int, overlap: int) -> list[int]:
    """First frames of evenly spread windows that cover `frames`, neighbours overlapping by at least `overlap`."""
    if frames <= window:
        return [0]
    count = math.ceil((frames - overlap) / (window - overlap))
    return [round(n * (frames - window) / (count - 1)) for n in range(count)]


def blend_weights(starts: list[int], frames: int, window: int) -> Tensor:
    """Blending weights (windows, min(window, frames)) that sum to one in every frame.

    They ramp linearly across an overlap of two windows; where more than two overlap, they are normalised.
    """
    length = min(window, frames)
    weights = torch.ones(len(starts), length)
    for before, after in zip(range(len(starts)), range(1, len(starts)), strict=False):
        shared = starts[before] + length - starts[after]
        if shared > 0:
            ramp = (torch.arange(shared) + 1) / (shared + 1)
            weights[after, :shared] = torch.minimum(weights[after, :shared], ramp)
            weights[before, length - shared :] = torch.minimum(weights[before, length - shared :], 1 - ramp)
    total = torch.zeros(frames)
    for start, weight in zip(starts, weights, strict=True):
        total[start : start + length] += weight
    return torch.stack([weight / total[start : start + length] for start, weight in zip(starts, weights, strict=True)])


def blended(
    net: Callable[[Tensor, Tensor, slice], Tensor], frames: int, window: int, overlap: int, batch: int = 8
) -> Predict:
    """A predictor for motion of any length from a network that sees `window` frames at once.

    All windows are predicted and averaged where they overlap at every denoising step, so that neighbours agree from the
    first step and leave no seam (MultiDiffusion, Bar-Tal et al., ICML 2023).

    Args:
        net: x_t of some windows (N, length, C), t (N,), and which windows they are -> x0 (N, length, C).
        frames: length of the whole motion.
        window, overlap: in frames; neighbours overlap by at least `overlap`.
        batch: windows a network call.
    """
    starts = windows(frames, window, overlap)
    length = min(window, frames)
    weights = blend_weights(starts, frames, window)

    def predict(x_t: Tensor, step: Tensor) -> Tensor:
        parts = torch.stack([x_t[0, start : start + length] for start in starts])  # (N, length, C)
        whole = torch.zeros_like(x_t, dtype=torch.float32)
        for chunk in _slices(len(starts), batch):
            x_0 = net(parts[chunk], step[:1].expand(len(parts[chunk])), chunk).float()
            weighted = x_0 * weights[chunk, :, None].to(x_0.device)
            for start, values in zip(starts[chunk], weighted, strict=True):
                whole[0, start : start + length] += values
        return whole

    return predict


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(at, min(count, at + size)) for at in range(0, count, size))
