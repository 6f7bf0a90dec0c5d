"""Speaker segmentation, up to three speakers a window, by an ONNX net with the signature of pyannote's segmentation-3.0.

The net takes windows of ten seconds and gives, every 270 samples, log-probabilities of a powerset: nobody, speaker 1, 2, 3,
or two of them. sherpa-onnx publishes such an export: input `x` (N, 1, T), output `y` (N, 589, 7).
"""

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipeline.base.pulse import beat
from pipeline.base.units import SAMPLE_RATE, SAMPLES_PER_FRAME
from pipeline.nets.sound.voices import FRAME_FIELD, FRAME_STEP, OverlapAdd, Voices

if TYPE_CHECKING:
    import onnxruntime

WINDOW_SECONDS = 10
SPEAKERS, AT_ONCE = 3, 2  # local speakers of a window, and of a class of the powerset


def powerset(speakers: int = SPEAKERS, at_once: int = AT_ONCE) -> NDArray[np.uint8]:
    """(classes, speakers) of 0 and 1: who speaks in each class; nobody first, then one by one, then by two, ..."""
    sets = [chosen for size in range(at_once + 1) for chosen in combinations(range(speakers), size)]
    return np.array([[k in chosen for k in range(speakers)] for chosen in sets], np.uint8)


def to_multilabel(scores: NDArray[np.floating], *, soft: bool = False) -> NDArray[np.float32]:
    """(..., 3) activity of each speaker from (..., 7) log-probabilities of the powerset.

    Hard: 1 for the speakers of the likeliest class (the first of equals), else 0. Soft: the probability of each speaker.
    """
    members = powerset().astype(np.float32)
    if soft:
        return np.asarray(np.exp(scores) @ members, np.float32)
    return np.asarray(members[np.argmax(scores, axis=-1)])


def two_highest(activity: NDArray[np.floating]) -> NDArray[np.floating]:
    """(..., 2) of (..., speakers): the highest activity (some voice), and the second highest (two voices)."""
    return np.sort(activity, axis=-1)[..., :-3:-1]


def bits_of(activity: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(...) with bit k set where speaker k of (..., speakers) is more active than not."""
    return np.packbits(np.asarray(activity) > 0.5, axis=-1, bitorder="little")[..., 0]


class Listener(Protocol):
    """Anything that finds voices in a wave: this file's net, or the reference in `pyannote_segmentation`."""

    def hear(self, wave: NDArray[np.float32]) -> Voices:
        """The voices of a wave (samples,) in -1..1 at 16 kHz; ValueError for another shape or none at all."""
        ...


class SegmentationNet:
    """Voices of 16-kHz mono sound.

    Args:
        session: of segmentation-3.0 as ONNX.
        batch: windows a run.
        step_seconds: from the start of a window to the next.
        soft: average probabilities, not decisions.

    Raises:
        ValueError: the session is of another model.
    """

    def __init__(
        self, session: "onnxruntime.InferenceSession", batch: int = 8, step_seconds: float = 1.0, *, soft: bool = False
    ) -> None:
        self._session = session
        self._input, self._output, self.window = _signature(session)
        self.frames = (self.window - FRAME_FIELD) // FRAME_STEP + 1
        self.step = round(step_seconds * SAMPLE_RATE)
        if not 0 < self.step <= self.window:
            raise ValueError(
                f"a step of {step_seconds} s leaves gaps between windows of {self.window / SAMPLE_RATE:g} s"
            )
        self._batch = batch
        self._soft = soft

    def hear(self, wave: NDArray[np.float32]) -> Voices:
        """The voices of a wave (samples,) in -1..1 at 16 kHz; ValueError for another shape or none at all."""
        wave = checked_wave(wave)
        count = window_count(len(wave), self.window, self.step)
        total = OverlapAdd(count, self.window, self.step, self.frames)
        speaking = np.empty((count, self.frames), np.uint8)
        done = 0
        for windows in self._windows(wave, count):
            activity = to_multilabel(self.scores(windows), soft=self._soft)
            total.add(two_highest(activity))
            speaking[done : done + len(windows)] = bits_of(activity)
            done += len(windows)
            beat(frames=len(windows) * self.step // SAMPLES_PER_FRAME)
        return Voices(total.average(len(wave)), speaking, total.starts, len(wave))

    def scores(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, frames, 7) log-probabilities of windows (N, window); ValueError when the net answers otherwise."""
        output = self._session.run([self._output], {self._input: np.ascontiguousarray(windows[:, None])})[0]
        wanted = (len(windows), self.frames, len(powerset()))
        if output.shape != wanted:
            raise ValueError(f"the segmentation net returns {output.shape}, not {wanted}")
        if np.isnan(output).any():
            raise ValueError("the segmentation net returns NaN")
        return np.asarray(output, np.float32)

    def _windows(self, wave: NDArray[np.float32], count: int) -> Iterator[NDArray[np.float32]]:
        """Batches (n, window): views of the wave, and the last window alone where zeros have to be added to it."""
        whole = max(0, (len(wave) - self.window) // self.step + 1)
        if whole:
            views = sliding_window_view(wave, self.window)[:: self.step]
            for at in range(0, whole, self._batch):
                yield views[at : at + self._batch]
        if whole < count:
            last = np.zeros((1, self.window), np.float32)
            rest = wave[whole * self.step :]
            last[0, : len(rest)] = rest
            yield last


def window_count(samples: int, window: int, step: int) -> int:
    """Windows that cover a sound; the last one may reach past its end."""
    return 1 + max(0, -(-(samples - window) // step))


def checked_wave(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """The wave as (samples,) float32; ValueError for another shape or an empty one."""
    wave = np.asarray(wave, np.float32)
    if wave.ndim != 1 or not len(wave):
        raise ValueError(f"the wave has shape {wave.shape}, not (samples,)")
    return wave


def _signature(session: Any) -> tuple[str, str, int]:
    """Names of input and output, and samples of a window; ValueError when the model is another one."""
    sources, results = session.get_inputs(), session.get_outputs()
    if len(sources) != 1 or len(results) != 1:
        raise ValueError(f"not a segmentation net: {len(sources)} inputs and {len(results)} outputs, not one each")
    source, result = list(sources[0].shape), list(results[0].shape)
    window = source[2] if len(source) == 3 and isinstance(source[2], int) else WINDOW_SECONDS * SAMPLE_RATE
    frames = (window - FRAME_FIELD) // FRAME_STEP + 1
    if not (_fits(source, (None, 1, window)) and _fits(result, (None, frames, len(powerset())))) or frames < 1:
        raise ValueError(
            f"not segmentation-3.0: it takes {source} and gives {result}, not (N, 1, {window}) and (N, {frames}, 7)"
        )
    return sources[0].name, results[0].name, window


def _fits(shape: list[Any], wanted: tuple[int | None, ...]) -> bool:
    """Whether a declared shape can be the wanted one; names and None are free."""
    pairs = zip(shape, wanted, strict=False)
    return len(shape) == len(wanted) and all(n is None or not isinstance(s, int) or s == n for s, n in pairs)
