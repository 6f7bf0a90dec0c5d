"""SyncNet under onnxruntime: embeddings of face crops and of sound."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from python_speech_features import mfcc

from pipeline.base.arrays import Floats32
from pipeline.base.units import SAMPLE_RATE
from pipeline.nets.syncnet.graph import CEPSTRA, LIP, LIPS, MFCC, SIDE, SOUND, STEPS, WIDTH, WINDOW

if TYPE_CHECKING:
    import onnxruntime

STEPS_A_FRAME = 4  # cepstra come each 10 ms

Crops = NDArray[np.uint8]


class SyncNet:
    """The net of `graph.to_onnx`, or any of its signature.

    Args:
        session: of the model.
        batch: windows a run.

    Raises:
        ValueError: the session is of another model.
    """

    def __init__(self, session: "onnxruntime.InferenceSession", batch: int = 16) -> None:
        names = {item.name for item in session.get_inputs()}, {item.name for item in session.get_outputs()}
        if names != ({LIPS, MFCC}, {LIP, SOUND}):
            raise ValueError(f"this net takes and gives {names}, not {LIPS} and {MFCC} for {LIP} and {SOUND}")
        self._session = session
        self.batch = batch

    def lips(self, crops: Crops) -> Floats32:
        """(N, T - 4, 1024) of N tracks of face crops (N, T, 224, 224, 3) BGR: row t is of the pictures t to t + 4."""
        if crops.shape[1] < WINDOW:
            return np.zeros((len(crops), 0, WIDTH), np.float32)
        return self._run(LIP, crops, np.zeros((0, 1, CEPSTRA, STEPS), np.float32))

    def sound(self, wave: Floats32, windows: int) -> Floats32:
        """(windows, 1024) of a wave (samples,) at 16 kHz, -1..1: row t is of 200 ms from picture t on, 25 a second."""
        cut = sound_windows(cepstra(wave), windows)
        if not windows:
            return np.zeros((0, WIDTH), np.float32)
        nothing = np.zeros((0, WINDOW, SIDE, SIDE, 3), np.uint8)
        step = 8 * self.batch  # a sixth of the lips' work each
        return np.concatenate(
            [self._run(SOUND, nothing, cut[first : first + step]) for first in range(0, windows, step)]
        )

    def _run(self, output: str, lips: Crops, mfcc: Floats32) -> Floats32:
        # What the other output needs is not computed; its input has to be there all the same.
        result: Floats32 = self._session.run([output], {LIPS: lips, MFCC: mfcc})[0]
        return result


def windows_of(frames: int) -> int:
    """Windows that SyncNet's authors look at in so many frames: they leave the last one out."""
    return max(0, frames - WINDOW)


def cepstra(wave: Floats32) -> Floats32:
    """(steps, 13) mel-frequency cepstra each 10 ms of a wave (samples,) at 16 kHz, -1..1.

    As SyncNet's authors compute them: python_speech_features' defaults on 16-bit samples.
    """
    return np.asarray(mfcc(samples_of(wave), SAMPLE_RATE), np.float32)


def samples_of(wave: Floats32) -> NDArray[np.int16]:
    """The 16-bit samples (samples,) of a wave, -1..1."""
    return np.clip(np.rint(np.asarray(wave, np.float64) * 32768), -32768, 32767).astype(np.int16)


def sound_windows(coefficients: Floats32, windows: int) -> Floats32:
    """(windows, 1, 13, 20) of cepstra (steps, 13): twenty steps from each frame on; ValueError when they do not reach."""
    if windows and len(coefficients) < STEPS_A_FRAME * (windows - 1) + STEPS:
        raise ValueError(f"{len(coefficients)} steps of sound are too few for {windows} windows")
    strided = np.lib.stride_tricks.sliding_window_view(coefficients, STEPS, axis=0)[::STEPS_A_FRAME][:windows]
    return np.ascontiguousarray(strided)[:, None]
