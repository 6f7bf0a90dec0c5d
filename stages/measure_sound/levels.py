"""Levels, clipping and pauses of a wave: arithmetic alone, no net."""

import numpy as np
from numpy.typing import NDArray

FRAME_SAMPLES = 320  # 20 ms
FLOOR_DBFS = -120.0  # of digital silence, whose logarithm is infinite
SILENCE_DBFS = -60.0
FULL_SCALE = 32766 / 32768  # from here on a sample counts as clipped: resampling moves it a little
CLIPPED_RUN = 3  # samples: a lone peak at full scale is no clipping


def levels(wave: NDArray[np.float32]) -> dict[str, float]:
    """Level measures of a wave (samples,) at 16 kHz, full scale 1; the names are those of `sound_measures`."""
    wave = np.asarray(wave, np.float64)
    frames = wave[: len(wave) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    quiet = (frames**2).mean(1) < 10 ** (SILENCE_DBFS / 10) if len(frames) else np.ones(1)
    return {
        "loudness_dbfs": _decibel(float(np.sqrt((wave**2).mean())) if wave.size else 0.0),
        "peak_dbfs": _decibel(float(np.abs(wave).max(initial=0.0))),
        "clipped_share": clipped_share(wave),
        "silence_share": float(quiet.mean()),
    }


def clipped_share(wave: NDArray[np.floating]) -> float:
    """Share of samples that lie in runs of at least `CLIPPED_RUN` at full scale."""
    full = np.concatenate([[False], np.abs(wave) >= FULL_SCALE, [False]])
    edges = np.flatnonzero(np.diff(full.astype(np.int8)))
    runs = edges[1::2] - edges[::2]
    return float(runs[runs >= CLIPPED_RUN].sum() / max(1, len(wave)))


def longest_pause(speech: list[tuple[float, float]], seconds: float) -> float:
    """The longest span in [0, seconds] without speech; `speech` are sorted (start, end) in seconds."""
    starts = [start for start, _ in speech] + [seconds]
    ends = [0.0] + [end for _, end in speech]
    return max(0.0, *(start - end for start, end in zip(starts, ends, strict=True)))


def _decibel(amplitude: float) -> float:
    return max(FLOOR_DBFS, 20 * float(np.log10(max(amplitude, 1e-12))))
