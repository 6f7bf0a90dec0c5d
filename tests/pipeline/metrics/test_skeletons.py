"""Skeleton-space metrics on motions whose truth is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.metrics.skeletons import (
    diversity,
    jitter,
    joint_error,
    limb_error_percent,
    limb_lengths,
    loudness,
    mouth_follows_sound,
    mouth_opening,
    spread,
    velocity_error,
)
from pipeline.skeleton import layout
from pipeline.theatre import planted

PARTS = ["body", "face", "mouth", "hands", "all"]


def pair(seed: int = 0, seconds: float = 4.0) -> planted.Pair:
    return planted.pair(planted.speaker(seed), seconds, [seed])


def noise(seed: int, frames: int = 30) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((frames, 133, 2)) * 5


def test_errors_of_known_displacements() -> None:
    true = pair().keypoints
    moved = true.copy()
    moved[:, layout.FACE] += [3, 4]
    moved[:, layout.MOUTH] += [3, 4]
    found = joint_error(moved, true)
    assert list(found) == PARTS
    assert (found["body"], found["hands"], found["mouth"]) == (0, 0, pytest.approx(10))
    assert found["face"] == pytest.approx((48 * 5 + 20 * 10) / 68)
    assert found["all"] == pytest.approx((48 * 5 + 20 * 10) / 123), "ten points of the legs are seen in neither"
    assert velocity_error(moved, true)["all"] == pytest.approx(0, abs=1e-9)
    drifting = true + np.arange(len(true))[:, None, None] * [0.0, 2.0]
    assert velocity_error(drifting, true)["body"] == pytest.approx(50), "2 px a frame"


@given(st.floats(0.1, 10), st.integers(0, 1000))
def test_twice_as_large_is_twice_the_error_and_jitter(scale: float, seed: int) -> None:
    made, true = noise(seed), noise(seed + 1)
    for measure in (joint_error, velocity_error):
        once, scaled = measure(made, true), measure(scale * made, scale * true)
        assert scaled == {part: pytest.approx(scale * value) for part, value in once.items()}
    assert jitter(scale * made) == {part: pytest.approx(scale * value) for part, value in jitter(made).items()}
    assert diversity([scale * made, scale * true]) == pytest.approx(scale * diversity([made, true]))
    assert spread(scale * made) == pytest.approx(scale * spread(made))


def test_points_that_are_not_seen_do_not_count() -> None:
    made, true = noise(0), noise(1)
    one, other = made.copy(), true.copy()
    one[3, :17], other[4, 20] = np.nan, np.nan
    known = np.isfinite(one - other).all(-1)
    assert joint_error(one, other)["all"] == pytest.approx(np.linalg.norm(made - true, axis=-1)[known].mean())
    hidden = np.full_like(made, np.nan)
    for found in (joint_error(hidden, true), velocity_error(made, hidden), jitter(hidden), jitter(made[:3])):
        assert list(found) == PARTS and all(np.isnan(value) for value in found.values())
    assert np.isnan(spread(hidden)) and np.isnan(diversity([hidden, made])) and np.isnan(mouth_opening(hidden)).all()
    with pytest.raises(ValueError, match="cannot be compared"):
        joint_error(made[1:], true)


def test_jitter_is_the_third_derivative() -> None:
    t = np.arange(20) / 25
    path = np.zeros((20, 133, 2))
    path[..., 0] = 6 * t[:, None] ** 3
    assert jitter(path)["hands"] == pytest.approx(36)
    path[..., 0] = 6 * t[:, None] ** 2 + t[:, None]
    assert jitter(path)["hands"] == pytest.approx(0, abs=1e-6)
    calm = pair().keypoints
    assert jitter(calm + noise(0, len(calm)))["all"] > 3 * jitter(calm)["all"]


def test_diversity_is_the_mean_over_pairs() -> None:
    still = np.zeros((5, 133, 2))
    assert diversity([still, still + 1, still + 3]) == pytest.approx((1 + 3 + 2) / 3)
    assert diversity([still, still]) == 0
    motions = [noise(seed) for seed in range(4)]
    expected = [np.abs(motions[a] - motions[b]).mean() for a in range(4) for b in range(a)]
    assert diversity(motions) == pytest.approx(np.mean(expected))
    with pytest.raises(ValueError, match="at least two motions"):
        diversity([still])
    with pytest.raises(ValueError, match="cannot be compared"):
        diversity([still, still[1:]])


def test_a_motion_that_moves_more_has_more_spread() -> None:
    still = np.ones((5, 133, 2))
    assert spread(still) == 0
    assert spread(still * np.array([-1, 1, -1, 1, 0])[:, None, None]) == pytest.approx(0.8)


def test_the_mouth_follows_its_own_sound() -> None:
    one, other = pair(1, 8.0), pair(2, 8.0)
    assert np.corrcoef(mouth_opening(one.keypoints), one.envelope)[0, 1] > 0.9
    assert mouth_follows_sound(one.keypoints, one.wave) > 0.6
    assert mouth_follows_sound(one.keypoints, other.wave) < 0.3
    assert mouth_follows_sound(one.keypoints + np.array([50, -20]), one.wave) == pytest.approx(
        mouth_follows_sound(one.keypoints, one.wave)
    ), "where the head is does not matter"
    assert np.isnan(mouth_follows_sound(one.keypoints, np.zeros(0)))
    assert np.isnan(mouth_follows_sound(np.full_like(one.keypoints, np.nan), one.wave))


def test_loudness_is_around_each_picture() -> None:
    wave = np.zeros(10 * 640)
    wave[4 * 640 : 6 * 640] = 0.5  # the 80 ms around the fifth picture, counted from 0
    assert loudness(wave, 10)[5] == pytest.approx(0.5)
    np.testing.assert_array_equal(np.flatnonzero(loudness(wave, 10)), [4, 5, 6])
    assert loudness(wave[: 5 * 640], 10).shape == (10,) and loudness(wave, 0).shape == (0,)


def test_limbs_of_a_body_of_another_size_are_off_by_as_much_and_only_seen_ones_count() -> None:
    true = pair().keypoints
    assert limb_error_percent(true, true) == 0
    assert limb_error_percent(true[:40] * 1.1, true[:40]) == pytest.approx(10)
    bent = true.copy()
    bent[:, [layout.LEFT_WRIST, layout.RIGHT_WRIST]] += bent[:, [layout.LEFT_ELBOW, layout.RIGHT_ELBOW]]
    bent[:, [layout.LEFT_WRIST, layout.RIGHT_WRIST]] /= 2
    assert limb_error_percent(bent, true) == pytest.approx(50 / 3)
    half = true.copy()
    half[::2, layout.LEFT_ELBOW] = np.nan
    lengths, wanted = limb_lengths(half), limb_lengths(true)
    assert lengths == pytest.approx(wanted, rel=0.01)
    half[:, [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER]] = np.nan
    assert np.isnan([limb_lengths(half)[name] for name in ("upper arm", "shoulders")]).all()
    assert limb_error_percent(half, true) < 1, "of the forearms alone"
    half[:] = np.nan
    assert np.isnan(limb_error_percent(half, true))
