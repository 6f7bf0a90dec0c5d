"""What moves in a film, on one clock: the clips of a video put together, and what of it can be evidence."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats32, Floats64
from pipeline.base.units import Row
from pipeline.media.shots.motion_print import CELLS, EVERY, PRINT_RATE, series
from pipeline.media.twins.comparison import Scale

MOTION = Scale(step=1 / PRINT_RATE, span=1 / PRINT_RATE, window=62)  # 5 s
SPEEDS = (0.96, 0.98, 1.0, 1.02, 1.04)  # within a window, what lies between slips by less than a picture
_MIN_VARIANCE = (
    0.01  # of roots of grey levels; coding leaves less in a still picture, a quiet speaker makes ten times as much
)
_MIN_MOMENTS = 6.0  # pictures that a window's motion is spread over; a key frame in a still is one
_MAX_SELF_LIKENESS = 0.6  # of a window with those one to five seconds beside it: a loop, a fan; talks have 0.45 at most
_SHIFTS = range(12, 63, 2)  # pictures


@dataclass(frozen=True)
class Moving:
    """What moves in a film, 12.5 times a second.

    Attributes:
        values: (n, 16) roots of grey levels; 0 where nothing is known.
        seen: (n,) whether a picture belongs to a clip.
    """

    values: Floats32
    seen: NDArray[np.bool_]

    @classmethod
    def of(cls, clips: Iterable[Row]) -> "Moving":
        """Put together the rows of `clips` of one video: `first_frame`, `frames` and `motion_print`."""
        pieces = [(-(-(row["first_frame"] + row["frames"]) // EVERY), series(row["motion_print"])) for row in clips]
        values = np.zeros((max((end for end, _ in pieces), default=0), CELLS**2), np.float32)
        seen = np.zeros(len(values), bool)
        for end, piece in pieces:
            values[end - len(piece) : end], seen[end - len(piece) : end] = piece, True
        return cls(values, seen)

    def mirrored(self) -> "Moving":
        """The same of the mirrored film."""
        cells = self.values.reshape(-1, CELLS, CELLS)[:, :, ::-1]
        return Moving(np.ascontiguousarray(cells).reshape(-1, CELLS**2), self.seen)

    def at_speed(self, speed: float) -> "Moving":
        """The same played so many times as fast."""
        if speed == 1 or len(self.values) < 2:
            return self
        time = speed * np.arange(int((len(self.values) - 1) / speed))
        at = time.astype(np.int64)
        part = (time - at).astype(np.float32)[:, None]
        values = (1 - part) * self.values[at] + part * self.values[at + 1]
        return Moving(values, self.seen[at] & self.seen[at + 1])

    @cached_property
    def whole(self) -> NDArray[np.bool_]:
        """(windows,) whether all of a window was seen."""
        return np.asarray(sums(self.seen.astype(np.float64)) > MOTION.window - 0.5)

    @cached_property
    def means(self) -> Floats64:
        """(windows, 16)."""
        return sums(self.values) / MOTION.window

    @cached_property
    def energy(self) -> Floats64:
        """(windows,) squared distance from its means, over all cells."""
        squares = sums((self.values.astype(np.float64) ** 2).sum(1))
        return np.asarray(np.maximum(squares - MOTION.window * (self.means**2).sum(1), 0.0))

    @cached_property
    def moves(self) -> NDArray[np.bool_]:
        """(windows,) whether a window moves, at many moments."""
        return self.whole & (self.energy >= _MIN_VARIANCE * MOTION.window * CELLS**2) & self._at_many_moments()

    @cached_property
    def evidence(self) -> NDArray[np.bool_]:
        """(windows,) whether a window says something: it moves, and not as it does a little later."""
        found = self.moves.copy()
        if found.any():
            for shift in _SHIFTS:
                first, alike = likeness(self, self, shift)
                again = alike > _MAX_SELF_LIKENESS
                found[first : first + len(alike)] &= ~again
                found[first + shift : first + shift + len(alike)] &= ~again
        return found

    def _at_many_moments(self) -> NDArray[np.bool_]:
        """(windows,) whether the motion of a window is not that of a few pictures."""
        if not len(self.means):
            return np.zeros(0, bool)
        half = MOTION.window // 2
        around = np.clip(np.arange(len(self.values)) - half, 0, len(self.means) - 1)
        each = ((self.values - self.means[around]) ** 2).sum(1)
        return np.asarray(sums(each) ** 2 >= _MIN_MOMENTS * sums(each**2))

    @cached_property
    def seconds(self) -> float:
        """How much of it can be evidence, by which a share of it is told; at least half of what was seen."""
        return max(MOTION.lengths(np.flatnonzero(self.evidence)), MOTION.step * float(self.seen.sum()) / 2)


def likeness(a: Moving, b: Moving, offset: int) -> tuple[int, Floats64]:
    """The first window of `a` that lies in `b` at this offset, and the correlation of it and of those that follow; -1: not seen."""
    first, end = max(0, -offset), min(len(a.values), len(b.values) - offset)
    windows = end - first - MOTION.window + 1
    if windows < 1:
        return 0, np.zeros(0)
    here, there = slice(first, first + windows), slice(first + offset, first + offset + windows)
    product = np.einsum("tc,tc->t", a.values[first:end], b.values[first + offset : end + offset])
    shared = sums(product) - MOTION.window * np.einsum("tc,tc->t", a.means[here], b.means[there])
    alike = shared / np.sqrt(np.maximum(a.energy[here] * b.energy[there], 1e-9))
    return first, np.where(a.whole[here] & b.whole[there], np.clip(alike, -1, 1), -1.0)


def sums(values: NDArray[np.generic]) -> Floats64:
    """(n - window + 1, ...) sums over each window of (n, ...) values; empty where there is none."""
    total = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, 0, dtype=np.float64)])
    return np.asarray(total[MOTION.window :] - total[: -MOTION.window])
