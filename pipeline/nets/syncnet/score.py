"""SyncNet's measures of lips and sound: offset, confidence and distance (calc_pdist and what follows it)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats32

MAX_SHIFT = 15  # frames to either side over which lips and sound are compared
_EPSILON = 1e-6  # torch's pairwise_distance adds it to every difference


@dataclass(frozen=True)
class Score:
    """SyncNet's measures of a face and a sound.

    Attributes:
        offset: frames of 40 ms; positive: the sound comes before the lips.
        confidence: median minus least mean distance over the offsets.
        distance: that least mean distance.
        halves: the offsets that the earlier and the later half of the windows have by themselves.
    """

    offset: int
    confidence: float
    distance: float
    halves: tuple[int, int]


def distances(lip: Floats32, sound: Floats32, max_shift: int = MAX_SHIFT) -> Floats32:
    """Distances of each window of the lips to the sound around it.

    Args:
        lip, sound: (W, D), a row each frame on which a window begins.
        max_shift: S.

    Returns:
        (W, 2S + 1): column k is the distance to the sound k - S frames later, or to zeros where there is none.

    Raises:
        ValueError: the two are not of one shape.
    """
    if lip.shape != sound.shape or lip.ndim != 2:
        raise ValueError(f"lips {lip.shape} and sound {sound.shape} are not of one shape (windows, width)")
    padded = np.pad(sound, ((max_shift, max_shift), (0, 0)))
    count = len(lip)
    # A column at a time: all offsets at once would hold 31 copies of the embeddings.
    columns = [np.linalg.norm(lip - padded[k : k + count] + _EPSILON, axis=1) for k in range(2 * max_shift + 1)]
    return np.stack(columns, 1).astype(np.float32)


def score(pairwise: Floats32, used: NDArray[np.bool_] | None = None) -> Score:
    """Compute offset, confidence and distance.

    Args:
        pairwise: (W, 2S + 1) distances, from `distances`.
        used: (W,) windows that count; all of them by default.

    Raises:
        ValueError: no window counts.
    """
    pairwise = pairwise if used is None else pairwise[used]
    if not len(pairwise):
        raise ValueError("there is no window to compare")
    mean = pairwise.mean(0, dtype=np.float64)
    least = float(mean.min())
    median = float(np.sort(mean)[(len(mean) - 1) // 2])  # of an even number torch takes the lower one
    halves = [pairwise[: (len(pairwise) + 1) // 2], pairwise[len(pairwise) // 2 :]]
    first, last = (_offset(half.mean(0, dtype=np.float64)) for half in halves)
    return Score(_offset(mean), median - least, least, (first, last))


def _offset(mean: NDArray[np.float64]) -> int:
    return len(mean) // 2 - int(mean.argmin())
