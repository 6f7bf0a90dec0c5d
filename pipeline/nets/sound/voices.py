"""Voice counts over time: a segmentation net's windows overlap-added, turned into spans, and measured clip by clip.

Frames, overlap-add and hysteresis are those of pyannote.audio 4 (`Inference.aggregate`, `Binarize`): H. Bredin, "pyannote.audio
2.1 speaker diarization pipeline", Interspeech 2023; powerset: A. Plaquet and H. Bredin, same conference.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.base.units import SAMPLE_RATE

FRAME_STEP, FRAME_FIELD = 270, 991  # samples from a frame to the next, and that a frame sees: SincNet with stride 10
LEAST_WEIGHT = 1e-12

Span = tuple[float, float]  # start and end in seconds, end exclusive


def frame_of(sample: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """The frame that begins nearest to a sample."""
    return np.rint(np.asarray(sample) / FRAME_STEP).astype(np.int64)


def middles(count: int, first: int = 0) -> NDArray[np.float64]:
    """(count,) seconds at the middle of frames `first` and on."""
    return (np.arange(first, first + count) * FRAME_STEP + FRAME_FIELD / 2) / SAMPLE_RATE


class OverlapAdd:
    """Averages scores of windows that overlap, each weighted by a Hamming window; frames that no window reaches are 0.

    Args:
        windows: how many will come.
        window: samples of one.
        step: samples from the start of one to the start of the next.
        frames: scores a window.
        columns: numbers a score.
    """

    def __init__(self, windows: int, window: int, step: int, frames: int, columns: int = 2) -> None:
        self.starts = frame_of(np.arange(windows, dtype=np.int64) * step)  # (W,) first frame of each window
        self._end = window + (windows - 1) * step  # sample
        reached = int(frame_of(self._end)) + 1
        total = max(reached, int(self.starts[-1]) + frames)
        self._weights = np.hamming(frames)[:, None]
        self._sum = np.zeros((total, columns))
        self._weight = np.zeros((total, 1))
        self._added = 0

    def add(self, scores: NDArray[np.floating]) -> None:
        """Lay the next windows (n, frames, columns) over those before."""
        for window in scores:
            at = slice(self.starts[self._added], self.starts[self._added] + len(window))
            self._sum[at] += window * self._weights
            self._weight[at] += self._weights
            self._added += 1

    def average(self, samples: int) -> NDArray[np.float32]:
        """(F, columns): the mean scores; where the last window reached past the sound's end, without frames that begin there."""
        mean = self._sum / np.maximum(self._weight, LEAST_WEIGHT)
        kept = mean if self._end <= samples else mean[: samples // FRAME_STEP + 1]
        return kept.astype(np.float32)


def spans(
    scores: NDArray[np.floating], onset: float = 0.5, offset: float = 0.5, min_on: float = 0.0, min_off: float = 0.0
) -> list[Span]:
    """Spans in which a score is high.

    A span begins at the middle of the first frame above `onset` and ends at the middle of the first one below `offset`.
    Gaps shorter than `min_off` seconds are closed first, then spans shorter than `min_on` seconds are dropped.

    Args:
        scores: (F,), a frame each 270 samples.

    Returns:
        (start, end) in seconds, in order.
    """
    scores = np.asarray(scores)
    if not len(scores):
        return []
    decided = (scores > onset) | (scores < offset)
    # A frame that is neither is as the last one that was; before any was, as the first one, which is not above `onset`.
    last = np.maximum.accumulate(np.where(decided, np.arange(len(scores)), 0))
    active = (scores > onset)[last]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    times = middles(len(scores))[np.minimum(edges, len(scores) - 1)]
    joined: list[Span] = []
    for start, end in zip(times[::2].tolist(), times[1::2].tolist(), strict=True):
        if end == start:
            continue  # the last frame alone
        if joined and start - joined[-1][1] < min_off:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return [(start, end) for start, end in joined if end - start >= min_on]


def clipped(spans: list[Span], start: float, end: float) -> list[Span]:
    """The parts of spans that lie within [start, end) seconds."""
    cut = [(max(a, start), min(b, end)) for a, b in spans]
    return [(a, b) for a, b in cut if b > a]


@dataclass(frozen=True)
class Voices:
    """The voices that a segmentation net finds in a whole track.

    Attributes:
        scores: (F, 2) float32, a frame each 270 samples: some voice, two voices or more; 0..1.
        speaking: (W, frames) uint8, bit k of a window's frame: its local speaker k speaks. Who is k differs from window to window.
        starts: (W,) first frame of each window.
        samples: of the track, at 16 kHz.
    """

    scores: NDArray[np.float32]
    speaking: NDArray[np.uint8]
    starts: NDArray[np.int64]
    samples: int

    @cached_property
    def _bounds(self) -> NDArray[np.float64]:
        return middles(len(self.scores))

    def rows(self, start: float, end: float) -> NDArray[np.float32]:
        """(n, 2) scores of the frames whose middle lies in [start, end) seconds."""
        first, stop = np.searchsorted(self._bounds, [start, end])
        return self.scores[first:stop]

    def count(self, start: float, end: float, least: float) -> int:
        """Most voices that one window hears within [start, end) seconds, each for at least `least` seconds."""
        need = max(1, int(np.ceil(least * SAMPLE_RATE / FRAME_STEP)))
        first, stop = np.ceil((np.array([start, end]) * SAMPLE_RATE - FRAME_FIELD / 2) / FRAME_STEP).astype(np.int64)
        near = np.flatnonzero((self.starts < stop) & (self.starts + self.speaking.shape[1] > first))
        most = 0
        for window in near:
            at = self.starts[window]
            part = self.speaking[window, max(0, first - at) : stop - at]
            most = max(most, sum(int(np.count_nonzero(part & (1 << k))) >= need for k in range(3)))
        return most


def longest(spans: list[Span]) -> float:
    """Seconds of the longest span; 0 without any."""
    return max((end - start for start, end in spans), default=0.0)


def seconds(spans: list[Span]) -> float:
    """Seconds of all spans together; they do not overlap."""
    assert all(before[1] <= after[0] for before, after in pairwise(spans)), "spans are in order"
    return sum(end - start for start, end in spans)
