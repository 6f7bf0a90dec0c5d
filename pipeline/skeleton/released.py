"""The poses that came with CSG-405: arrays (frames, persons, 134, 3), turned into our 133 keypoints in source pixels.

Little is published about these arrays, so what they hold is detected, and what cannot be told is refused with figures. This
could not be checked against the real archive: it rests on the data set's paper, its scripts and planted arrays.

**Order of the 134 points.** Either the neck and then COCO-WholeBody's 133 (`neck_first`, as the released scripts index them),
or DWPose's drawing order: OpenPose's 18 joints with the neck second, then feet, face and hands (`openpose`). The neck is the mean
of both shoulders in one of them only.

**Space.** All but the last two are those of the 512 px crop that belongs to the clip, letterboxed where its box is not square;
a pixel's centre has whole coordinates, as everywhere here.

    crop_signed     -1..1, x / 256 - 1
    crop_unit        0..1, x / 512
    crop_pixels      0..512
    source_unit      0..1 of the picture of 1280x720
    source_pixels    pixels of that picture

A space fits if a speaker's head, shoulders and arms, mapped by it, lie in the crop, fill a good part of it, lie about its middle
and begin in its upper half. Two spaces that fit and disagree are ambiguous. Without a crop box nothing but source pixels beyond the
crop's 512 can be told.

**Missing points** have confidence 0, a coordinate that is no number, or lie where a missing point is left: at -1, -1, or at 0, 0
of a space whose corner that is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.skeleton import layout

Floats = NDArray[np.floating]
Space = Literal["crop_signed", "crop_unit", "crop_pixels", "source_unit", "source_pixels"]
Order = Literal["neck_first", "openpose"]
SPACES: tuple[Space, ...] = get_args(Space)
ORDERS: tuple[Order, ...] = get_args(Order)

POINTS = layout.K + 1
SIDE = 512
WIDTH, HEIGHT = 1280, 720  # of the picture from which the poses and the boxes were made

MAX_FRAME_DIFFERENCE = 1
_CORE = slice(layout.NOSE, layout.RIGHT_WRIST + 1)
_SURE = 0.5  # confidence of points by which a space is judged
_MAX_SCORE = 1.5  # DWPose's confidences pass 1 by a little
_NECK_OFF = 0.1  # shoulder widths by which the neck may miss the shoulders' middle
_NECK_CLEAR = 3.0  # times as far it must be in the other order
_INSIDE, _SLACK = 0.9, 0.05  # share of the core points in the crop, and how far outside counts as in, of its side
_INSIDE_TOLD = 0.5  # likewise where the space was told, not detected
_FILL = 0.35  # of the crop's side that a speaker covers at least
_SAME_PX = 2.0  # spaces that agree this well are one


class UnfitPoses(ValueError):
    """Poses that do not fit their clip, or of which it cannot be told how; the message says why, with figures."""


@dataclass(frozen=True)
class Picture:
    """The source picture, and the crop that the release made of it.

    Attributes:
        width, height: of the video that was fetched, pixels.
        box: x1, y1, x2, y2 in its pixels; None where the manifest has none.
    """

    width: int
    height: int
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Released:
    """Released poses in our form.

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
        UnfitPoses: they are of another shape, show nobody, or what they hold cannot be told.
    """
    if poses.ndim != 4 or poses.shape[2:] != (POINTS, 3) or not poses.size:
        raise UnfitPoses(f"poses of shape {poses.shape}, not (frames, persons, {POINTS}, 3)")
    values = np.asarray(poses, np.float64).transpose(1, 0, 2, 3)  # (P, F, 134, 3)
    _check_scores(values[..., 2])
    order = order or detect_order(values)
    values = values[:, :, list(_INDICES[order])]
    points, scores = values[..., :2], values[..., 2]
    space = space or detect_space(points, scores, picture)
    _check_told(points, scores, picture, space)
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
    three = three[_sure(three[..., :2], three[..., 2], 1e-6).all(-1)][..., :2]  # (n, 3, 2)
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
    found = ", ".join(f"{order} {miss:.2f}" for order, miss in misses.items())
    if math.isinf(misses[best]):
        raise UnfitPoses("no frame shows a neck and both shoulders: the order of the points cannot be told")
    raise UnfitPoses(f"the neck misses the shoulders' middle by (shoulder widths) {found}: the order cannot be told")


def detect_space(points: Floats, scores: Floats, picture: Picture) -> Space:
    """The space that puts a speaker into the crop; UnfitPoses when none or several do.

    Args:
        points: (P, F, 133, 2).
        scores: (P, F, 133).
    """
    if picture.box is None:
        return _without_box(points, scores)
    fits = {space: _fit(points, scores, picture, space) for space in SPACES}
    good = [space for space, fit in fits.items() if fit.good]
    if not good:
        raise UnfitPoses(f"no known space puts a speaker into the crop: {_told(fits)}")
    if any(_apart(points, scores, picture, good[0], other) > _SAME_PX for other in good[1:]):
        told = _told({space: fits[space] for space in good})
        raise UnfitPoses(f"ambiguous: several spaces put a speaker into the crop: {told}; set `space`")
    return good[0]


@dataclass(frozen=True)
class _Fit:
    """How one person lies in the crop: the share of core points inside, and their robust extent in crop sides from its corner."""

    inside: float = 0.0
    low: tuple[float, float] = (0.0, 0.0)
    high: tuple[float, float] = (0.0, 0.0)

    @property
    def fill(self) -> float:
        return max(self.high[0] - self.low[0], self.high[1] - self.low[1])

    @property
    def good(self) -> bool:
        about_the_middle = self.low[0] < 0.5 < self.high[0] and self.low[1] < 0.5
        return self.inside >= _INSIDE and self.fill >= _FILL and about_the_middle


def _fit(points: Floats, scores: Floats, picture: Picture, space: Space) -> _Fit:
    """The fit of the person who fits best."""
    assert picture.box is not None
    x1, y1, x2, _ = square(_reference_box(picture))
    best = _Fit()
    for person, confidence in zip(points[:, :, _CORE], scores[:, :, _CORE], strict=True):
        core = person[_sure(person, confidence, _SURE)]
        if not len(core):
            continue
        core = (_to_reference(core, picture, space) + 0.5 - [x1, y1]) / (x2 - x1)
        inside = float(((core >= -_SLACK) & (core <= 1 + _SLACK)).all(-1).mean())
        low, high = np.percentile(core, [1, 99], axis=0)
        fit = _Fit(inside, (float(low[0]), float(low[1])), (float(high[0]), float(high[1])))
        best = max(best, fit, key=lambda one: (one.good, one.inside, one.fill))
    return best


def _told(fits: dict[Space, _Fit]) -> str:
    return "; ".join(
        f"{space} {fit.inside:.0%} inside, x {fit.low[0]:.2f} to {fit.high[0]:.2f}, y {fit.low[1]:.2f} to {fit.high[1]:.2f}"
        if max(map(abs, (*fit.low, *fit.high))) < 100
        else f"{space} far outside"
        for space, fit in fits.items()
    )


def _apart(points: Floats, scores: Floats, picture: Picture, one: Space, other: Space) -> float:
    """Median distance of two spaces' readings, pixels of 1280x720."""
    sure = points[_sure(points, scores, _SURE)]
    return float(
        np.median(np.linalg.norm(_to_reference(sure, picture, one) - _to_reference(sure, picture, other), axis=-1))
    )


