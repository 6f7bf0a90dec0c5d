"""The square crop around a speaker: its box, the mapping of points into it, and the cutting of its pixels.

A box is (x1, y1, x2, y2), integers, half open, in source pixels; it may leave the picture, whose outside is black.
Pixel x covers [x, x + 1) with its centre at x + 0.5, so x' = (x + 0.5 - x1) s - 0.5 with s = side / box side. A box
that is not square (from a released manifest) is letterboxed: black is added on both sides of its shorter dimension.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from pipeline.base.arrays import Floats
from pipeline.base.units import Box
from pipeline.skeleton import layout

Planes420 = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(frozen=True)
class Framing:
    """How a co-speech crop is framed; lengths in head-to-hip or box units, so that they hold at any picture size.

    Attributes:
        margin: empty border on each side, as a share of the framed extent; given up first when the picture has no room.
        min_score: points below it are not looked at.
        min_seen: share of the seen frames in which a point must be seen to count.
        spike_frames: excursions of up to half as many frames are ignored.
        percentile: share of frames, in percent, ignored at either end of a point's range.
        head_above_brow: height of the head above the brows, as a multiple of brows to chin.
    """

    margin: float = 0.08
    min_score: float = 0.3
    min_seen: float = 0.05
    spike_frames: int = 5
    percentile: float = 0.5
    head_above_brow: float = 0.75


def crop_box(keypoints: Floats, scores: Floats, width: int, height: int, framing: Framing | None = None) -> Box:
    """One static square box for a clip: from above the head to the hips or the lowest hand, centred on the speaker.

    The union over the clip is robust: low-score points and lone spikes do not widen it. Where the box would leave the
    picture it is first moved, then loses its margin; it leaves the picture only if what is framed does not fit in. Its side
    is even, but where it is an odd side of the picture.

    Args:
        keypoints: (F, 133, 2) source pixels, NaN where not seen.
        scores: (F, 133).
        width, height: of the source picture, in pixels.
        framing: margins and robustness.

    Returns:
        x1, y1, x2, y2.

    Raises:
        ValueError: no point of the upper body is seen.
    """
    framing = framing or Framing()
    points = np.where((scores >= framing.min_score)[..., None], keypoints, np.nan).astype(np.float64)
    low, high = _ranges(points, framing)
    low[_LEGS], high[_LEGS] = np.nan, np.nan
    if np.isnan(low).all():
        raise ValueError("no point of the upper body is seen: there is nothing to crop")
    x1, y1 = np.nanmin(low, 0)
    x2, y2 = np.nanmax(high, 0)
    y1 = min(y1, _head_top(points, framing, y1))
    (x1, x2), (y1, y2) = _inside(x1, x2, width), _inside(y1, y2, height)
    bare = max(x2 - x1, y2 - y1)
    side = max(bare, min(round(bare * (1 + 2 * framing.margin)), width, height))
    if side not in (width, height):
        side += side % 2  # so that the crop can stay in the planes of a 4:2:0 file
    necks = points[:, [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER], 0].mean(-1)
    middle = np.nanmedian(necks) if np.isfinite(necks).any() else (x1 + x2) / 2
    left = _place(middle, x1, x2, side, width)
    top = _place((y1 + y2) / 2, y1, y2, side, height)
    return left, top, left + side, top + side


def crop_box_within(inner: Box, keypoints: Floats, scores: Floats, framing: Framing | None = None) -> Box | None:
    """`crop_box` as if a part of the picture were all of it: moved and without margin rather than across its border.

    Args:
        inner: that part, source pixels; what lies outside of it is none of the speaker.
        keypoints: (F, 133, 2) source pixels, NaN where not seen.
        scores: (F, 133).
        framing: margins and robustness.

    Returns:
        x1, y1, x2, y2 in source pixels; None where the speaker does not fit in.

    Raises:
        ValueError: no point of the upper body is seen.
    """
    left, top, right, bottom = inner
    width, height = right - left, bottom - top
    box = crop_box(np.asarray(keypoints) - np.array([left, top]), scores, width, height, framing)
    if box[0] < 0 or box[1] < 0 or box[2] > width or box[3] > height:
        return None
    return box[0] + left, box[1] + top, box[2] + left, box[3] + top


_LEGS = np.r_[layout.LEFT_KNEE : layout.RIGHT_ANKLE + 1, layout.FEET]


def _ranges(points: Floats, framing: Framing) -> tuple[Floats, Floats]:
    """Robust lowest and highest x, y of each point over the clip: (133, 2) each, NaN for points that hardly appear."""
    low = np.full((layout.K, 2), np.nan)
    high = low.copy()
    seen = layout.seen(points)
    least = max(1.0, framing.min_seen * seen.any(1).sum())
    for k in np.flatnonzero(seen.sum(0) >= least):
        path = _without_spikes(points[seen[:, k], k], framing)
        low[k], high[k] = np.percentile(path, [framing.percentile, 100 - framing.percentile], axis=0)
    return low, high


def _without_spikes(path: Floats, framing: Framing) -> Floats:
    """A temporal median over (F, 2) or (F,)."""
    window = (min(framing.spike_frames, len(path)), *(1 for _ in path.shape[1:]))
    return np.asarray(median_filter(path, size=window, mode="nearest"))


def _head_top(points: Floats, framing: Framing, otherwise: float) -> float:
    """Estimated y of the top of the head: no keypoint lies there. A low percentile over the clip."""
    brows = points[:, layout.RIGHT_BROW.start : layout.LEFT_BROW.stop, 1].mean(1)
    tops = brows - framing.head_above_brow * np.abs(points[:, layout.CHIN, 1] - brows)
    if not np.isfinite(tops).any():  # no face: a head is about 0.9 shoulder widths above the nose's height
        shoulders = points[:, layout.LEFT_SHOULDER] - points[:, layout.RIGHT_SHOULDER]
        tops = points[:, layout.NOSE, 1] - 0.6 * np.hypot(shoulders[:, 0], shoulders[:, 1])
    tops = tops[np.isfinite(tops)]
    return float(np.percentile(_without_spikes(tops, framing), 2)) if tops.size else otherwise


def _inside(low: float, high: float, size: int) -> tuple[int, int]:
    """The half-open span of pixels that holds low..high; what lies outside the picture cannot be framed."""
    return int(np.clip(np.floor(low), 0, size - 1)), int(np.clip(np.ceil(high) + 1, 1, size))


def _place(middle: float, low: int, high: int, side: int, size: int) -> int:
    """First pixel of a span of `side`: as near to centred on `middle` as covering [low, high) and the picture allow."""
    start = int(np.clip(round(middle - side / 2), high - side, low))
    return int(np.clip(start, min(0, size - side), max(0, size - side)))


def square(box: Box) -> Box:
    """The smallest square around a box, in whole pixels; itself when it is square already.

    Raises:
        ValueError: the box is empty or has not four numbers.
    """
    if len(box) != 4:
        raise ValueError(f"a box has four numbers, not {len(box)}: {box}")
    x1, y1, x2, y2 = (int(v) for v in box)
    if x2 <= x1 or y2 <= y1:
        raise ValueError(f"the box is empty: {box}")
    side = max(x2 - x1, y2 - y1)
    left, top = x1 - (side - (x2 - x1)) // 2, y1 - (side - (y2 - y1)) // 2
    return left, top, left + side, top + side


def map_points(points: Floats, box: Box, side: int = 512) -> Floats:
    """Points (..., 2) in source pixels -> pixels of the crop of `side` x `side`; same floating type."""
    x1, y1, x2, _ = square(box)
    scale = side / (x2 - x1)
    return (np.asarray(points) + np.array([0.5 - x1, 0.5 - y1], points.dtype)) * points.dtype.type(
        scale
    ) - points.dtype.type(0.5)


def unmap_points(points: Floats, box: Box, side: int = 512) -> Floats:
    """The inverse of `map_points`."""
    x1, y1, x2, _ = square(box)
    scale = (x2 - x1) / side
    return (np.asarray(points) + points.dtype.type(0.5)) * points.dtype.type(scale) + np.array(
        [x1 - 0.5, y1 - 0.5], points.dtype
    )


def cut(picture: NDArray[np.uint8], box: Box, side: int = 512) -> NDArray[np.uint8]:
    """The crop of a picture, (H, W, 3) RGB -> (side, side, 3) RGB, mapped exactly as by `map_points`; black outside.

    Shrinks by area, enlarges by cubic interpolation.
    """
    x1, y1, x2, y2 = square(box)
    source = x2 - x1
    height, width = picture.shape[:2]
    left, top = max(x1, box[0], 0), max(y1, box[1], 0)
    right, bottom = min(x2, box[2], width), min(y2, box[3], height)
    if (left, top, right, bottom) == (x1, y1, x2, y2):
        region = picture[y1:y2, x1:x2]
    else:
        region = np.zeros((source, source, 3), np.uint8)
        if left < right and top < bottom:
            region[top - y1 : bottom - y1, left - x1 : right - x1] = picture[top:bottom, left:right]
    if source == side:
        return np.ascontiguousarray(region)
    if side < source < 2 * side:
        # To twice the side, then means of 2 x 2: within a grey level of scaling by area, in half the time.
        region = np.asarray(cv2.resize(region, (2 * side, 2 * side), interpolation=cv2.INTER_LINEAR), np.uint8)
    how = cv2.INTER_AREA if source > side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(region, (side, side), interpolation=how), np.uint8)


def cut_planes(picture: Planes420, box: Box, target: Planes420) -> None:
    """Copy the square of a box out of a picture in planes, 4:2:0 in limited range, at its own size; black outside.

    Args:
        picture: luma (H, W), and twice chroma (H / 2, W / 2).
        box: integers, source pixels.
        target: filled; luma (side, side) of the square, and twice chroma of half of it, rounded up. `first_chroma` says where its
            first sample of chroma lies.
    """
    x1, y1, x2, y2 = square(box)
    height, width = picture[0].shape
    inside = max(x1, box[0], 0), max(y1, box[1], 0), min(x2, box[2], width), min(y2, box[3], height)
    half_inside = -(-inside[0] // 2), -(-inside[1] // 2), -(-inside[2] // 2), -(-inside[3] // 2)
    _fill(target[0], picture[0], (x1, y1), inside, _BLACK_LUMA)
    for into, plane in zip(target[1:], picture[1:], strict=True):
        _fill(into, plane, (x1 // 2, y1 // 2), half_inside, _NO_CHROMA)


_BLACK_LUMA, _NO_CHROMA = 16, 128


def _fill(
    target: NDArray[np.uint8], plane: NDArray[np.uint8], corner: tuple[int, int], inside: Box, outside: int
) -> None:
    """Fill a square with samples of a plane from a corner on; with `outside` where they are not in the box `inside`."""
    x, y = corner
    left, top = max(x, inside[0]), max(y, inside[1])
    right, bottom = min(x + len(target), inside[2]), min(y + len(target), inside[3])
    if (left, top, right, bottom) != (x, y, x + len(target), y + len(target)):
        target.fill(outside)
    if left < right and top < bottom:
        target[top - y : bottom - y, left - x : right - x] = plane[top:bottom, left:right]


LEFT_CHROMA = (0, 128)
"""Where the first sample of chroma lies in H.264 and its like, as `first_chroma` counts: on the left column, between two rows."""


def first_chroma(box: Box) -> tuple[int, int]:
    """Where the first sample of chroma that `cut_planes` gives lies, (x, y) in 1/256 pixel from the first pixel's middle.

    In the picture it lies on the left column of its four pixels, between both rows; a box at odd pixels cuts beside it.
    """
    x1, y1, _, _ = square(box)
    return -256 * (x1 % 2), 128 - 256 * (y1 % 2)


def outside_share(box: Box, width: int, height: int) -> float:
    """Share of a crop's square, 0..1, that lies outside the picture and is padded black."""
    x1, y1, x2, y2 = square(box)
    inside = max(0, min(x2, width) - max(x1, 0)) * max(0, min(y2, height) - max(y1, 0))
    return 1 - inside / ((x2 - x1) * (y2 - y1))
