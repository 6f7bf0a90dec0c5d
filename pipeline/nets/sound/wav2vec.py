"""Audio features on the frame grid: wav2vec 2.0 (Baevski et al. 2020), and a stand-in that needs no weights.

Both give (frames, 768): what is heard around the moment n/25 s at which picture n is shown.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from python_speech_features import fbank

from pipeline.base.arrays import Floats32
from pipeline.base.units import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME

if TYPE_CHECKING:
    from pipeline.nets.sound.wav2vec_net import Wav2Vec

WIDTH = 768
LAYERS = 12
HOP, FIELD = 320, 400  # samples between two of wav2vec's frames, and samples that each sees before attention

LABEL = "wav2vec2-base-960h"  # then /<layer>, and for the release's grid /release
RELEASE_LABEL = f"{LABEL}/{LAYERS}/release"

_MELS, _HOPS = 64, 4  # of the stand-in: bands, and 10-ms steps that a picture takes
_SEED = 405
_PIECE_FRAMES, _MARGIN_FRAMES = 250, 62  # of long sound
_LEVEL, _SPREAD = -8.0, 4.0  # natural logarithms of band energies, by which speech comes to about -1..1


def to_grid(values: Floats32, frames: int) -> Floats32:
    """wav2vec's (T, D) frames at n/25 s for n < frames, linear in time; before the first centre and after the last: constant.

    Frame k sees samples 320 k .. 320 k + 400, so it stands for the moment in their middle.
    """
    centres = (np.arange(len(values)) * HOP + FIELD / 2) / SAMPLE_RATE
    wanted = np.clip(np.arange(frames) / FPS, centres[0], centres[-1])
    right = np.clip(np.searchsorted(centres, wanted), 1, max(1, len(values) - 1))
    left = np.minimum(right - 1, len(values) - 1)
    right = np.minimum(right, len(values) - 1)
    span = np.maximum(centres[right] - centres[left], 1e-9)
    share = np.clip((wanted - centres[left]) / span, 0, 1)[:, None].astype(np.float32)
    return np.asarray(values[left] * (1 - share) + values[right] * share, np.float32)


def opened(weights: Path, device: str = "cpu", threads: int = 0) -> "Wav2Vec":
    """wav2vec 2.0 from its file; see there for what is raised. torch is imported here, which the stand-in does without."""
    from pipeline.nets.sound import wav2vec_net

    return wav2vec_net.Wav2Vec(weights, device, threads)


def normal(waves: Floats32) -> Floats32:
    """Waves (N, samples), each brought to mean 0 and variance 1."""
    scaled = (waves - waves.mean(1, keepdims=True)) / np.sqrt(waves.var(1, keepdims=True) + 1e-7)
    return np.asarray(scaled, np.float32)


def on_release_grid(net: "Wav2Vec", wave: Floats32, frames: int, layer: int = LAYERS, batch: int = 1) -> Floats32:
    """Features (frames, D) as the authors' scripts make them: each window of 10 s alone, frame n its hidden state 2 n.

    Of a window's 499 states every second one is taken, 12.5 ms after n/25 s. A window that the sound does not fill has silence
    after it, which the net hears. Each is normalised over its own sound, as in their training.

    Args:
        net: wav2vec 2.0.
        wave: (samples,) at 16 kHz, cut or padded to the frames.
        frames: at 25 fps, at least 1.
        layer: as in `Wav2Vec.features`.
        batch: windows at a time.
    """
    wave = np.pad(wave[: frames * SAMPLES_PER_FRAME], (0, max(0, frames * SAMPLES_PER_FRAME - len(wave))))
    starts = range(0, frames, _PIECE_FRAMES)
    lengths = [min(_PIECE_FRAMES, frames - first) for first in starts]
    parts = []
    for at in range(0, len(starts), batch):
        windows = np.zeros((len(starts[at : at + batch]), _PIECE_FRAMES * SAMPLES_PER_FRAME), np.float32)
        for window, first, length in zip(windows, starts[at : at + batch], lengths[at : at + batch], strict=True):
            sound = wave[first * SAMPLES_PER_FRAME : (first + length) * SAMPLES_PER_FRAME]
            window[: len(sound)] = normal(sound[None])[0]
        for states, length in zip(net.states(windows, layer), lengths[at : at + batch], strict=True):
            parts.append(states[::2][:length])
    return np.concatenate(parts)


def logmel(wave: Floats32, frames: int) -> Floats32:
    """The stand-in: log-mel energies around each picture, lifted to 768 by a fixed random map.

    It carries the voice's loudness and colour, so that a model can learn to move a mouth by it; it knows no words. 64 bands in
    25-ms windows every 10 ms; the four windows from 20 ms before the picture's moment to 10 ms after it make 256 numbers.

    Args:
        wave: (samples,) at 16 kHz, -1..1.
        frames: pictures at 25 fps.

    Returns:
        (frames, 768) float32, of about unit variance for speech.
    """
    padded = np.concatenate([np.zeros(2 * SAMPLE_RATE // 100 + 200), wave, np.zeros(SAMPLE_RATE // 10)])
    energies, _ = fbank(padded * 32768.0, SAMPLE_RATE, winlen=0.025, winstep=0.01, nfilt=_MELS, nfft=512, preemph=0.0)
    mels = (np.log(np.maximum(energies / 32768.0**2, 1e-10)) - _LEVEL) / _SPREAD
    short = frames * _HOPS - len(mels)
    mels = np.pad(mels, ((0, max(0, short)), (0, 0)), mode="edge")[: frames * _HOPS]
    return np.asarray(mels.reshape(frames, -1) @ _lift(), np.float32)


@functools.cache
def _lift() -> NDArray[np.float64]:
    """(256, 768): Gaussian, so that distances are kept; the same on every machine."""
    rows = _MELS * _HOPS
    return np.asarray(np.random.Generator(np.random.PCG64(_SEED)).standard_normal((rows, WIDTH)) / np.sqrt(rows))


def batches(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Indices grouped by equal length, `most` a group: padding would change what wav2vec's group norm sees."""
    by_length: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        by_length.setdefault(length, []).append(index)
    return [group[at : at + most] for group in by_length.values() for at in range(0, len(group), most)]