def _without_box(points: Floats, scores: Floats) -> Space:
    core = points[:, :, _CORE][_sure(points[:, :, _CORE], scores[:, :, _CORE], _SURE)]
    if not len(core):
        raise UnfitPoses("no point is sure, and there is no crop box: the space cannot be told")
    low, high = np.percentile(core, [1, 99], axis=0)
    found = f"x {low[0]:.4g} to {high[0]:.4g}, y {low[1]:.4g} to {high[1]:.4g}"
    in_picture = (low >= -_SLACK * WIDTH).all() and high[0] <= WIDTH * (1 + _SLACK) and high[1] <= HEIGHT * (1 + _SLACK)
    if in_picture and high.max() > SIDE * (1 + _SLACK):
        return "source_pixels"
    if high.max() > 2 * WIDTH or (high.max() > 2 and not in_picture):
        raise UnfitPoses(f"no known space holds {found}")
    raise UnfitPoses(f"the manifest has no crop box, and without it the space of {found} cannot be told or mapped")


def _check_told(points: Floats, scores: Floats, picture: Picture, space: Space) -> None:
    """Raise UnfitPoses when a space cannot be mapped, or puts most of everybody outside the crop."""
    if picture.box is None:
        if space.startswith("crop"):
            raise UnfitPoses(f"the manifest has no crop box to map {space} by")
        return
    fit = _fit(points, scores, picture, space)
    if fit.inside < _INSIDE_TOLD:
        raise UnfitPoses(f"{space} puts nobody into the crop: {_told({space: fit})}")


