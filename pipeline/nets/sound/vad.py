"""Voice activity detection by silero-vad's ONNX model (MIT), run directly, without torch.

The model is recurrent: each window of 512 samples needs the state of the one before, so windows run in order. One CPU thread
runs at about two hundred times real time; open the session with `threads=1`.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.base.units import SAMPLE_RATE

if TYPE_CHECKING:
    import onnxruntime

WINDOW = 512  # samples a probability stands for: 32 ms
CONTEXT = 64  # samples before the window that the model sees too


class SpeechDetector:
    """Speech probability of 16-kHz mono sound.

    Args:
        session: of silero_vad.onnx, version 5 or later (inputs `input`, `state`, `sr`).

    Raises:
        ValueError: the session is of another model.
    """

    def __init__(self, session: "onnxruntime.InferenceSession") -> None:
        names = {item.name for item in session.get_inputs()}
        if names != {"input", "state", "sr"}:
            raise ValueError(f"not silero-vad 5 or later: its inputs are {sorted(names)}")
        self._session = session
        self._outputs = [item.name for item in session.get_outputs()]

    def speech_probability(self, wave: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) probability of speech in each 512 samples of a wave (T,) in -1..1 at 16 kHz, padded with zeros."""
        wave = np.asarray(wave, np.float32)
        if wave.ndim != 1:
            raise ValueError(f"the wave has shape {wave.shape}, not (samples,)")
        count = -(-len(wave) // WINDOW)
        padded = np.zeros(CONTEXT + count * WINDOW, np.float32)
        padded[CONTEXT : CONTEXT + len(wave)] = wave
        probabilities = np.empty(count, np.float32)
        feed = {
            "input": padded[None],
            "state": np.zeros((2, 1, 128), np.float32),
            "sr": np.array(SAMPLE_RATE, np.int64),
        }
        for i in range(count):
            feed["input"] = padded[None, i * WINDOW : (i + 1) * WINDOW + CONTEXT]
            probability, feed["state"] = self._session.run(self._outputs, feed)
            probabilities[i] = probability[0, 0]
        return probabilities


def speech_segments(
    probability: NDArray[np.floating],
    threshold: float = 0.5,
    min_speech: float = 0.25,
    min_pause: float = 0.1,
    hysteresis: float = 0.15,
) -> list[tuple[float, float]]:
    """Spans of speech.

    Speech begins where the probability reaches `threshold` and ends where it falls below `threshold - hysteresis`.
    Pauses shorter than `min_pause` seconds are closed first, then spans shorter than `min_speech` seconds are
    dropped.

    Args:
        probability: (n,), one every 32 ms.

    Returns:
        (start, end) in seconds, in order, end exclusive.
    """
    spans: list[tuple[float, float]] = []
    for first, stop in _runs(np.asarray(probability), threshold, threshold - hysteresis):
        start, end = first * WINDOW / SAMPLE_RATE, stop * WINDOW / SAMPLE_RATE
        if spans and start - spans[-1][1] < min_pause:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return [(start, end) for start, end in spans if end - start >= min_speech]


def _runs(probability: NDArray[np.floating], enter: float, leave: float) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    begun = -1
    for i, value in enumerate(probability):
        if begun < 0 and value >= enter:
            begun = i
        elif begun >= 0 and value < leave:
            runs.append((begun, i))
            begun = -1
    return [*runs, (begun, len(probability))] if begun >= 0 else runs