def features_of(label: str, wave: Floats32, frames: int, weights: Path | None = None, device: str = "cpu") -> Floats32:
    """(frames, 768) features of a wave of any length, made as the label says.

    `logmel768`; `wav2vec2-base-960h/<layer>`, which hears pieces of 10 s with 2.5 s before and after, about as long as the clips
    that a model is trained on; or `wav2vec2-base-960h/<layer>/release`, see `on_release_grid`.

    Raises:
        ValueError: no such label, or wav2vec 2.0 without weights.
    """
    if label == "logmel768":
        return logmel(wave, frames)
    name, _, rest = label.partition("/")
    layer, _, grid = rest.partition("/")
    if name != LABEL or not layer.isdigit() or grid not in ("", "release") or weights is None:
        raise ValueError(
            f"audio features {label!r} cannot be computed: expected logmel768, {LABEL}/<layer> or {LABEL}/<layer>/release"
        )
    net = opened(weights, device)
    if grid:
        return on_release_grid(net, wave, frames, int(layer))
    parts = []
    for first in range(0, frames, _PIECE_FRAMES):
        low, last = max(0, first - _MARGIN_FRAMES), min(frames, first + _PIECE_FRAMES)
        high = min(frames, last + _MARGIN_FRAMES)
        piece = wave[low * SAMPLE_RATE // FPS : high * SAMPLE_RATE // FPS]
        states = to_grid(net.features(piece[None], int(layer))[0], high - low)
        parts.append(states[first - low : last - low])
    return np.concatenate(parts)
