"""Poses released with CSG-405: arrays (frames, persons, 134, 3), converted to our 133 keypoints in source pixels.

Little is published about these arrays, so what they hold is detected, and what cannot be told is refused with figures. This
could not be checked against the real archive: it rests on the data set's paper, its scripts and planted arrays.

**Order of the 134 points.** Either the neck and then COCO-WholeBody's 133 (`neck_first`, as the released scripts index them),
or DWPose's drawing order: OpenPose's 18 joints with the neck second, then feet, face and hands (`openpose`). The neck is the mean
of both shoulders in one of them only.

**Space.** See `pipeline.skeleton.released_space`.

**Missing points** have confidence 0, a coordinate that is no number, or lie where a missing point is left: at -1, -1, or at 0, 0
of a space whose corner that is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats
from pipeline.skeleton import layout
from pipeline.skeleton.released_space import (
    HEIGHT,
    WIDTH,
    Picture,
    Space,
    UnfitPoses,
    check_space,
    detect_space,
    sure,
    to_reference,
)

Order = Literal["neck_first", "openpose"]
ORDERS: tuple[Order, ...] = get_args(Order)

POINTS = layout.K + 1

MAX_FRAME_DIFFERENCE = 1
_MAX_SCORE = 1.5  # DWPose's confidences pass 1 by a little
_NECK_OFF = 0.1  # shoulder widths by which the neck may miss the shoulders' middle
_NECK_CLEAR = 3.0  # times as far it must be in the other order


@dataclass(frozen=True)
class Released:
    """Released poses in our layout.

    Attributes:
        keypoints: (P, F, 133, 2) float32 source pixels of the fetched video; NaN where missing.
        scores: (P, F, 133) float32 in 0..1; 0 where missing.
        space: in which the array was.
        order: of its points.
    """

    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    space: Space
    order: Order


def unpack(poses: Floats, picture: Picture, space: Space | None = None, order: Order | None = None) -> Released:
    """Released poses as keypoints in source pixels.

    Args:
        poses: (F, P, 134, 3) x, y, confidence.
        picture: what they were made from.
        space, order: where known; detected otherwise.

    Raises:
        UnfitPoses: the shape is wrong, no person is seen, or the form is ambiguous.
    """
    if poses.ndim != 4 or poses.shape[2:] != (POINTS, 3) or not poses.size:
        raise UnfitPoses(f"poses of shape {poses.shape}, not (frames, persons, {POINTS}, 3)")
    values = np.asarray(poses, np.float64).transpose(1, 0, 2, 3)  # (P, F, 134, 3)
    _check_scores(values[..., 2])
    order = order or detect_order(values)
    values = values[:, :, list(_INDICES[order])]
    points, scores = values[..., :2], values[..., 2]
    space = space or detect_space(points, scores, picture)
    check_space(points, scores, picture, space)
    missing = _missing(points, scores, space)
    mapped = to_source(np.where(missing[..., None], np.nan, points), picture, space)
    return Released(
        mapped.astype(np.float32), np.where(missing, 0, np.clip(scores, 0, 1)).astype(np.float32), space, order
    )


def _openpose_indices() -> list[int]:
    """Of each of our 133 keypoints, its place among DWPose's 134."""
    body = [layout.OPENPOSE_18.index(k) for k in range(17)]
    return body + [k + 1 for k in range(17, layout.K)]


_INDICES: dict[Order, Sequence[int]] = {"neck_first": range(1, POINTS), "openpose": _openpose_indices()}
_NECK: dict[Order, int] = {"neck_first": 0, "openpose": 1}


def neck_miss(values: Floats, order: Order) -> float:
    """How far the neck of this order lies from its shoulders' middle: the median, in shoulder widths; infinite if never seen.

    Args:
        values: (P, F, 134, 3).
    """
    indices = _INDICES[order]
    three = values[:, :, [_NECK[order], indices[layout.LEFT_SHOULDER], indices[layout.RIGHT_SHOULDER]]]
    three = three[sure(three[..., :2], three[..., 2], 1e-6).all(-1)][..., :2]  # (n, 3, 2)
    if not len(three):
        return math.inf
    width = np.linalg.norm(three[:, 1] - three[:, 2], axis=-1)
    miss = np.linalg.norm(three[:, 0] - three[:, 1:].mean(1), axis=-1)
    return float(np.median(miss / np.maximum(width, 1e-9)))


