"""Which part of a picture a film shows, the same cut of picture and skeleton, and a motion at another rate."""

import re
from fractions import Fraction
from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.backends.errors import BackendError, Trouble
from pipeline.backends.job import Job, View
from pipeline.base.arrays import Floats, Picture
from pipeline.base.units import FPS, Box
from pipeline.skeleton import layout
from pipeline.skeleton.layout import visible

MIN_SCORE = 0.3
_HAIR = 0.75  # above the brows, as a share of brows to chin
_MAX_SIDE_PX = 2048
_MAX_FPS = 60
_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")


def size_of(text: str, step: int) -> tuple[int, int]:
    """(width, height) of "512x512"; both must be multiples of `step`, which the nets' strides ask for.

    Raises:
        BackendError: BAD_JOB.
    """
    match = _SIZE.fullmatch(text)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(0 < side <= _MAX_SIDE_PX and side % step == 0 for side in size):
        raise BackendError(
            Trouble.BAD_JOB,
            f"size {text!r}: wanted width x height, such as 512x512, multiples of {step} up to {_MAX_SIDE_PX} px",
        )
    return size


def rate_of(fps: int, default: int) -> Fraction:
    """Pictures a second; BackendError (BAD_JOB) beyond 1 to 60."""
    if not 0 <= fps <= _MAX_FPS:
        raise BackendError(Trouble.BAD_JOB, f"fps {fps}: wanted 1 to {_MAX_FPS}, or 0 for the back-end's own {default}")
    return Fraction(fps or default)


def frames_at(frames: int, fps: Fraction) -> int:
    """How many pictures show a motion of `frames` at 25 a second from its start to its end."""
    return ceil(frames * fps / FPS)


def shown(job: Job) -> NDArray[np.floating]:
    """The motion's keypoints (F, 133, 2), NaN where the score is too low to say where a point is."""
    return visible(job.keypoints, job.scores, MIN_SCORE)


def cover_box(job: Job, size: tuple[int, int]) -> Box:
    """The largest part of the picture with the film's proportions, as near to centred on the person as the picture allows.

    Where a person does not fit, the head stays and the lower body is cut.
    """
    height, width = job.picture.shape[:2]
    scale = min(width / size[0], height / size[1])
    across, down = (min(round(side * scale), whole) for side, whole in zip(size, (width, height), strict=True))
    points = np.concatenate([shown(job), np.where(_sure(job)[:, None], job.reference, np.nan)[None]])
    necks = points[:, [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER], 0].mean(1)
    neck = _or(width / 2, necks, 50)
    # A lone frame must not move the view of all others.
    top = min(_or(height / 2, _lowest(points[..., 1]), 1), _or(height / 2, _head_tops(points), 1))
    bottom = _or(height / 2, -_lowest(-points[..., 1]), 99)
    middle = np.clip((top + bottom) / 2, None, top + down / 2)
    left = int(np.clip(round(neck - across / 2), 0, width - across))
    upper = int(np.clip(round(float(middle) - down / 2), 0, height - down))
    return left, upper, left + across, upper + down


def _sure(job: Job) -> NDArray[np.bool_]:
    return np.asarray(np.nan_to_num(job.reference_scores) >= MIN_SCORE)


def _lowest(values: Floats) -> NDArray[np.float64]:
    """(F,) least of (F, n) that is known, NaN where nothing is."""
    least = np.where(np.isfinite(values), values, np.inf).min(1)
    return np.where(np.isfinite(least), least, np.nan)


def _head_tops(points: Floats) -> NDArray[np.float64]:
    """(F,) y of the top of the head, NaN without a face: no keypoint lies there."""
    face = points[:, layout.FACE, 1]
    brow, chin = _lowest(face), -_lowest(-face)
    return np.asarray(brow - _HAIR * (chin - brow))


def _or(otherwise: float, values: Floats, percentile: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.percentile(known, percentile)) if known.size else otherwise


def hands_outside(job: Job, view: View) -> float:
    """The share of the motion's frames, 0..1, in which a hand that is seen lies outside of the film, in part or whole."""
    hands = into_view(shown(job)[:, layout.LEFT_HAND.start :], view)
    with np.errstate(invalid="ignore"):
        out = ((hands < 0) | (hands > np.array(view.size) - 1)).any((1, 2))  # NaN is neither
    return float(out.mean())


def into_view(points: Floats, view: View) -> NDArray[np.float64]:
    """Points (..., 2) px of the picture -> px of the film; pixel centres at whole numbers in both."""
    x1, y1, x2, y2 = view.box
    scale = np.array(view.size) / (x2 - x1, y2 - y1)
    return (np.asarray(points, np.float64) + 0.5 - (x1, y1)) * scale - 0.5


def cut_view(picture: Picture, view: View) -> Picture:
    """The film's part of a picture, (H, W, 3) -> (h, w, 3), placed exactly as by `into_view`; black outside of the picture."""
    x1, y1, x2, y2 = view.box
    height, width = picture.shape[:2]
    left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    region = np.zeros((y2 - y1, x2 - x1, 3), np.uint8)
    if left < right and top < bottom:
        region[top - y1 : bottom - y1, left - x1 : right - x1] = picture[top:bottom, left:right]
    how = cv2.INTER_AREA if view.size[0] < x2 - x1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(region, view.size, interpolation=how), np.uint8)


def at_rate(keypoints: Floats, scores: Floats, view: View) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A motion at 25 a second -> at the film's rate, as many pictures as the back-end is asked for.

    Picture n is the motion at n/fps s, between frames on the straight line; where only one of the two neighbours is seen the
    nearer one counts. Past the motion's end its last frame is repeated.

    Args:
        keypoints: (F, 133, 2), NaN where unseen.
        scores: (F, 133).
        view: its fps, and how many pictures are to be made.

    Returns:
        (made, 133, 2) and (made, 133).
    """
    values = np.concatenate([keypoints, np.asarray(scores)[..., None]], -1).astype(np.float64)
    at = np.minimum([float(n * FPS / view.fps) for n in range(view.made)], len(values) - 1)
    before = np.floor(at).astype(int)
    after = np.minimum(before + 1, len(values) - 1)
    weight = (at - before)[:, None, None]
    between = values[before] * (1 - weight) + values[after] * weight
    nearest = values[np.where(at - before < 0.5, before, after)]
    seen = np.isfinite(between).all(-1, keepdims=True)
    resampled = np.where(seen, between, nearest)
    return resampled[..., :2], np.nan_to_num(resampled[..., 2])
