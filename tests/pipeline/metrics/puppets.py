"""Puppets on film, with their keypoints, scores and sound."""

from functools import cache

import numpy as np
import soxr

from pipeline.theatre import voice
from pipeline.theatre.film import Film, render_take
from pipeline.theatre.programme import take_named


@cache
def played(
    name: str, seconds: float = 2.0, scale: float = 0.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pictures (F, h, w, 3) RGB, keypoints (F, 133, 2) and scores (F, 133) of the first person, and the wave at 16 kHz."""
    take = take_named(name)
    pictures, truth = render_take(take, seconds, scale)
    sound = Film(take, seconds=seconds).sound
    assert sound is not None
    wave = soxr.resample(sound, voice.RATE, 16_000).astype(np.float32)
    return pictures, truth.keypoints[0].astype(np.float32), np.where(truth.visible[0], 0.9, 0.0), wave
