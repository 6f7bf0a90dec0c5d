"""Alignment of a reference with the model's frame, and of a motion with a reference, before anything costly starts.

A model knows people as the training crops show them: with shoulders of a certain width and necks in a certain place. A reference
that is much larger, smaller or elsewhere is mapped there by a similarity, and the generated motion is mapped back by its inverse.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats
from pipeline.skeleton import layout

Complex = NDArray[np.complex128]

STABLE = (0, 1, 2, 3, 4, 5, 6, 11, 12)  # head, shoulders, hips: what a gesture hardly moves
NEEDED = 4  # of them, for a fit
SLACK = 0.05  # beyond the percentiles of training, as a share of the shoulder width
INLIER = 0.2  # of the shoulder width: points farther from the fit are left out of it
TURNED_DEG = 10.0
# How far a motion's first frame may be from the reference picture. Within the demo's clips, any two frames of one person are of
# one size within 10 % (99.7 of 100 pairs) and of one place within 0.25 shoulder widths (98 of 100): more is no gesture.
SCALE_OFF = 0.10
SHIFT_OFF = 0.25  # of the reference's shoulder width


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
    """Centre a whole picture (px) in a square, as crops that are not square are letterboxed (pixel centres on centres)."""
    scale = side / max(width, height)
    shift = [(side - scale * size) / 2 + 0.5 * scale - 0.5 for size in (width, height)]
    return Similarity(scale, 0.0, (shift[0], shift[1]))


def fit(points: Floats, target: Floats, *, turned: bool = True) -> Similarity | None:
    """Fit a similarity that maps stable points to their targets: least squares over the inliers.

    The pair of points whose similarity fits best determines the inliers, with errors truncated at the inlier limit. A head's five
    points move together, so they share one vote: with one each they would outvote shoulders and hips whenever a head leans.

    Args:
        points: (133, 2) px, NaN where unseen.
        target: (133, 2) px, NaN where unknown.
        turned: allow rotation; otherwise scale and shift only.

    Returns:
        None when fewer than four stable points are in both, or they do not agree at any scale.
    """
    chosen = [k for k in STABLE if np.isfinite(points[k]).all() and np.isfinite(target[k]).all()]
    if len(chosen) < NEEDED:
        return None
    here, there = (np.asarray(x[chosen], float) @ np.array([1, 1j]) for x in (points, target))
    says = np.array([1 / 5 if k < layout.LEFT_SHOULDER else 1.0 for k in chosen])
    limit = INLIER * float(np.linalg.norm(target[layout.LEFT_SHOULDER] - target[layout.RIGHT_SHOULDER]))
    least, agree = np.inf, None
    for pair in map(list, combinations(range(len(chosen)), 2)):
        if here[pair[0]] != here[pair[1]]:
            turn, shift = _least_squares(here[pair], there[pair], says[pair], turned)
            errors = np.abs(turn * here + shift - there)
            cost = float((says * np.minimum(errors, limit) ** 2).sum())
            if cost < least:
                least, agree = cost, errors <= limit
    if agree is None:
        return None
    turn, shift = _least_squares(here[agree], there[agree], says[agree], turned)
    if not turned and turn.real <= 0:
        return None
    return Similarity(abs(turn), float(np.angle(turn)), (shift.real, shift.imag))


def _least_squares(here: Complex, there: Complex, says: Floats, turned: bool) -> tuple[complex, complex]:
    """Turn and shift such that turn here + shift is next to there; points (N,) as complex numbers x + iy, weights (N,).

    The turn is a real number, a mere scale, unless `turned`.
    """
    origin, aim = np.average(here, weights=says), np.average(there, weights=says)
    away = here - origin
    turn = complex((says * away.conj() * (there - aim)).sum() / (says * np.abs(away) ** 2).sum())
    turn = turn if turned else complex(turn.real)
    return turn, complex(aim - turn * origin)


@dataclass(frozen=True)
class Check:
    """A reference compared with the training data.

    Attributes:
        shoulders: its shoulder width, px of the 512 crop; neck (2,) px.
        scale: of its shoulder width to the median of training.
        warnings: what is unusual, with figures; empty when nothing is.
    """

    shoulders: float
    neck: tuple[float, float]
    scale: float
    warnings: tuple[str, ...]


def check(points: Floats, framing: Floats) -> Check:
    """Compare a reference's shoulders and neck with those of the training data.

    Args:
        points: (133, 2) px of the 512 crop, NaN where unseen; both shoulders must be there.
        framing: (3, 3) rows shoulder width, neck x, neck y: their 1st, 50th and 99th percentile, px.

    Raises:
        ValueError: a shoulder is not seen, so position and size of the body are unknown.
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


