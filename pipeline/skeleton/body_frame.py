"""A skeleton as seen from the body itself: without what shifts, zooms or rolls all of it at once.

A photograph under a slow zoom or pan moves every point by one and the same similarity transform. What is left when that is taken
out is the person's own motion. Planes are complex here: multiplying turns and scales, adding shifts.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats, Floats64
from pipeline.skeleton import layout

ROUNDS = 6  # of fitting and of looking what fits badly: 3 do for a still, arms that wave need them all
MIN_POINTS = 3  # of head and trunk and arms in a frame: two always fit
MIN_OFTEN = 0.5  # share of the frames in which a point must be seen to be fitted
_FITTED = slice(0, layout.RIGHT_HIP + 1)  # face and fingers are many and near each other: they would decide alone
_NEAR = 2.0  # times the median residual from which a point counts half as much or less: limbs that move

Plane = NDArray[np.complex128]


def in_body_frame(points: Floats) -> Floats64:
    """Move each frame's points (F, 133, 2) by the similarity that fits them best to the clip's median body; NaN where unknown.

    Robust by reweighting, so that limbs that move are outvoted by trunk and head. The unit is that of the frame in which most is
    seen.
    """
    plane = np.asarray(points[..., 0] + 1j * points[..., 1], np.complex128)
    body = plane[:, _FITTED].copy()
    seen = np.isfinite(body)
    seen &= seen.sum(0) >= MIN_OFTEN * len(seen)
    told = seen.sum(1) >= MIN_POINTS
    if not told.any():
        return np.full((*plane.shape, 2), np.nan)
    moved = _fitted(np.where(seen, body, np.nan), seen * 1.0, plane)
    moved[~told] = complex(np.nan, np.nan)
    return np.stack([moved.real, moved.imag], -1)


def _fitted(body: Plane, weights: Floats64, plane: Plane) -> Plane:
    """All points of `plane` (F, 133) under the similarities that take `body` (F, N) to one common shape."""
    seen = weights > 0
    shape = body[int(np.argmax(seen.sum(1)))]
    turn, shift = _similarities(body, shape, weights)
    for _ in range(ROUNDS):
        here = turn * body + shift
        shape = _median(here)
        apart = np.abs(here - shape)
        near = _NEAR * max(float(np.median(apart[seen])), 1e-3)
        weights = np.where(seen, 1 / (1 + np.square(np.where(seen, apart, 0) / near)), 0.0)
        turn, shift = _similarities(body, shape, weights)
    return np.asarray(turn * plane + shift)


def _similarities(body: Plane, shape: Plane, weights: Floats64) -> tuple[Plane, Plane]:
    """(F, 1) factors and (F, 1) shifts that take each frame of `body` (F, N) nearest to `shape` (N,)."""
    weights = weights * np.isfinite(shape)
    there, here = np.nan_to_num(shape)[None], np.nan_to_num(body)
    total = np.maximum(weights.sum(1, keepdims=True), 1e-9)
    to, origin = ((weights * values).sum(1, keepdims=True) / total for values in (there, here))
    spread = (weights * np.square(np.abs(here - origin))).sum(1, keepdims=True)
    turn = (weights * np.conj(here - origin) * (there - to)).sum(1, keepdims=True) / np.maximum(spread, 1e-9)
    return turn, to - turn * origin


def _median(body: Plane) -> Plane:
    """(N,) median place of each point over the frames (F, N) that show it; NaN where none does."""
    known = np.isfinite(body).any(0)
    shape = np.full(body.shape[1], np.nan + 0j)
    shape[known] = np.nanmedian(body.real[:, known], 0) + 1j * np.nanmedian(body.imag[:, known], 0)
    return shape
