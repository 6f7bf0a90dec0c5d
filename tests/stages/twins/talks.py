"""Speech-like sound with known truth: syllables of harmonics under moving formants, and what happens to a film on its way."""

import subprocess
from pathlib import Path

import numpy as np
import soundfile

from pipeline.media.audio import read_wave
from pipeline.media.chromaprint import Items, fingerprint
from pipeline.media.writer import ffmpeg_exe

RATE = 16_000


def talk(seed: int, seconds: float) -> np.ndarray:
    """(samples,) float32 at 16 kHz: another seed is somebody else who says something else."""
    rng = np.random.default_rng(seed)
    wave = rng.normal(0, 1e-3, round(seconds * RATE))
    pitch, at = rng.uniform(90, 220), 0.0
    while at < seconds - 0.4:
        length = rng.uniform(0.1, 0.3)
        first = round(at * RATE)
        wave[first : first + round(length * RATE)] += _syllable(rng, pitch, round(length * RATE))
        at += length + (rng.uniform(0.2, 0.6) if rng.uniform() < 0.12 else rng.uniform(0, 0.04))
    return np.asarray(0.3 * wave / np.abs(wave).max(), np.float32)


def _syllable(rng: np.random.Generator, pitch: float, samples: int) -> np.ndarray:
    time = np.arange(samples) / RATE
    phase = 2 * np.pi * np.cumsum(pitch * (1 + rng.uniform(-0.15, 0.15) + rng.uniform(-0.2, 0.2) * time / 0.3)) / RATE
    formants = rng.uniform([250, 800, 2200], [850, 2200, 3200])
    loud = [np.exp(-(((n * pitch - formants) / 180) ** 2)).sum() + 0.01 for n in range(1, int(3800 / pitch))]
    voice = sum(weight * np.sin(n * phase) for n, weight in enumerate(loud, 1))
    return np.asarray(voice * np.hanning(samples))


def on_its_way(wave: np.ndarray, folder: Path, *how: str, suffix: str = "wav") -> np.ndarray:
    """The wave after ffmpeg did this to it, read as the pipeline reads it."""
    source, target = folder / "before.wav", folder / f"after.{suffix}"
    soundfile.write(source, wave, RATE)
    command = [ffmpeg_exe(), "-v", "error", "-y", "-i", str(source), *how, str(target)]
    subprocess.run(command, check=True, timeout=120)
    read = read_wave(target)
    assert read is not None
    return read


def printed(seed: int, seconds: float) -> Items:
    """The fingerprint of a talk."""
    return fingerprint(talk(seed, seconds))
