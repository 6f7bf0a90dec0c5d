"""Voices of the puppets: espeak-ng from its wheel, through ctypes; the same text gives the same samples."""

import ctypes
import threading
from _ctypes import dlclose
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from pipeline.base.arrays import Floats64
from pipeline.theatre.cast import Voice

RATE = 48_000  # Hz, of everything the theatre plays
BEND = 0.8  # a mouth opens with this power of the loudness
_RETRIEVAL, _CHARS_UTF8 = 1, 1  # espeak's output mode and text encoding
_SPEED, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4  # espeak's parameters
_LOCK = threading.Lock()

LINES = (
    "Good evening, and thank you all for coming to our little theatre.",
    "When people speak, their hands begin to think out loud.",
    "A small gesture can say more than a whole sentence.",
    "Look at the left hand first, and then look at the right one.",
    "We counted every finger, and we counted them again tomorrow.",
    "The river was wide, but the bridge was wider still.",
    "Nobody told the puppets that they were made of paper.",
    "First we measure, then we argue, and then we measure again.",
    "Some say that the music came before the words.",
    "Please remember where you put the second green button.",
    "In the morning the whole town walked slowly to the harbour.",
    "It takes a quiet room to hear a pencil fall.",
)  # fmt: skip


class _Espeak:
    """The library, loaded afresh for a sentence and given back after it; calls are serialised by the caller.

    Breathy voices draw noise, seeded with the time, through filters that remember what was said before. Only a fresh library with
    a fixed seed says the same in every process: the demo's lip net is fitted to the voices, and was another one each time.
    """

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        self.rate = self._library.espeak_Initialize(_RETRIEVAL, 0, data, 0)
        if self.rate <= 0:
            raise RuntimeError("espeak-ng did not start: is the wheel espeakng-loader whole?")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        self._chunks: list[NDArray[np.int16]] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback: Callable[..., Any] = kind(self._keep)  # kept alive: the library calls it
        self._library.espeak_SetSynthCallback(self._callback)

    def __enter__(self) -> "_Espeak":
        return self

    def __exit__(self, *_: object) -> None:
        self._library.espeak_Terminate()
        dlclose(self._library._handle)

    def _keep(self, samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        return 0

    def say(self, text: str, voice: Voice) -> Floats64:
        """Samples -1..1 at `rate`."""
        if self._library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice.name!r}")
        for parameter, value in ((_SPEED, voice.speed), (_PITCH, voice.pitch), (_RANGE, voice.range), (_VOLUME, 90)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._chunks.clear()
        raw = text.encode()
        self._library.espeak_Synth(raw, ctypes.c_size_t(len(raw) + 1), 0, 1, 0, _CHARS_UTF8, None, None)
        self._library.espeak_Synchronize()
        return np.concatenate([*self._chunks, np.zeros(1, np.int16)]).astype(float) / 32768.0


@lru_cache(maxsize=64)
def _sentence(text: str, voice: Voice) -> Floats64:
    with _LOCK, _Espeak() as engine:
        samples = engine.say(text, voice)
    loud = np.flatnonzero(np.abs(samples) > 1e-3)
    samples = samples[loud[0] : loud[-1] + 1] if len(loud) else samples
    return np.asarray(soxr.resample(samples, engine.rate, RATE))


def speech(voice: Voice, seconds: float, seed: int, start: float = 0.25, pause: float = 0.45) -> Floats64:
    """Sentences with pauses until the time is over; a sentence that does not fit is not begun.

    Args:
        voice: who speaks.
        seconds: length of the result.
        seed: which sentences.
        start: seconds of silence before the first one.
        pause: seconds between sentences.

    Returns:
        (seconds * RATE,) samples, -1..1.
    """
    out = np.zeros(round(seconds * RATE))
    at = round(start * RATE)
    order = np.random.default_rng(seed).permutation(len(LINES))
    for k in range(200):
        said = _sentence(LINES[order[k % len(LINES)]], voice)
        if at + len(said) > len(out):
            left = len(out) - at - RATE // 5
            if left < RATE:
                break
            said = said[:left] * np.minimum(1.0, np.arange(left, 0, -1) / (0.03 * RATE))  # cut off, faded
        out[at : at + len(said)] = said
        at += len(said) + round(pause * RATE)
    peak = np.abs(out).max()
    return out * (0.6 / peak) if peak > 0 else out


def loudness(samples: Floats64, times: Floats64) -> Floats64:
    """How far a mouth opens at `times` (F,) seconds: the sound's smoothed envelope, 0..1."""
    hop = RATE // 200
    frames = samples[: len(samples) // hop * hop].reshape(-1, hop)
    envelope = np.sqrt((frames**2).mean(1))
    kernel = np.hanning(15)
    envelope = np.convolve(envelope, kernel / kernel.sum(), mode="same")
    top = np.percentile(envelope, 95) if len(envelope) else 0.0
    if top < 1e-4:
        return np.zeros(len(times))
    clock = (np.arange(len(envelope)) + 0.5) * hop / RATE
    return np.clip(np.interp(times, clock, envelope / top), 0.0, 1.0) ** BEND
