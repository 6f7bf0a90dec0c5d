"""Puppets move like people, and the same way every time."""

import numpy as np
import pytest

from pipeline.skeleton import layout
from pipeline.theatre import TAKES, Film, take_named
from pipeline.theatre.motion import noise, perform


def _wrists_per_second(name: str) -> np.ndarray:
    film = Film(take_named(name))
    truth = film.truth()
    wrists = truth.keypoints[0][:, [layout.LEFT_WRIST, layout.RIGHT_WRIST]]
    return np.linalg.norm(np.diff(wrists, axis=0), axis=-1) * 25 / truth.unit[0, 1:, None]


@pytest.mark.parametrize("name", [take.name for take in TAKES if take.verdict == "keep" and take.fps == 25])
def test_wrists_move_at_human_speed(name: str) -> None:
    speed = _wrists_per_second(name)
    speed = speed[np.isfinite(speed).all(1)]
    assert 0.7 < np.percentile(speed, 95) < 3.2
    assert speed.mean() > 0.25


def test_standing_still_is_still() -> None:
    assert np.percentile(_wrists_per_second("still"), 95) < 0.1


def test_noise_keeps_to_its_band() -> None:
    times = np.arange(0, 40, 0.04)
    signal = noise(np.random.default_rng(3), times, 0.4, 3.6, 0.02)
    power = np.abs(np.fft.rfft(signal * np.hanning(len(signal)))) ** 2
    hz = np.fft.rfftfreq(len(signal), 0.04)
    assert power[hz < 4].sum() > 0.999 * power.sum()
    assert signal.std() == pytest.approx(0.02, rel=0.3)


def test_a_motion_does_not_depend_on_the_frame_rate() -> None:
    slow, fast = (np.arange(0, 3, 1 / fps) for fps in (25, 50))
    a, b = (perform(9, times, "talk", np.zeros(len(times))) for times in (slow, fast))
    assert np.allclose(a.arms["left"].wrist, b.arms["left"].wrist[::2])
    assert np.allclose(a.head, b.head[::2])
