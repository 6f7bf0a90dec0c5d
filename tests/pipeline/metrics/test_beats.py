"""Beats that were planted are found, and alignment tells those in time from those out of time."""

import numpy as np
import pytest

from pipeline.metrics.beats import beat_alignment, motion_beats, sound_beats
from pipeline.skeleton import layout
from pipeline.theatre import planted

TIMES = np.cumsum([0.6, 0.7, 0.5, 0.9, 0.6, 0.8, 0.7, 0.5, 0.6, 0.9])
SECONDS = 8.0


def syllables(times: np.ndarray, seed: int = 0) -> np.ndarray:
    """A wave at 16 kHz in which a noisy tone sets in at each time and fades."""
    clock = np.arange(int(SECONDS * 16_000)) / 16_000
    rng = np.random.default_rng(seed)
    since = clock[:, None] - times
    loud = np.where(since >= 0, np.exp(-since / 0.08), 0).max(1)
    return (loud * (np.sin(2 * np.pi * 180 * clock) + 0.3 * rng.standard_normal(len(clock))) * 0.3).astype(np.float32)


def swings(times: np.ndarray) -> np.ndarray:
    """(F, 133, 2): arms that swing from one side to the other and rest at each time."""
    frames = np.arange(int(SECONDS * 25)) / 25
    phase = np.interp(frames, times, np.pi * np.arange(len(times)), left=0, right=np.pi * (len(times) - 1))
    points = np.repeat(planted.pair(planted.speaker(0), 5.0, [0]).keypoints[:1], len(frames), 0)
    for arm in (layout.LEFT_WRIST, layout.RIGHT_WRIST, layout.LEFT_HAND, layout.RIGHT_HAND):
        way = np.cos(phase).reshape(-1, *(1,) * (points[:, arm].ndim - 2))
        points[:, arm, 0] += 40 * way if np.ndim(way) == np.ndim(points[:, arm, 0]) else 40 * way[:, None]
    return points


def test_onsets_are_where_they_were_planted() -> None:
    found = sound_beats(syllables(TIMES))
    assert len(found) == len(TIMES)
    np.testing.assert_allclose(found, TIMES, atol=0.03)


def test_a_tone_that_is_held_sets_in_once() -> None:
    """Vowels are tones: what leaks from them into other bands must not pass for onsets."""
    clock = np.arange(int(SECONDS * 16_000)) / 16_000
    since = clock[:, None] - TIMES
    tones = np.sin(2 * np.pi * 220 * since) + 0.5 * np.sin(2 * np.pi * 1800 * since)
    held = np.where(since >= 0, np.clip(since / 0.03, 0, 1) * np.exp(-since / 0.12), 0) * tones
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(len(clock))
    found = sound_beats((0.3 * held.sum(1) + quiet).astype(np.float32))
    assert np.abs(found - TIMES[:, None]).min(1).max() < 0.03
    assert np.abs(found - TIMES[:, None]).min(0).max() < 0.05


@pytest.mark.parametrize("wave", [np.zeros(0), np.zeros(16_000), np.ones(300), np.full(16_000, 0.5)])
def test_sound_without_onsets(wave: np.ndarray) -> None:
    assert len(sound_beats(wave)) == 0


def test_rests_are_where_they_were_planted() -> None:
    found = motion_beats(swings(TIMES))
    inner = TIMES[1:-1]
    nearest = np.abs(found[:, None] - inner).min(0)
    assert nearest.max() < 0.07 and len(found) <= len(TIMES) + 2


def test_planted_beats_align_and_shuffled_ones_do_not() -> None:
    sound, motion = sound_beats(syllables(TIMES)), motion_beats(swings(TIMES))
    between = (TIMES[1:] + TIMES[:-1]) / 2
    for each in ("sound", "motion"):
        kept = beat_alignment(motion, sound, each=each)
        off = beat_alignment(motion_beats(swings(between)), sound, each=each)
        assert kept > 0.75 and off < 0.3, (kept, off)


def test_alignment_is_its_formula() -> None:
    sound, motion = np.array([1.0, 2.0, 3.0]), np.array([1.1, 3.0])
    gauss = np.exp(-(np.array([0.1, 0.9, 0.0]) ** 2) / 0.02)
    assert beat_alignment(motion, sound) == pytest.approx(gauss.mean())
    assert beat_alignment(motion, sound, each="motion") == pytest.approx(gauss[[0, 2]].mean())
    assert beat_alignment(motion, sound, sigma_seconds=10) > 0.99
    assert beat_alignment(sound, sound) == 1
    assert np.isnan(beat_alignment(motion, np.zeros(0))) and beat_alignment(np.zeros(0), sound) == 0


def test_skeletons_without_arms_or_motion_have_no_beats() -> None:
    points = swings(TIMES)
    for nothing in (np.full_like(points, np.nan), points[:1], points[:0], np.repeat(points[:1], 50, 0)):
        assert len(motion_beats(nothing)) == 0
    scores = np.zeros(points.shape[:2])
    assert len(motion_beats(points, scores)) == 0
