"""Diffusion over skeletons: the noise schedule, the loss, guidance, samplers, and windows that blend into any length.

The schedule is the release's: T = 100, alpha_bar(t) = cos^4(((t + 0.008) / 1.008) pi / 2), betas at most 0.999; the network
predicts x0. Schedulers are diffusers', which know that schedule by its betas.
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
FEWER_STEPS = 20  # of DDIM and DPM-Solver++, where nothing is said
MAX_BETA = 0.999


def betas(steps: int = STEPS) -> NDArray[np.float32]:
    """(steps,) of the release's schedule."""

    def alpha_bar(share: float) -> float:
        return math.cos((share + 0.008) / 1.008 * math.pi / 2) ** 4

    values = [1 - alpha_bar((n + 1) / steps) / alpha_bar(n / steps) for n in range(steps)]
    return np.minimum(values, MAX_BETA).astype(np.float32)


def alpha_bars(steps: int = STEPS) -> Tensor:
    """(steps,) share of the signal's power left at each t."""
    return torch.from_numpy(np.cumprod(1 - betas(steps).astype(np.float64)).astype(np.float32))


def noisy(clean: Tensor, noise: Tensor, step: Tensor, bars: Tensor) -> Tensor:
    """x_t (B, F, C) of x0 (B, F, C), standard normal noise (B, F, C) and t (B,); `bars` is `alpha_bars()` there."""
    bar = bars[step][:, None, None]
    return bar.sqrt() * clean + (1 - bar).sqrt() * noise


def squared_error(predicted: Tensor, clean: Tensor, counts: Tensor) -> Tensor:
    """Sum of squared errors over the numbers (B, F, C), each as much as it counts; over `counts.sum()` it is the masked MSE."""
    return ((predicted.float() - clean) ** 2 * counts).sum()


def guided(predict_both: Callable[[Tensor, Tensor, bool], Tensor], scale: float) -> Predict:
    """Classifier-free guidance (Ho & Salimans 2022) on x0: null + scale (heard - null).

    Args:
        predict_both: x_t, t and whether the voice is replaced by the null vector -> x0.
        scale: 1 is the voice alone, and asks the network once a step.
    """

    def predict(x_t: Tensor, step: Tensor) -> Tensor:
        conditional = predict_both(x_t, step, False)
        if scale == 1:
            return conditional
        unconditional = predict_both(x_t, step, True)
        return unconditional + scale * (conditional - unconditional)

    return predict


def scheduler(sampler: Sampler, steps: int = 0) -> Any:
    """diffusers' scheduler for this schedule, its time steps set.

    Args:
        sampler: ancestral (DDPM, as the release), ddim (deterministic), dpm (DPM-Solver++, second order).
        steps: network calls; 0: 100 for ancestral, else 20.

    Raises:
        ValueError: ddim in a number of steps that does not divide 100: its scheduler would jump past its own next step.
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
    """Motion from noise.

    Args:
        predict: the network, guided and blended as wanted.
        noise: (B, F, C) standard normal.
        sampler, steps: as in `scheduler`.
        generator: of the noise that ancestral sampling adds; on the processor, so that every device draws the same.
        progress: called with steps done and steps in all.

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
    """First frames of windows that cover `frames`, each overlapping the one before by at least `overlap`, spread evenly."""
    if frames <= window:
        return [0]
    count = math.ceil((frames - overlap) / (window - overlap))
    return [round(n * (frames - window) / (count - 1)) for n in range(count)]


def blend_weights(starts: list[int], frames: int, window: int) -> Tensor:
    """(windows, min(window, frames)): each window's say in each of its frames; they sum to one in every frame.

    Across an overlap the say moves linearly from one window to the next; where more than two meet, all are scaled to one.
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
    """A prediction over any length by a network that sees `window` frames at once.

    At every step all windows are predicted and averaged where they overlap, before the sampler goes on: so neighbours agree from
    the first step, and there is no seam to hide (as MultiDiffusion does for pictures, Bar-Tal et al., ICML 2023).

    Args:
        net: x_t of some windows (N, length, C), t (N,), and which of the windows they are -> x0 (N, length, C).
        frames: of the whole motion.
        window, overlap: in frames; overlap is the least.
        batch: windows a call.
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