@dataclass(frozen=True)
class Comparison:
    """A motion's first usable frame compared with the skeleton of the reference picture.

    Attributes:
        frame: that frame's number; -1 when no frame is usable.
        scale: size of the motion relative to the picture's skeleton; NaN when unknown, as are the next two.
        shift: from the picture's neck to the motion's, px.
        distance: its length as a share of the picture's shoulder width.
        warnings: what is out of the ordinary, with numbers; empty when nothing is.
    """

    frame: int
    scale: float
    shift: tuple[float, float]
    distance: float
    warnings: tuple[str, ...]


def compare(motion: Floats, reference: Floats) -> Comparison:
    """Compare a motion with the person in a picture. A back-end distorts the person where the two do not coincide.

    Args:
        motion: (F, 133, 2) px of the picture, NaN where unseen.
        reference: (133, 2) px, the skeleton of the person in the picture, NaN where unseen.
    """
    frame = first_usable(motion)
    unknown = (float("nan"), (float("nan"), float("nan")), float("nan"))
    if not _has_shoulders(reference):
        message = "the picture shows no shoulders, so nothing can be fitted to it: use a picture from the hips up"
        return Comparison(frame, *unknown, (message,))
    if frame < 0:
        return Comparison(
            frame, *unknown, ("no frame of the motion shows both shoulders: nothing says where the body is",)
        )
    here, there = (points[list(_SHOULDERS)] for points in (motion[frame], reference))
    wide = float(np.linalg.norm(there[0] - there[1]))
    fitted = fit(reference, motion[frame], turned=False)
    # Shoulders alone look narrow when they turn; head and hips know better where they are seen.
    scale = fitted.scale if fitted else float(np.linalg.norm(here[0] - here[1])) / wide
    x, y = (float(v) for v in here.mean(0) - there.mean(0))
    distance = float(np.hypot(x, y)) / wide
    warnings = []
    if not 1 - SCALE_OFF <= scale <= 1 / (1 - SCALE_OFF):
        warnings.append(f"the motion is {scale:.2f} times the size of the person in the picture")
    if distance > SHIFT_OFF:
        warnings.append(
            f"the motion is {distance:.2f} shoulder widths away from the person in the picture, {x:+.0f} px in x, {y:+.0f} px in y"
        )
    return Comparison(frame, scale, (x, y), distance, tuple(warnings))


def align_motion(motion: Floats, reference: Floats) -> tuple[Floats, Similarity | None]:
    """Align a motion with the person in a picture: one scale and one shift for all frames, fitted to its first usable frame.

    Like the fit of the CSG-405 release, but over x and y alike and robust to outliers. It does not rotate: a reference that
    happens to lean must not tilt the whole motion.

    Args:
        motion, reference: as in `compare`.

    Returns:
        The motion (F, 133, 2) and the similarity applied; the unchanged motion and None when nothing can be fitted.
    """
    frame = first_usable(motion)
    fitted = fit(motion[frame], reference, turned=False) if frame >= 0 and _has_shoulders(reference) else None
    return (motion, None) if fitted is None else (fitted.apply(motion), fitted)


def align_if_off(motion: Floats, reference: Floats) -> tuple[Comparison, Similarity | None]:
    """Compare, and fit only where that is needed: None when the motion lies on the person already, or nothing can be fitted.

    Args:
        motion, reference: as in `compare`.
    """
    comparison = compare(motion, reference)
    return comparison, align_motion(motion, reference)[1] if comparison.warnings else None


def first_usable(motion: Floats) -> int:
    """The first frame that shows both shoulders; -1 when none does."""
    usable = np.isfinite(motion[:, list(_SHOULDERS)]).all((1, 2))
    return int(usable.argmax()) if usable.any() else -1


def _has_shoulders(points: Floats) -> bool:
    return bool(np.isfinite(points[list(_SHOULDERS)]).all() and (points[_SHOULDERS[0]] != points[_SHOULDERS[1]]).any())


_SHOULDERS = (layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER)
