"""Values, flags and runs of flags over the pictures of a film."""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]  # uint8
Flags = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]


def runs_of(flags: Flags) -> list[tuple[int, int]]:
    """(first, end), half open, of each stretch of true flags."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def shot_runs(starts: Flags, outside: Flags) -> list[tuple[int, int]]:
    """(first, end) of stretches of pictures that are not outside and hold no start but at their head."""
    runs = []
    for first, end in runs_of(~outside):
        inner = first + 1 + np.flatnonzero(starts[first + 1 : end])
        runs += list(pairwise([first, *inner.tolist(), end]))
    return runs
