"""Temporal smoothing of local coordinates: Savitzky-Golay of order 2, the mouth left alone.

In local coordinates the head's jitter is in the nose, not in the mouth: filtering the nose alone takes it out of
both, and the lips keep every movement of their own. Windows are odd numbers of frames at 25 fps.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats
from pipeline.skeleton import layout
from pipeline.skeleton.local import rooted

Variant = Literal["paper", "release"]

ORDER = 2
NECK_WINDOW = 11
MIN_SCORE = 0.3


def windows(variant: Variant) -> NDArray[np.int64]:
    """(133,) window of each keypoint in frames; 0 leaves it alone.

    `paper` smooths everything but the mouth over 11 frames (section 3.4); `release` also smooths outer lips over 7 and
    inner lips over 5, as the published scripts do.
    """
    if variant not in ("paper", "release"):
        raise ValueError(f"no such smoothing: {variant!r} is neither 'paper' nor 'release'")
    sizes = np.full(layout.K, 11, np.int64)
    sizes[layout.OUTER_LIPS] = 7 if variant == "release" else 0
    sizes[layout.INNER_LIPS] = 5 if variant == "release" else 0
    return sizes


def smooth(
    local: Floats, neck: Floats, scores: Floats, *, variant: Variant = "paper", min_score: float = MIN_SCORE
) -> tuple[Floats, Floats]:
    """Smoothed copies of a clip's local coordinates and neck path.

    A point that is missing, scored under `min_score`, or measured from a root that is so in a frame takes no part there
    and comes back as it was: a net puts a point that it cannot see anywhere, and one such frame would bend ten. Short
    holes are interpolated for the filter's sake; one longer than the window splits the path, and nothing is carried
    across. A piece shorter than the window is filtered with the largest odd window that fits.

    Args:
        local: (F, 133, 2), NaN where not seen.
        neck: (F, 2).
        scores: (F, 133).
        variant: which points are filtered, and how wide.
        min_score: points below it count as not seen.

    Returns:
        local and neck of the same shapes and types.
    """
    sure: NDArray[np.bool_] = np.asarray(np.asarray(scores) >= min_score)
    neck_sure = sure[:, layout.LEFT_SHOULDER] & sure[:, layout.RIGHT_SHOULDER]
    usable = rooted(local) & sure & _roots_sure(sure, neck_sure)
    smoothed = local.copy()
    sizes = windows(variant)
    for window in np.unique(sizes[sizes > 0]):
        columns = np.flatnonzero(sizes == window)
        smoothed[:, columns] = filter_paths(local[:, columns], usable[:, columns], int(window))
    return smoothed, filter_paths(neck[:, None], (layout.seen(neck) & neck_sure)[:, None], NECK_WINDOW)[:, 0]


def _roots_sure(sure: NDArray[np.bool_], neck_sure: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(F, 133): whether what each point is measured from was seen: the neck, the nose or a wrist."""
    roots = np.repeat(neck_sure[:, None], layout.K, axis=1)
    for group, root in layout.ROOTS:
        roots[:, group] = sure[:, [root]]
    return roots


def filter_paths(paths: Floats, usable: NDArray[np.bool_], window: int) -> Floats:
    """Savitzky-Golay along time.

    Args:
        paths: (F, N, 2).
        usable: (F, N) bool; elsewhere a path keeps its value and is not looked at.
        window: odd number of frames.

    Returns:
        (F, N, 2).
    """
    result = paths.copy()
    if not len(paths):
        return result
    patterns, which = np.unique(usable.T, axis=0, return_inverse=True)  # columns with the same holes share one call
    for number, pattern in enumerate(patterns):
        columns = np.flatnonzero(which.reshape(-1) == number)
        for first, stop in _pieces(pattern, window):
            inside = np.flatnonzero(pattern[first:stop])
            piece = paths[first:stop, columns].astype(np.float64)
            filtered = _filter(_filled(piece, inside), window)
            result[first + inside[:, None], columns] = filtered[inside]
    return result


def _pieces(usable: NDArray[np.bool_], window: int) -> list[tuple[int, int]]:
    """Spans [first, stop) that start and end on a usable frame and hold no hole longer than the window."""
    frames = np.flatnonzero(usable)
    if not frames.size:
        return []
    breaks = np.flatnonzero(np.diff(frames) - 1 > window)
    firsts = frames[np.r_[0, breaks + 1]]
    lasts = frames[np.r_[breaks, frames.size - 1]]
    return [(int(first), int(last) + 1) for first, last in zip(firsts, lasts, strict=True)]


def _filled(piece: NDArray[np.float64], inside: NDArray[np.intp]) -> NDArray[np.float64]:
    """(T, N, 2) with the frames that are not in `inside` interpolated linearly; the first and last are in it."""
    if inside.size == len(piece):
        return piece
    holes = np.setdiff1d(np.arange(len(piece)), inside)
    after = np.searchsorted(inside, holes)
    left, right = inside[after - 1], inside[after]
    weight = ((holes - left) / (right - left))[:, None, None]
    piece[holes] = (1 - weight) * piece[left] + weight * piece[right]
    return piece


def _filter(piece: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    from scipy.signal import savgol_filter  # here: what only reads `measures.VERSION` must not wait for SciPy

    fitting = min(window, len(piece) - 1 + len(piece) % 2)  # the largest odd number of frames that there are
    if fitting <= ORDER + 1:  # a parabola through three points changes nothing
        return piece
    return np.asarray(savgol_filter(piece, fitting, ORDER, axis=0, mode="interp"))
