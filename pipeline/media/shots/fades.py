"""Flat pictures (black, white, one colour) and the fades around them: they belong to no shot."""

import cv2
import numpy as np

from pipeline.media.shots.flags import Flags, Pixels, runs_of

_FLAT_LEVELS = 12  # 2nd to 98th percentile of luma of a flat picture
_DARK_LEVEL = 24  # 98th percentile of a black one
_FADE_LEVELS = (1.5, 40)  # least and most contrast that a fade gains or loses a picture
_FADE_PICTURES = (3, 75)  # shortest and longest


def is_flat(low: int, high: int) -> bool:
    """Whether a picture is without content, by the 2nd and 98th percentile of its luma."""
    return high - low < _FLAT_LEVELS or high < _DARK_LEVEL


def luma_range(grey: Pixels) -> tuple[int, int]:
    """2nd and 98th percentile of a grey picture."""
    summed = np.cumsum(cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel())
    low, high = summed.searchsorted((0.02 * summed[-1], 0.98 * summed[-1]))
    return int(low), int(high)


def with_fades(flat: list[bool], spread: list[int]) -> Flags:
    """(pictures,) flat, or in a fade: contrast grows picture by picture away from a flat one."""
    outside = np.array(flat, dtype=bool)
    shortest, longest = _FADE_PICTURES
    for first, end in runs_of(outside):
        for at, step in ((first, -1), (end - 1, 1)):
            faded: list[int] = []
            while len(faded) < longest:
                ahead = at + step
                if not 0 <= ahead < len(flat) or flat[ahead]:
                    break
                if not _FADE_LEVELS[0] <= spread[ahead] - spread[at] <= _FADE_LEVELS[1]:
                    break
                faded.append(ahead)
                at = ahead
            if len(faded) >= shortest:
                outside[faded] = True
    return outside
