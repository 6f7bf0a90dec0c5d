"""Which way a head looks, from the 68 face points: a scaled-orthographic fit of a generic face.

Axes as in `pipeline.theatre.figure`: x to the person's left (right in the picture of somebody who faces us), y down, z towards
us. A head is pitched about x, then turned about y, then rolled in the picture.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats, Floats64
from pipeline.skeleton import layout

ITERATIONS = 6
MIN_POINTS = 30  # seen of 68, among them half an eye: half a face tells its proportions as much as its turn
MIN_EYE_POINTS = 3
MAX_RESIDUAL_MM = 15.0  # median, over the face's own scale: what fits worse is no face, or one that the net has lost
ROBUST_MM = 6.0  # residuals of an adult's own features: points farther off count less and less

# The right half and the middle of an adult's face, millimetres from the middle between the pupils; the left half mirrors it.
# Widths, heights and depths are those of common anthropometry: 90 mm between the outer corners of the eyes, 34 between the inner,
# 120 from the root of the nose to the chin, 140 across the cheeks, nostrils 30 apart, the tip of the nose 32 before the pupils.
_RIGHT_HALF: dict[int, tuple[float, float, float]] = {
    0: (-72, 4, -68), 1: (-72, 24, -67), 2: (-69, 43, -63), 3: (-64, 62, -55), 4: (-56, 79, -42),
    5: (-45, 94, -25), 6: (-31, 106, -10), 7: (-16, 114, 0), 8: (0, 117, 4),
    17: (-58, -17, -12), 18: (-50, -25, -2), 19: (-39, -28, 5), 20: (-27, -26, 9), 21: (-15, -22, 11),
    27: (0, -4, 13), 28: (0, 9, 19), 29: (0, 22, 26), 30: (0, 34, 32),
    31: (-15, 44, 14), 32: (-8, 47, 18), 33: (0, 49, 20),
    36: (-45, 1, -6), 37: (-37, -4, 0), 38: (-27, -4, 2), 39: (-17, 2, 1), 40: (-26, 5, 1), 41: (-36, 5, -1),
    48: (-25, 72, 8), 49: (-15, 67, 15), 50: (-6, 64, 19), 51: (0, 66, 20), 57: (0, 83, 17), 58: (-7, 82, 16),
    59: (-15, 78, 14), 60: (-22, 72, 8), 61: (-8, 71, 16), 62: (0, 71, 17), 66: (0, 74, 16), 67: (-8, 74, 15),
}  # fmt: skip
_EYES = (layout.RIGHT_EYE_RING, layout.LEFT_EYE_RING)
# How far each part is to be trusted: nets put the jaw on the outline that they see, and the lower lip moves with speech.
_TRUST = ((layout.JAW, 0.3), (layout.MOUTH, 0.5))


@lru_cache(maxsize=1)
def generic_face() -> Floats64:
    """The 68 points of a generic adult face, (68, 3) millimetres."""
    mirror = layout.MIRROR[layout.FACE] - layout.FACE.start
    points = np.zeros((68, 3))
    for k, place in _RIGHT_HALF.items():
        points[mirror[k]] = np.array(place) * (-1, 1, 1)
        points[k] = place
    return points


@dataclass(frozen=True)
class Heads:
    """Heads over F frames; NaN where too little of the face is seen.

    Attributes:
        angles: (F, 3) degrees: yaw, 0 towards the camera and positive towards the picture's right; pitch, positive downwards;
            roll, positive clockwise.
        scale: (F,) px in a millimetre of a generic adult's head.
    """

    angles: Floats64
    scale: Floats64


def fit_heads(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> Heads:
    """Fit the generic face to the 68 points of each frame. Points that disagree with the others count little.

    Args:
        keypoints: (F, 133, 2) px, NaN where not seen.
        scores: (F, 133).
        min_score: points below it count as not seen.
    """
    points = np.asarray(layout.visible(keypoints, scores, min_score)[:, layout.FACE], np.float64)
    seen = layout.seen(points)
    told = (seen.sum(1) >= MIN_POINTS) & (_eye_points(seen) >= MIN_EYE_POINTS)
    angles, scale = np.full((len(points), 3), np.nan), np.full(len(points), np.nan)
    if told.any():
        weights = seen[told] * np.asarray(scores, np.float64)[told, layout.FACE] * _trust()
        rotations, scales, residuals = _fit(np.nan_to_num(points[told]), weights)
        fits = residuals <= MAX_RESIDUAL_MM
        angles[told], scale[told] = np.where(fits[:, None], _angles(rotations), np.nan), np.where(fits, scales, np.nan)
    return Heads(angles, scale)


def _eye_points(seen: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(F,) how many points are seen (F, 68) of the eye of which more are."""
    rings = [slice(ring.start - layout.FACE.start, ring.stop - layout.FACE.start) for ring in _EYES]
    return np.asarray(np.max([seen[:, ring].sum(1) for ring in rings], axis=0))


