"""How a reference lies in the model's frame: the crops it was trained on. Checked before anything costly starts, and mended.

A model knows people as the training crops show them: shoulders so wide, necks there. A reference that is much larger or
smaller, or stands elsewhere, is brought there by a similarity, and what is generated is brought back by its inverse.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.skeleton import layout

Floats = NDArray[np.floating]

STABLE = (0, 1, 2, 3, 4, 5, 6, 11, 12)  # head, shoulders, hips: what a gesture hardly moves
NEEDED = 4  # of them, for a fit
SLACK = 0.05  # beyond the percentiles of training, as a share of the shoulder width
INLIER = 0.2  # of the shoulder width: points farther from the fit are left out of it
TURNED_DEG = 10.0


@dataclass(frozen=True)
class Similarity:
    """p' = scale R(angle) p + shift; angle in radians, clockwise in a picture; shift (2,) px."""

    scale: float
    angle: float
    shift: tuple[float, float]

    def apply(self, points: Floats) -> Floats:
        """(..., 2) -> (..., 2)."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        turn = self.scale * np.array([[cos, -sin], [sin, cos]])
        return np.asarray(points @ turn.T + np.array(self.shift))

    def inverse(self) -> "Similarity":
        back = Similarity(1 / self.scale, -self.angle, (0.0, 0.0))
        x, y = back.apply(np.array(self.shift))
        return Similarity(back.scale, back.angle, (-float(x), -float(y)))


def letterbox(width: int, height: int, side: int = 512) -> Similarity:
    """A whole picture (px) into the middle of a square, as crops that are not square are laid (pixel centres on centres)."""
    scale = side / max(width, height)
    shift = [(side - scale * size) / 2 + 0.5 * scale - 0.5 for size in (width, height)]
    return Similarity(scale, 0.0, (shift[0], shift[1]))


def fit(points: Floats, target: Floats) -> Similarity | None:
    """The similarity that brings stable points to their target; outliers take no part (RANSAC, then least squares).

    Args:
        points: (133, 2) px, NaN where unseen.
        target: (133, 2) px, NaN where unknown.

    Returns:
        None when fewer than four stable points are in both.
    """
    import cv2

    chosen = [k for k in STABLE if np.isfinite(points[k]).all() and np.isfinite(target[k]).all()]
    if len(chosen) < NEEDED:
        return None
    wide = float(np.linalg.norm(target[layout.LEFT_SHOULDER] - target[layout.RIGHT_SHOULDER]))
    matrix, _ = cv2.estimateAffinePartial2D(
        points[chosen].astype(np.float64),
        target[chosen].astype(np.float64),
        method=cv2.RANSAC,
        ransacReprojThreshold=INLIER * wide,
        maxIters=5000,
        confidence=0.999,
    )
    if matrix is None:
        return None
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    return Similarity(scale, float(np.arctan2(matrix[1, 0], matrix[0, 0])), (matrix[0, 2], matrix[1, 2]))


@dataclass(frozen=True)
class Check:
    """A reference against what the model was trained on.

    Attributes:
        shoulders: its shoulder width, px of the 512 crop; neck (2,) px.
        scale: of its shoulder width to the median of training.
        warnings: what is out of the ordinary, with numbers; empty when nothing is.
    """

    shoulders: float
    neck: tuple[float, float]
    scale: float
    warnings: tuple[str, ...]


def check(points: Floats, framing: Floats) -> Check:
    """Compare a reference's shoulders and neck with training's.

    Args:
        points: (133, 2) px of the 512 crop, NaN where unseen; both shoulders must be there.
        framing: (3, 3) rows shoulder width, neck x, neck y: their 1st, 50th and 99th percentile, px.

    Raises:
        ValueError: a shoulder is not seen: nothing says where the body is, or how large.
    """
    left, right = points[layout.LEFT_SHOULDER], points[layout.RIGHT_SHOULDER]
    if not np.isfinite([left, right]).all():
        raise ValueError("the reference shows no shoulders: take a picture of the upper body, from the hips up")
    wide = float(np.linalg.norm(left - right))
    neck = (left + right) / 2
    slack = SLACK * framing[0, 1]
    named = (("shoulder width", wide, 0), ("neck x", float(neck[0]), 1), ("neck y", float(neck[1]), 2))
    warnings = [
        f"{name} {value:.0f} px, in training {framing[row, 0]:.0f} to {framing[row, 2]:.0f}"
        for name, value, row in named
        if not framing[row, 0] - slack <= value <= framing[row, 2] + slack
    ]
    tilt = abs(np.degrees(np.arctan2(*(left - right)[::-1])))
    if min(tilt, abs(180 - tilt)) > 2 * TURNED_DEG:
        warnings.append(f"shoulders tilted by {min(tilt, abs(180 - tilt)):.0f} degrees")
    elif left[0] < right[0]:
        warnings.append("left and right shoulder are swapped: seen from behind, or mirrored")
    return Check(wide, (float(neck[0]), float(neck[1])), wide / float(framing[0, 1]), tuple(warnings))