def detect_order(values: Floats) -> Order:
    """The order in which the neck is the mean of the shoulders; (P, F, 134, 3). Raises UnfitPoses when it is none or both."""
    misses = {order: neck_miss(values, order) for order in ORDERS}
    best = min(ORDERS, key=lambda order: misses[order])
    others = min(miss for order, miss in misses.items() if order != best)
    if misses[best] <= _NECK_OFF and others >= _NECK_CLEAR * max(misses[best], _NECK_OFF / 3):
        return best
    listed = ", ".join(f"{order} {miss:.2f}" for order, miss in misses.items())
    if math.isinf(misses[best]):
        raise UnfitPoses("no frame shows a neck and both shoulders: the order of the points cannot be told")
    raise UnfitPoses(f"the neck misses the shoulders' middle by (shoulder widths) {listed}: the order cannot be told")


def _check_scores(scores: Floats) -> None:
    known = scores[np.isfinite(scores)]
    if not known.size or not (known > 0).any():
        raise UnfitPoses("no point has a confidence above 0")
    top = float(np.percentile(known, 99))
    if top > _MAX_SCORE:
        raise UnfitPoses(f"confidences up to {top:.3g} are not in 0..1")


def _missing(points: Floats, scores: Floats, space: Space) -> NDArray[np.bool_]:
    left = (points == -1).all(-1)
    if space != "crop_signed":  # its origin is the middle of the crop
        left |= (points == 0).all(-1)
    return np.asarray(~np.isfinite(points).all(-1) | ~(scores > 0) | left, np.bool_)


def to_source(points: Floats, picture: Picture, space: Space) -> Floats:
    """Points (..., 2) of a space -> pixels of the fetched video."""
    scale = np.array([picture.width / WIDTH, picture.height / HEIGHT])
    return np.asarray((to_reference(points, picture, space) + 0.5) * scale - 0.5)


def frame_offset(poses: Floats, frames: int, first_frame: int, start_seconds: float) -> int:
    """The clip's frame that the poses' first one belongs to: -1, 0 or 1.

    As many poses as frames belong to them one by one. Of one more, the end at which nobody is seen is surplus; else, and of
    one less, the times tell: where the clip's grid starts after the given time, the release may have begun a frame earlier;
    where it starts before it, a frame later.

    Args:
        poses: (F, P, 134, 3).
        frames: of the clip, as its times give them.
        first_frame: of the clip, on the 25-fps grid.
        start_seconds: as the manifest gives it.

    Raises:
        UnfitPoses: the numbers differ by more than 1.
    """
    difference = len(poses) - frames
    if abs(difference) > MAX_FRAME_DIFFERENCE:
        raise UnfitPoses(f"poses of {len(poses)} frames for a clip of {frames}")
    place = round(25 * start_seconds, 6)
    if difference == 0:
        return 0
    if difference < 0:
        return 1 if math.ceil(place) > first_frame else 0
    empty_first, empty_last = (not _anybody(poses[end]) for end in (0, -1))
    if empty_first != empty_last:
        return -1 if empty_first else 0
    return -1 if math.floor(place) < first_frame else 0


def _anybody(frame: Floats) -> bool:
    return bool(sure(frame[..., :2].astype(np.float64), frame[..., 2], 1e-6).any())


def shifted(values: Floats, offset: int, frames: int, fill: float) -> Floats:
    """(P, F, ...) -> (P, frames, ...), frame i moved to i + offset; what lacks is filled, what is over goes."""
    out = np.full((len(values), frames, *values.shape[2:]), fill, values.dtype)
    first, last = max(0, offset), min(frames, values.shape[1] + offset)
    out[:, first:last] = values[:, first - offset : last - offset]
    return out


def boxes_of(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> NDArray[np.float32]:
    """(F, 4) x1, y1, x2, y2 around a person's points, NaN in frames without one; unsure ones count where there are no others.

    Args:
        keypoints: (F, 133, 2).
        scores: (F, 133).
    """
    seen = layout.seen(keypoints)
    sure = seen & (scores >= min_score)
    used = np.where(sure.any(1, keepdims=True), sure, seen)[..., None]
    low = np.where(used, keypoints, np.inf).min(1)
    high = np.where(used, keypoints, -np.inf).max(1)
    boxes = np.concatenate([low, high], 1)
    return np.where(np.isfinite(boxes), boxes, np.nan).astype(np.float32)