def _trust() -> Floats64:
    trust = np.ones(layout.K)
    for part, share in _TRUST:
        trust[part] = share
    return trust[layout.FACE]


def _fit(points: Floats64, weights: Floats64) -> tuple[Floats64, Floats64, Floats64]:
    """Fit the generic face to points (N, 68, 2) with weights (N, 68), 0 where there is none.

    Returns:
        rotations (N, 3, 3), scales (N,) px a millimetre, and median residuals (N,) in millimetres.

    Each round completes the points with the depths that the last rotation gives them, and fits a similarity to all three
    coordinates: every round lowers the squared distance in the picture (Dementhon and Davis, IJCV 1995, in its least-squares form).
    """
    face = generic_face()
    rotation, scale = _first_guess(points, weights, face)
    robust = weights
    for _ in range(ITERATIONS):
        turned = np.einsum("nij,pj->npi", rotation, face) * scale[:, None, None]
        shift = _weighted(points - turned[..., :2], robust)
        residual = np.linalg.norm(points - turned[..., :2] - shift[:, None], axis=-1) / scale[:, None]
        robust = weights / (1 + (residual / ROBUST_MM) ** 2)
        deep = np.concatenate([points, turned[..., 2:]], -1)
        rotation, scale = _similarity(deep, robust, face)
    return rotation, scale, np.nanmedian(np.where(weights > 0, residual, np.nan), axis=1)


def _first_guess(points: Floats64, weights: Floats64, face: Floats64) -> tuple[Floats64, Floats64]:
    """The rotation and scale nearest to the best affine map: (N, 3, 3), and (N,) px a millimetre."""
    here, there = _centred(points, weights), _centred(np.broadcast_to(face, (*points.shape[:2], 3)), weights)
    spread = np.einsum("np,npi,npj->nij", weights, there, there) + 1e-6 * np.eye(3)
    affine = np.linalg.solve(spread, np.einsum("np,npi,npj->nij", weights, there, here)).swapaxes(1, 2)  # (N, 2, 3)
    left, sizes, right = np.linalg.svd(affine, full_matrices=False)
    rows = left @ right
    return np.concatenate([rows, np.cross(rows[:, 0], rows[:, 1])[:, None]], 1), np.maximum(sizes.mean(1), 1e-6)


def _similarity(points: Floats64, weights: Floats64, face: Floats64) -> tuple[Floats64, Floats64]:
    """The rotation (N, 3, 3) and scale (N,) that take the face to points (N, 68, 3) with the least squares (Umeyama, PAMI 1991)."""
    here, there = _centred(points, weights), _centred(np.broadcast_to(face, points.shape), weights)
    left, sizes, right = np.linalg.svd(np.einsum("np,npi,npj->nij", weights, here, there))
    sign = np.stack([np.ones(len(left)), np.ones(len(left)), np.linalg.det(left @ right)], 1)
    size = np.einsum("np,npi,npi->n", weights, there, there)
    scale = np.maximum((sizes * sign).sum(1) / np.maximum(size, 1e-9), 1e-6)
    return (left * sign[:, None]) @ right, scale


def _centred(points: Floats64, weights: Floats64) -> Floats64:
    return np.asarray(points - _weighted(points, weights)[:, None])


def _weighted(points: Floats64, weights: Floats64) -> Floats64:
    """(N, D) weighted mean of points (N, P, D)."""
    return np.asarray(np.einsum("np,npd->nd", weights, points) / weights.sum(1)[:, None])


def _angles(rotation: Floats64) -> Floats64:
    """(N, 3) yaw, pitch and roll, degrees, of rotations that pitch, then turn, then roll."""
    across, deep = rotation[:, 2, 0], np.hypot(rotation[:, 2, 1], rotation[:, 2, 2])
    yaw = np.arctan2(-across, np.copysign(deep, rotation[:, 2, 2]))
    facing = np.where(rotation[:, 2, 2] < 0, -1.0, 1.0)
    pitch = np.arctan2(-rotation[:, 2, 1] * facing, rotation[:, 2, 2] * facing)
    roll = np.arctan2(rotation[:, 1, 0] * facing, rotation[:, 0, 0] * facing)
    return np.asarray(np.degrees(np.stack([yaw, pitch, roll], 1)))
