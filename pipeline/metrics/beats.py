"""Beat alignment of gestures and speech: when arms come to rest, when sound sets in, and how close the two are.

Beat alignment of AI Choreographer (Li et al., ICCV 2021), taken over to co-speech gestures by HA2G (Liu et al., CVPR 2022) and
BEAT (Liu et al., ECCV 2022). Onsets here are found with SciPy on a log-mel flux instead of librosa: absolute values are comparable
only with values measured by the same code, such as the truth's.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from python_speech_features import fbank
from scipy.ndimage import uniform_filter1d
from scipy.signal import argrelmin, find_peaks

from pipeline.base.arrays import Floats64
from pipeline.base.units import FPS, SAMPLE_RATE
from pipeline.skeleton.layout import seen
from pipeline.skeleton.measures import arm_speeds

SIGMA_SECONDS = 0.1
_HOP_SECONDS, _WINDOW_SECONDS, _BANDS = 0.01, 0.025, 40
_REST_FRAMES = 4  # to either side, over which a moment of rest is the slowest: AI Choreographer's 10 at 60 fps
_FLOOR_DB = 80.0  # below the loudest band, where silence begins
# librosa's onset picking (Boeck et al., 2012): above the mean of 100 ms to either side by this share of the highest peak.
_RISE, _AROUND_HOPS, _APART_HOPS = 0.07, 10, 3


def sound_beats(wave: NDArray[np.floating]) -> Floats64:
    """Seconds at which sound sets in, of a wave (samples,) at 16 kHz; none in silence.

    Peaks of the spectral flux: the mean over 40 mel bands of the rise, in dB, from one 10-ms step to the next.
    """
    if len(wave) < 2 * _WINDOW_SECONDS * SAMPLE_RATE or not np.any(wave):
        return np.zeros(0)
    # A Hann window, as librosa's: through a rectangle a held tone leaks into all bands, more or less from step to step.
    energies, _ = fbank(
        np.asarray(wave, float),
        SAMPLE_RATE,
        _WINDOW_SECONDS,
        _HOP_SECONDS,
        _BANDS,
        nfft=512,
        preemph=0,
        winfunc=np.hanning,
    )
    decibels = 10 * np.log10(np.maximum(energies, energies.max() * 10 ** (-_FLOOR_DB / 10)))
    flux = np.maximum(np.diff(decibels, axis=0, prepend=decibels[:1]), 0).mean(1)
    usual = uniform_filter1d(flux, 2 * _AROUND_HOPS + 1, mode="nearest")
    peaks, _ = find_peaks(flux, height=usual + _RISE * flux.max(), distance=_APART_HOPS)
    return np.asarray(peaks * _HOP_SECONDS + _WINDOW_SECONDS / 2, np.float64)


def motion_beats(
    keypoints: NDArray[np.floating], scores: NDArray[np.floating] | None = None, fps: float = FPS
) -> Floats64:
    """Seconds at which the arms come to rest or turn: local minima of the speed of elbows, wrists and fingertips.

    Args:
        keypoints: (F, 133, 2) px, NaN where not seen.
        scores: (F, 133); by default what is not NaN is seen.
        fps: frames a second.
    """
    sure = np.where(seen(keypoints), 1.0, 0.0) if scores is None else scores
    if len(keypoints) < 2:
        return np.zeros(0)
    [rests] = argrelmin(arm_speeds(keypoints, sure, fps), order=_REST_FRAMES)
    return np.asarray((rests + 0.5) / fps, np.float64)  # a speed is of the way between two pictures


def beat_alignment(
    motion: Floats64, sound: Floats64, sigma_seconds: float = SIGMA_SECONDS, each: Literal["sound", "motion"] = "sound"
) -> float:
    """Mean of exp(-d^2 / 2 sigma^2), 0..1, where d is the time from each beat of one kind to the nearest of the other.

    Args:
        motion, sound: beats, seconds.
        sigma_seconds: how far off still counts. HA2G takes 0.1; AI Choreographer 3 frames at 60 fps; EMAGE's code 0.3.
        each: whose beats are averaged over. "sound": each onset looks for a gesture, as BEAT's and EMAGE's code does, and restless
            arms score high. "motion": each rest looks for an onset, as AI Choreographer does, and dense onsets score high.

    Returns:
        NaN without beats to average over; 0 when the other kind has none.
    """
    own, other = (sound, motion) if each == "sound" else (motion, sound)
    if not len(own):
        return float("nan")
    if not len(other):
        return 0.0
    nearest = np.abs(own[:, None] - other[None]).min(1)
    return float(np.exp(-(nearest**2) / (2 * sigma_seconds**2)).mean())
