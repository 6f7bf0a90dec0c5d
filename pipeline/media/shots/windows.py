"""Cutting a long shot into windows: as even as possible, and between words where there is a pause to cut in."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

_IN_SPEECH = 1e3  # price of a cut inside speech: dearer than any unevenness
_SHALLOW = 0.15  # price of a cut right at the edge of a pause
_DEEP_FRAMES = 8  # this far from speech (0.32 s) a cut is as good as it gets


@dataclass(frozen=True)
class WindowLimits:
    """Lengths of a window, in frames; `longest` is at least twice `shortest`, so that any shot can be cut."""

    shortest: int
    longest: int
    target: int

    def __post_init__(self) -> None:
        if self.shortest < 1 or self.longest < 2 * self.shortest or not self.shortest <= self.target <= self.longest:
            raise ValueError(f"window lengths {self}: 1 <= shortest <= target <= longest, and longest >= 2 x shortest")


def guarded(first: int, end: int, video_frames: int, guard: int, shortest: int) -> tuple[int, int]:
    """A shot without its guard bands: the pictures next to a cut, where encoders smear and blends begin.

    The video's own ends need none, and the band gives way where it would cost the whole shot: cuts are exact.

    Args:
        first, end: the shot, half open, in frames of the video.
        video_frames: length of the video.
        guard: frames of the band.
        shortest: length in frames that is still worth having.
    """
    before, after = (guard if first > 0 else 0), (guard if end < video_frames else 0)
    spare = end - first - shortest
    if spare < before + after:
        after = max(0, min(after, spare // 2 if before else spare))
        before = max(0, min(before, spare - after))
    return first + before, end - after


def windows(frames: int, limits: WindowLimits, speech: Sequence[tuple[float, float]] = ()) -> list[tuple[int, int]]:
    """Cut a shot of this many frames into windows that touch each other and cover it.

    A shot that fits into one window stays whole. A longer one is cut into about `frames / target` windows by dynamic
    programming: first as few cuts inside speech as can be, then windows of even length and cuts deep in pauses.

    Args:
        frames: length of the shot.
        limits: of the windows.
        speech: (start, end) of speech in frames from the shot's beginning; nothing known = equal windows.

    Returns:
        (first, end) half open, in order; empty when the shot is shorter than the shortest window.
    """
    if frames < limits.shortest:
        return []
    if frames <= limits.longest:
        return [(0, frames)]
    price = cut_prices(frames, speech)
    pieces = max(-(-frames // limits.longest), round(frames / limits.target))
    cuts = _cheapest_cuts(price, limits, frames / pieces)
    return list(pairwise(cuts))


def cut_prices(frames: int, speech: Sequence[tuple[float, float]]) -> npt.NDArray[np.float64]:
    """(frames + 1,) what a cut before each frame costs: much inside speech, little near its edge, nothing deep in a pause."""
    at = np.arange(frames + 1, dtype=np.float64)
    distance = np.full(frames + 1, np.inf)
    for start, end in speech:
        # Negative inside (start, end), and 0 at its edges, where a cut parts no word.
        distance = np.minimum(distance, np.maximum(start - at, at - end))
    depth = np.clip(distance / _DEEP_FRAMES, 0, 1)
    return np.where(distance < 0, _IN_SPEECH, _SHALLOW * (1 - depth))


def _cheapest_cuts(price: npt.NDArray[np.float64], limits: WindowLimits, even: float) -> list[int]:
    """The cut positions from 0 to the end with the smallest sum of prices and squared unevenness."""
    frames = len(price) - 1
    lengths = np.arange(limits.shortest, limits.longest + 1)
    uneven = ((lengths - even) / even) ** 2
    best = np.full(frames + 1, np.inf)
    come_from = np.zeros(frames + 1, dtype=np.int64)
    best[0] = 0.0
    for at in range(limits.shortest, frames + 1):
        usable = min(len(lengths), at - limits.shortest + 1)
        costs = best[at - lengths[:usable]] + uneven[:usable]
        choice = int(np.argmin(costs))
        best[at] = costs[choice] + (price[at] if at < frames else 0.0)
        come_from[at] = at - lengths[choice]
    cuts = [frames]
    while cuts[-1] > 0:
        cuts.append(int(come_from[cuts[-1]]))
    return cuts[::-1]