def _check_scores(scores: Floats) -> None:
    known = scores[np.isfinite(scores)]
    if not known.size or not (known > 0).any():
        raise UnfitPoses("no point has a confidence above 0")
    top = float(np.percentile(known, 99))
    if top > _MAX_SCORE:
        raise UnfitPoses(f"confidences up to {top:.3g} are not in 0..1")


def _sure(points: Floats, scores: Floats, least: float) -> NDArray[np.bool_]:
    """Points that are there in every space; for detection alone, so that the middle of a signed crop may be lost."""
    left = (points == 0).all(-1) | (points == -1).all(-1)
    return np.asarray(np.isfinite(points).all(-1) & (scores >= least) & ~left, np.bool_)


def _missing(points: Floats, scores: Floats, space: Space) -> NDArray[np.bool_]:
    left = (points == -1).all(-1)
    if space != "crop_signed":  # whose 0, 0 is the middle of the crop
        left |= (points == 0).all(-1)
    return np.asarray(~np.isfinite(points).all(-1) | ~(scores > 0) | left, np.bool_)


def to_source(points: Floats, picture: Picture, space: Space) -> Floats:
    """Points (..., 2) of a space -> pixels of the fetched video."""
    scale = np.array([picture.width / WIDTH, picture.height / HEIGHT])
    return (_to_reference(points, picture, space) + 0.5) * scale - 0.5


def _to_reference(points: Floats, picture: Picture, space: Space) -> Floats:
    """Points (..., 2) of a space -> pixels of the picture of 1280x720."""
    if space == "source_pixels":
        return points
    if space == "source_unit":
        return points * [WIDTH, HEIGHT]
    crop = {"crop_signed": lambda p: (p + 1) * (SIDE / 2), "crop_unit": lambda p: p * SIDE, "crop_pixels": lambda p: p}
    x1, y1, x2, _ = square(_reference_box(picture))
    return (crop[space](points) + 0.5) * ((x2 - x1) / SIDE) + [x1 - 0.5, y1 - 0.5]


def _reference_box(picture: Picture) -> tuple[float, float, float, float]:
    """The released box, in pixels of 1280x720; scaling left no more than rounding errors on whole numbers."""
    assert picture.box is not None
    scale = np.array([picture.width / WIDTH, picture.height / HEIGHT] * 2)
    box = np.asarray(picture.box, np.float64) / scale
    whole = np.round(box)
    x1, y1, x2, y2 = (float(v) for v in np.where(np.abs(box - whole) < 0.01, whole, box))
    if not (x2 > x1 and y2 > y1):
        raise UnfitPoses(f"the crop box is empty: {[round(v, 2) for v in (x1, y1, x2, y2)]}")
    return x1, y1, x2, y2


def square(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """The letterbox of `pipeline.skeleton.crop.square`, for boxes that need not be whole numbers."""
    x1, y1, x2, y2 = box
    side = max(x2 - x1, y2 - y1)
    left, top = x1 - math.floor((side - (x2 - x1)) / 2), y1 - math.floor((side - (y2 - y1)) / 2)
    return left, top, left + side, top + side


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
    return bool(_sure(frame[..., :2].astype(np.float64), frame[..., 2], 1e-6).any())


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
