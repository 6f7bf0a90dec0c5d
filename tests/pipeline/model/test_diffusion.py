"""Diffusion: the schedule against its formula and diffusers, samplers against a Gaussian whose best predictor is known, windows."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipeline.model import diffusion
from pipeline.model.diffusion import (
    Predict,
    Sampler,
    alpha_bars,
    betas,
    blend_weights,
    blended,
    guided,
    sample,
    windows,
)

SAMPLERS: tuple[Sampler, ...] = ("ancestral", "ddim", "dpm")
CALLS = {"ancestral": 100, "ddim": 20, "dpm": 20}
MEANS, SPREADS = torch.tensor([-2.0, 0.0, 3.0]), torch.tensor([0.5, 1.0, 2.0])
# Share of the spread that each sampler's default steps may lose: measured 3-4 %, 7-10 % and 0-1 %, and 1 % for the draw.
LOST = {"ancestral": 0.055, "ddim": 0.115, "dpm": 0.03}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def of_a_gaussian(x_t: Tensor, step: Tensor) -> Tensor:
    """E[x0 | x_t] of x0 ~ N(MEANS, SPREADS ** 2): no network can predict better."""
    bar = alpha_bars()[step][:, None, None]
    gain = SPREADS**2 * bar.sqrt() / (bar * SPREADS**2 + 1 - bar)
    return MEANS + gain * (x_t - bar.sqrt() * MEANS)


def test_betas_are_the_releases() -> None:
    bars = [math.cos((n / 100 + 0.008) / 1.008 * math.pi / 2) ** 4 for n in range(101)]
    wanted = [min(0.999, 1 - after / before) for before, after in itertools.pairwise(bars)]
    found = betas()
    assert found.shape == (100,) and found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert found[-1] == np.float32(0.999) and (found[:-1] < 0.999).all()
    np.testing.assert_allclose(alpha_bars()[:99], np.array(bars[1:100]) / bars[0], rtol=1e-4)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_schedulers_know_the_same_schedule(sampler: Sampler) -> None:
    plan = diffusion.scheduler(sampler, 100)
    torch.testing.assert_close(plan.alphas_cumprod, alpha_bars(), rtol=1e-6, atol=0)
    assert plan.config.prediction_type == "sample" and not plan.config.get("clip_sample", False)
    clean, noise = torch.randn(2, 5, 7, 4, generator=seeded(0))
    step = torch.tensor([0, 3, 50, 98, 99])
    torch.testing.assert_close(
        diffusion.noisy(clean, noise, step, alpha_bars()), plan.add_noise(clean, noise, step), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_time_steps_begin_in_noise_and_fall(sampler: Sampler) -> None:
    for steps in (0, 10):
        found = diffusion.scheduler(sampler, steps).timesteps.tolist()
        assert len(found) == (steps or CALLS[sampler]) and found == sorted(set(found), reverse=True)
        assert alpha_bars()[found[0]] < 1e-3
    assert diffusion.scheduler(sampler).timesteps[0] == 99


def test_squared_error_counts_only_what_counts() -> None:
    clean = torch.zeros(2, 3, 4)
    predicted = torch.full((2, 3, 4), 2.0)
    predicted[1, 2, 3] = 1e3
    counts = torch.ones(2, 3, 4, dtype=torch.bool)
    counts[1, 2, 3] = counts[0, 0, 0] = False
    assert diffusion.squared_error(predicted, clean, counts) == 22 * 4
    predicted.requires_grad_()
    diffusion.squared_error(predicted, clean, counts).backward()
    assert torch.equal(predicted.grad != 0, counts)
    exact = diffusion.squared_error(torch.full((1, 1, 1), 3.0, dtype=torch.bfloat16), torch.full((1, 1, 1), 2.99), True)
    assert exact.dtype == torch.float32 and exact == pytest.approx(1e-4, rel=1e-3)


def test_velocity_error_forgives_a_shift_and_counts_pairs_that_count() -> None:
    clean = torch.randn(2, 6, 3, generator=seeded(0))
    counts = torch.ones(2, 6, 3)
    assert diffusion.velocity_error(clean + 5, clean, counts) == pytest.approx(0, abs=1e-9)
    jumped = clean.clone()
    jumped[0, 3:, 1] += 2.0  # one step of 2, between frames 2 and 3
    assert diffusion.velocity_error(jumped, clean, counts) == pytest.approx(4.0, rel=1e-5)
    counts[0, 3, 1], counts[1] = 0.5, 9.0
    assert diffusion.velocity_error(jumped, clean, counts) == pytest.approx(2.0, rel=1e-5)
    counts[0, 2, 1] = 0
    assert diffusion.velocity_error(jumped, clean, counts) == pytest.approx(0, abs=1e-9)
    assert diffusion.velocity_error(jumped, clean, counts > 0) == pytest.approx(0, abs=1e-9), "masks count too"


@pytest.mark.parametrize(("scale", "asked"), [(1, [False]), (3.5, [False, True]), (0, [False, True])])
def test_guidance_moves_away_from_the_null(scale: float, asked: list[bool]) -> None:
    calls = []

    def both(x_t: Tensor, step: Tensor, null: bool) -> Tensor:
        calls.append(null)
        return x_t * (2 if null else 5) + step

    x_t = torch.randn(1, 4, 3, generator=seeded(0))
    found = guided(both, scale)(x_t, torch.tensor([7]))
    assert sorted(calls) == asked
    torch.testing.assert_close(found, 2 * x_t + scale * 3 * x_t + 7)


@pytest.mark.parametrize("interval", [(0.0, 1.0), (0.25, 0.75), (0.5, 0.5), (0.0, 0.0), (1.0, 1.0)])
def test_outside_its_interval_nothing_is_guided_and_silence_is_not_asked(interval: tuple[float, float]) -> None:
    guided_at = set()

    def both(x_t: Tensor, step: Tensor, null: bool) -> Tensor:
        if null:
            guided_at.add(int(step[0]))
        return x_t * (2 if null else 5)

    x_t = torch.randn(1, 4, 3, generator=seeded(0))
    predict = guided(both, 3.0, interval)
    for t in range(diffusion.STEPS):
        inside = interval[0] <= t / 99 <= interval[1]
        torch.testing.assert_close(predict(x_t, torch.tensor([t])), x_t * (11 if inside else 5))
        assert (t in guided_at) == inside


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_rescale_brings_deviations_back_and_leaves_means(share: float) -> None:
    conditional = torch.randn(2, 50, 4, generator=seeded(0)) * torch.tensor([0.1, 1.0, 3.0, 0.0]) + 7
    offset = torch.tensor([1.0, -2.0, 0.0, 5.0])

    def both(x_t: Tensor, step: Tensor, null: bool) -> Tensor:
        return offset if null else conditional

    found, plain = (guided(both, 3.5, rescale=r)(conditional, torch.tensor([3])) for r in (share, 0.0))
    wanted = (1 - share) * plain.std(1) + share * conditional.std(1)
    torch.testing.assert_close(found.std(1), wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.mean(1), plain.mean(1), rtol=1e-5, atol=1e-4)


def test_rescale_of_one_frame_or_of_what_stands_still_changes_nothing() -> None:
    for still in (torch.randn(1, 1, 4, generator=seeded(0)), torch.full((1, 9, 4), 2.5)):
        assert torch.equal(diffusion.rescaled(still, still, 1.0), still)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("frames", [1, 5, 12])
def test_the_first_frames_stand_at_what_is_known_and_the_rest_is_predicted(sampler: Sampler, frames: int) -> None:
    first = torch.tensor([[9.0, -4.0, 0.5]])
    known = torch.tensor([[True, False, True]])
    seen = []

    def predict(x_t: Tensor, step: Tensor) -> Tensor:
        seen.append(x_t)
        return torch.ones_like(x_t)

    begun = diffusion.beginning_at(predict, first, known, frames)
    found = sample(begun, torch.randn(1, 12, 3, generator=seeded(0)), sampler, 10, seeded(1))[0]
    wanted = torch.ones(12, 3)
    wanted[:frames, 0], wanted[:frames, 2] = 9.0, 0.5
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    assert seen[-1][0, :frames, 0].mean() > 7, "what the network is shown stands there too"


def test_fewer_frames_than_should_stand_all_stand() -> None:
    begun = diffusion.beginning_at(lambda x, t: x * 0, torch.ones(1, 3), torch.ones(1, 3, dtype=torch.bool), 5)
    assert torch.equal(begun(torch.zeros(1, 2, 3), torch.tensor([4])), torch.ones(1, 2, 3))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_best_predictor_of_a_gaussian_draws_that_gaussian(sampler: Sampler) -> None:
    noise = torch.randn(1, 10_000, 3, generator=seeded(1))
    drawn = sample(of_a_gaussian, noise, sampler, generator=seeded(2))[0]
    assert ((drawn.mean(0) - MEANS).abs() < 0.04 * SPREADS).all()
    kept = drawn.std(0) / SPREADS
    assert (kept < 1.02).all() and (kept > 1 - LOST[sampler]).all(), kept


@pytest.mark.parametrize("sampler", ["ddim", "dpm"])
def test_more_steps_come_closer_to_the_gaussian(sampler: Sampler) -> None:
    noise = torch.randn(1, 10_000, 3, generator=seeded(1))
    spread = noise[0].std(0) * SPREADS  # a deterministic sampler scales the draw it is given
    off = [(sample(of_a_gaussian, noise, sampler, steps)[0].std(0) / spread - 1).abs().max() for steps in (5, 20, 50)]
    assert off[0] > 2 * off[1] > 3 * off[2], off


@pytest.mark.parametrize("steps", [0, 4])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_constant_prediction_is_the_sample(sampler: Sampler, steps: int) -> None:
    constant = torch.tensor([-3.0, 0.25, 40.0]).expand(1, 6, 3)
    seen: list[tuple[int, int]] = []
    found = sample(
        lambda x_t, step: constant,
        torch.randn(1, 6, 3, generator=seeded(0)),
        sampler,
        steps,
        seeded(1),
        lambda done, of: seen.append((done, of)),
    )
    torch.testing.assert_close(found, constant, rtol=1e-5, atol=1e-5)
    count = steps or CALLS[sampler]
    assert seen == [(n + 1, count) for n in range(count)]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_on_the_way_to_a_known_end_there_is_as_much_noise_as_the_schedule_says(sampler: Sampler) -> None:
    """Where x0 is known every step is exact: x_t ~ N(sqrt(alpha_bar) x0, 1 - alpha_bar) at every t."""
    seen = {}

    def predict(x_t: Tensor, step: Tensor) -> Tensor:
        bar = alpha_bars()[step[0]]
        left = (x_t - 3 * bar.sqrt()) / (1 - bar).sqrt()
        seen[int(step[0])] = (left.mean().item(), left.std().item())
        return torch.full_like(x_t, 3.0)

    sample(predict, torch.randn(1, 20_000, 1, generator=seeded(1)), sampler, generator=seeded(2))
    assert len(seen) == CALLS[sampler]
    for t, (mean, spread) in seen.items():
        assert abs(mean) < 0.03 and spread == pytest.approx(1, abs=0.025), t


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_seed_gives_the_same_sample(sampler: Sampler) -> None:
    noise = torch.randn(1, 50, 3, generator=seeded(0))
    first, again, other = (sample(of_a_gaussian, noise, sampler, generator=seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (sampler != "ancestral")


def test_every_sample_of_a_batch_is_told_its_time() -> None:
    def predict(x_t: Tensor, step: Tensor) -> Tensor:
        assert step.shape == (3,) and (step == step[0]).all() and step.dtype == torch.int64
        return x_t

    assert sample(predict, torch.zeros(3, 4, 2), "ddim").shape == (3, 4, 2)


@given(st.integers(1, 2000), st.integers(8, 300), st.data())
def test_windows_cover_every_frame_and_overlap(frames: int, window: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, window - 1))
    starts = windows(frames, window, overlap)
    if frames <= window:
        assert starts == [0]
        return
    assert starts[0] == 0 and starts[-1] == frames - window
    gaps = np.diff(starts)
    assert (gaps > 0).all() and (gaps <= window - overlap).all()
    assert gaps.max() - gaps.min() <= 1, "not spread evenly"
    assert (len(starts) - 2) * (window - overlap) + window < frames, "one window fewer would have done"


@given(st.integers(1, 400), st.integers(8, 60), st.data())
def test_says_sum_to_one_in_every_frame(frames: int, window: int, data: st.DataObject) -> None:
    starts = windows(frames, window, data.draw(st.integers(0, window - 1)))
    says = blend_weights(starts, frames, window)
    assert says.shape == (len(starts), min(window, frames)) and (says >= 0).all()
    total = torch.zeros(frames)
    for start, say in zip(starts, says, strict=True):
        total[start : start + len(say)] += say
    torch.testing.assert_close(total, torch.ones(frames), rtol=0, atol=1e-5)


def test_an_overlap_is_crossed_in_a_straight_line() -> None:
    before, after = blend_weights([0, 6], 16, 10)
    np.testing.assert_allclose(before, [1] * 6 + [0.8, 0.6, 0.4, 0.2], atol=1e-6)
    np.testing.assert_allclose(after, [0.2, 0.4, 0.6, 0.8] + [1] * 6, atol=1e-6)


def itself(parts: Tensor, step: Tensor, which: slice) -> Tensor:
    return parts


@pytest.mark.parametrize("frames", [1, 39, 40, 41, 60, 141])
@pytest.mark.parametrize("batch", [1, 3, 8])
def test_windows_that_agree_give_the_whole_back(frames: int, batch: int) -> None:
    x_t = torch.randn(1, frames, 5, generator=seeded(frames))
    torch.testing.assert_close(blended(itself, frames, 40, 15, batch)(x_t, torch.tensor([3])), x_t)


def test_windows_are_asked_in_batches_and_told_which_they_are() -> None:
    asked: list[slice] = []

    def net(parts: Tensor, step: Tensor, which: slice) -> Tensor:
        asked.append(which)
        assert len(parts) == which.stop - which.start <= 3 and torch.equal(step, torch.full((len(parts),), 42))
        starts = torch.tensor(windows(141, 40, 15)[which], dtype=torch.float32)
        assert torch.equal(parts[:, :, 0], starts[:, None] + torch.arange(40))
        return parts

    blended(net, 141, 40, 15, batch=3)(torch.arange(141.0)[None, :, None], torch.tensor([42]))
    assert [(s.start, s.stop) for s in asked] == [(0, 3), (3, 6)]


@pytest.mark.parametrize("overlap", [1, 10, 20, 30])
def test_windows_that_disagree_are_blended_without_a_jump(overlap: int) -> None:
    def net(parts: Tensor, step: Tensor, which: slice) -> Tensor:
        return torch.arange(which.start, which.stop, dtype=torch.float32)[:, None, None].expand_as(parts)

    frames = 80 - overlap
    shift: Predict = blended(net, frames, 40, overlap)
    found = shift(torch.zeros(1, frames, 1), torch.tensor([0]))[0, :, 0]
    assert found[0] == 0 and found[-1] == 1
    steps = found.diff()
    torch.testing.assert_close(steps.max().item(), 1 / (overlap + 1))
    assert steps.min() >= 0


@pytest.mark.parametrize("steps", [3, 30, 51, 60, 99])
def test_ddim_refuses_steps_that_its_scheduler_would_jump_past(steps: int) -> None:
    with pytest.raises(ValueError, match=f"not {steps}: dpm takes any"):
        diffusion.scheduler("ddim", steps)


@pytest.mark.parametrize("steps", [1, 7, 60, 100])
def test_ancestral_begins_at_pure_noise_in_any_number_of_steps(steps: int) -> None:
    plan = diffusion.scheduler("ancestral", steps)
    assert int(plan.timesteps[0]) == diffusion.STEPS - 1
    assert len(plan.timesteps) == steps
