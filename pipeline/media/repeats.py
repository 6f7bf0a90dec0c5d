"""Pictures that repeat the one before: the same frame of the source once more, or coded again with traces of coding alone.

A camera of 12 pictures a second in a film of 25 shows each twice, and coding makes the two differ a little, here and there; a
person who sits still differs in few places. So what counts is the place that differs most, against what moves before and after.
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

BLOCK_PX = 8  # of pictures with a long side of about 256 px
_SAME = 1.2  # grey levels by which a block of two pictures differs at most that are one: stills coded at crf 18-30 stay below
_CODED = 8.0  # ... that were coded twice, at the most
_SHARE = 0.25  # ... of what moves before and after, both


def change_between(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> float:
    """The largest mean difference of luma in any block of 8 x 8 pixels, in grey levels; pictures (height, width) uint8."""
    differing = cv2.absdiff(before, after)
    sums = cv2.boxFilter(differing, cv2.CV_16U, (BLOCK_PX, BLOCK_PX), normalize=False)  # twice as fast as means
    return float(sums.max()) / BLOCK_PX**2


def repeating(changes: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """(pictures,) whether each repeats the one before.

    Args:
        changes: (pictures,) from the picture before, as `change_between`; that of the first means nothing.
    """
    if len(changes) < 2:
        return np.zeros(len(changes), dtype=bool)
    around = np.pad(changes[1:].astype(np.float64), 2)  # nothing moves before the first change and after the last
    before = np.maximum(around[:-4], around[1:-3])
    after = np.maximum(around[3:-1], around[4:])
    moving = np.minimum(before, after)
    inner = changes[1:]
    held = (inner < _SAME) | (inner < np.minimum(_CODED, _SHARE * moving))
    return np.concatenate([[False], held])
