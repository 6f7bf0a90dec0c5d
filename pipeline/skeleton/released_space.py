"""Detection of the coordinate space of released poses: the one that puts a speaker into the released crop.

All but the last two are those of the 512 px crop that belongs to the clip, letterboxed where its box is not square;
a pixel's centre has whole coordinates, as everywhere here.

    crop_signed     -1..1, x / 256 - 1
    crop_unit        0..1, x / 512
    crop_pixels      0..512
    source_unit      0..1 of the picture of 1280x720
    source_pixels    pixels of that picture

A space fits if a speaker's head, shoulders and arms, mapped by it, lie in the crop, fill a good part of it, lie about its middle
and begin in its upper half. Where several fit, faces tell whether the picture was stretched: its 0..1 are 1280 across and 720 down.
Spaces that still fit and disagree are ambiguous. Without a crop box nothing but source pixels beyond the
crop's 512 can be told.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats
from pipeline.base.units import CLIP_SIDE_PX
from pipeline.skeleton import layout

Space = Literal["crop_signed", "crop_unit", "crop_pixels", "source_unit", "source_pixels"]
SPACES: tuple[Space, ...] = get_args(Space)

WIDTH, HEIGHT = 1280, 720  # of the picture from which the poses and the boxes were made

_CORE = slice(layout.NOSE, layout.RIGHT_WRIST + 1)
_SURE = 0.5  # confidence of points by which a space is judged
_INSIDE, _SLACK = 0.9, 0.05  # share of the core points in the crop, and how far outside counts as in, of its side
_INSIDE_TOLD = 0.5  # likewise where the space was told, not detected
_FILL = 0.4  # of the crop's side that a speaker covers at least
_OUTLINE = slice(layout.JAW.start, layout.LEFT_BROW.stop)
_FACE_SHAPE = 0.97  # medians on seven real speakers: 0.94 to 1.01
_FACE_RIGHT, _FACE_WRONG = 1.3, 1.45  # times as wide or as narrow: still a face, no face any more
_SAME_PX = 2.0  # spaces that agree this well are one


class UnfitPoses(ValueError):
    """Raised for poses that do not fit their clip, or fit it in no unique way; the message says why, with figures."""


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
    good = _with_right_faces(points, scores, picture, good)
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
        core = person[sure(person, confidence, _SURE)]
        if not len(core):
            continue
        core = (to_reference(core, picture, space) + 0.5 - [x1, y1]) / (x2 - x1)
        inside = float(((core >= -_SLACK) & (core <= 1 + _SLACK)).all(-1).mean())
        low, high = np.percentile(core, [1, 99], axis=0)
        fit = _Fit(inside, (float(low[0]), float(low[1])), (float(high[0]), float(high[1])))
        best = max(best, fit, key=lambda one: (one.good, one.inside, one.fill))
    return best


def _with_right_faces(points: Floats, scores: Floats, picture: Picture, spaces: list[Space]) -> list[Space]:
    """The one space in which faces have a plausible shape, when they clearly have not in all others; else all of them."""
    off = {space: abs(math.log(face_shape(points, scores, picture, space) / _FACE_SHAPE)) for space in spaces}
    right = [space for space in spaces if off[space] <= math.log(_FACE_RIGHT)]
    wrong = [space for space in spaces if off[space] >= math.log(_FACE_WRONG)]
    return right if len(right) == 1 and len(wrong) == len(spaces) - 1 else spaces


def face_shape(points: Floats, scores: Floats, picture: Picture, space: Space) -> float:
    """Median width over height of the outline from brows to chin; NaN where no face is seen whole."""
    outline = points[:, :, _OUTLINE], scores[:, :, _OUTLINE]
    whole = to_reference(outline[0][sure(*outline, _SURE).all(-1)], picture, space)  # (n, 27, 2)
    if not len(whole):
        return math.nan
    width, height = np.ptp(whole, axis=1).T
    return float(np.median(width / np.maximum(height, 1e-9))) or math.nan


def _told(fits: dict[Space, _Fit]) -> str:
    return "; ".join(
        f"{space} {fit.inside:.0%} inside, x {fit.low[0]:.2f} to {fit.high[0]:.2f}, y {fit.low[1]:.2f} to {fit.high[1]:.2f}"
        if max(map(abs, (*fit.low, *fit.high))) < 100
        else f"{space} far outside"
        for space, fit in fits.items()
    )


def _apart(points: Floats, scores: Floats, picture: Picture, one: Space, other: Space) -> float:
    """Median distance of two spaces' readings, pixels of 1280x720."""
    known = points[sure(points, scores, _SURE)]
    return float(
        np.median(np.linalg.norm(to_reference(known, picture, one) - to_reference(known, picture, other), axis=-1))
    )


def _without_box(points: Floats, scores: Floats) -> Space:
    core = points[:, :, _CORE][sure(points[:, :, _CORE], scores[:, :, _CORE], _SURE)]
    if not len(core):
        raise UnfitPoses("no point is sure, and there is no crop box: the space cannot be told")
    low, high = np.percentile(core, [1, 99], axis=0)
    extent = f"x {low[0]:.4g} to {high[0]:.4g}, y {low[1]:.4g} to {high[1]:.4g}"
    in_picture = (low >= -_SLACK * WIDTH).all() and high[0] <= WIDTH * (1 + _SLACK) and high[1] <= HEIGHT * (1 + _SLACK)
    if in_picture and high.max() > CLIP_SIDE_PX * (1 + _SLACK):
        return "source_pixels"
    if high.max() > 2 * WIDTH or (high.max() > 2 and not in_picture):
        raise UnfitPoses(f"no known space holds {extent}")
    raise UnfitPoses(f"the manifest has no crop box, and without it the space of {extent} cannot be told or mapped")


def check_space(points: Floats, scores: Floats, picture: Picture, space: Space) -> None:
    """Raise UnfitPoses when a space cannot be mapped, or puts most of everybody outside the crop."""
    if picture.box is None:
        if space.startswith("crop"):
            raise UnfitPoses(f"the manifest has no crop box to map {space} by")
        return
    fit = _fit(points, scores, picture, space)
    if fit.inside < _INSIDE_TOLD:
        raise UnfitPoses(f"{space} puts nobody into the crop: {_told({space: fit})}")


def sure(points: Floats, scores: Floats, least: float) -> NDArray[np.bool_]:
    """Points that are there in every space; for detection alone, so that the middle of a signed crop may be lost."""
    left = (points == 0).all(-1) | (points == -1).all(-1)
    return np.asarray(np.isfinite(points).all(-1) & (scores >= least) & ~left, np.bool_)


def to_reference(points: Floats, picture: Picture, space: Space) -> Floats:
    """Points (..., 2) of a space -> pixels of the picture of 1280x720."""
    if space == "source_pixels":
        return points
    if space == "source_unit":
        return points * [WIDTH, HEIGHT]
    crop = {
        "crop_signed": lambda p: (p + 1) * (CLIP_SIDE_PX / 2),
        "crop_unit": lambda p: p * CLIP_SIDE_PX,
        "crop_pixels": lambda p: p,
    }
    x1, y1, x2, _ = square(_reference_box(picture))
    return np.asarray((crop[space](points) + 0.5) * ((x2 - x1) / CLIP_SIDE_PX) + [x1 - 0.5, y1 - 0.5])


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
