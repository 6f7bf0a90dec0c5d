"""Face crops as SyncNet was trained on, cut by the 133 keypoints instead of a second face detector.

SyncNet's own pipeline takes S3FD's boxes, smooths their half side and middle with a median over 13 frames, and cuts a square that
reaches 1.4 half sides to the left and right, 1 up and 1.8 down, so that the mouth comes to lie in its middle.

S3FD learned the boxes of WIDER FACE, which hold a face from the middle of the forehead to the chin; the 68 points end at the brows.
So the box is theirs, with its top moved up by 0.34 of their height: measured with YuNet, which learned the same boxes, on eleven
real films, where the medians by film were 0.29 to 0.40, and other sides mostly within 0.05 of the points' extent (0.095 once).
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from pipeline.base.arrays import Floats64, Picture
from pipeline.base.units import Box
from pipeline.skeleton import layout
from pipeline.skeleton.readable import MIN_PX, MIN_SCORE, MIN_SHARE

SIDE = 224  # px
SCALE = 0.40  # of a half side, added around the box
SMOOTH_FRAMES = 13
BORDER = 110  # grey of what lies outside the picture
FOREHEAD = 0.34  # of the 68 points' height, above them
SPARE = 0.25  # of a half side, by which a smoothed crop may reach further than that of its own frame


@dataclass(frozen=True)
class FaceTrack:
    """A face track over F frames, ready to cut: smoothed, with gaps interpolated linearly.

    Attributes:
        half: (F,) half the longer side of its box, px.
        x, y: (F,) the box's middle, px.
        seen: (F,) bool, frames in which the face was really found.
    """

    half: Floats64
    x: Floats64
    y: Floats64
    seen: NDArray[np.bool_]


def face_boxes(points: NDArray[np.floating], scores: NDArray[np.floating], min_score: float = MIN_SCORE) -> Floats64:
    """Boxes (F, 4) x1, y1, x2, y2 in px as a face detector draws them: cheek to cheek, from the forehead to the chin.

    Args:
        points: (F, 133, 2) px.
        scores: (F, 133); a face with a mean score below `min_score`, or with a fifth of its points missing, is NaN.
    """
    face = np.asarray(points, float)[:, layout.FACE]
    known = np.isfinite(face).all(-1)
    visible = np.nan_to_num(np.asarray(scores, float)[:, layout.FACE]).mean(1) >= min_score
    visible &= known.mean(1) > 0.8
    boxes = np.full((len(face), 4), np.nan)
    if visible.any():
        low, high = np.nanmin(face[visible], 1), np.nanmax(face[visible], 1)
        low[:, 1] -= FOREHEAD * (high[:, 1] - low[:, 1])
        boxes[visible] = np.concatenate([low, high], 1)
    return boxes


def face_track(boxes: Floats64) -> FaceTrack | None:
    """Smoothed track of boxes (F, 4), NaN where there is none; None when there is none at all."""
    seen = np.asarray(np.isfinite(boxes).all(axis=1), bool)
    if not seen.any():
        return None
    at = np.flatnonzero(seen)
    full = np.stack([np.interp(np.arange(len(boxes)), at, boxes[at, k]) for k in range(4)], 1)
    half = np.maximum(full[:, 3] - full[:, 1], full[:, 2] - full[:, 0]) / 2
    middle = (full[:, :2] + full[:, 2:]) / 2
    edge = SMOOTH_FRAMES // 2  # frames at either end for which the first and the last are repeated

    def smooth(values: Floats64) -> Floats64:
        padded = median_filter(np.pad(values, edge, mode="edge"), SMOOTH_FRAMES)
        return np.asarray(padded[edge : edge + len(boxes)], float)

    return FaceTrack(smooth(half), smooth(middle[:, 0]), smooth(middle[:, 1]), seen)


def lip_track(
    points: NDArray[np.floating],
    scores: NDArray[np.floating],
    min_score: float = MIN_SCORE,
    min_share: float = MIN_SHARE,
    min_px: float = MIN_PX,
) -> FaceTrack | None:
    """The track of a face whose lips can be read; None where it is seen too rarely, or too small.

    Args:
        points, scores, min_score: as `face_boxes` takes them.
        min_share: of the frames, in which the face is found.
        min_px: median side of the face.
    """
    track = face_track(face_boxes(points, scores, min_score))
    readable = track is not None and track.seen.mean() >= min_share and 2 * np.median(track.half) >= min_px
    return track if readable else None


def crop_square(track: FaceTrack, frame: int) -> Box:
    """What `cut_face` cuts out: pixels of the picture, which it may leave."""
    half = max(1.0, float(track.half[frame]))
    pad = int(half * (1 + 2 * SCALE))
    x, y = track.x[frame] + pad, track.y[frame] + pad  # so that rounding towards zero is rounding down
    y1, y2 = int(y - half), int(y + half * (1 + 2 * SCALE))
    x1, x2 = int(x - half * (1 + SCALE)), int(x + half * (1 + SCALE))
    return x1 - pad, y1 - pad, x2 - pad, y2 - pad


def cut_face(
    picture: Picture,
    track: FaceTrack,
    frame: int,
    corner: tuple[int, int] = (0, 0),
    size: tuple[int, int] | None = None,
) -> Picture:
    """The crop (224, 224, 3) of one frame of a track; grey outside the picture. The channels stay in their order.

    Args:
        picture: (H, W, 3), or what is there of it, which must hold all of `crop_square` that lies in the picture.
        track, frame: whose crop.
        corner: x, y of what is there in the picture.
        size: (width, height) of the picture; None: it is there whole.
    """
    x1, y1, x2, y2 = crop_square(track, frame)
    width, height = size or (picture.shape[1], picture.shape[0])
    square = np.full((max(1, y2 - y1), max(1, x2 - x1), 3), BORDER, np.uint8)  # only what is cut is copied
    top, bottom = max(y1, 0), min(y2, height)
    left, right = max(x1, 0), min(x2, width)
    if top < bottom and left < right:
        at_x, at_y = corner
        there = picture[top - at_y : bottom - at_y, left - at_x : right - at_x]
        square[top - y1 : bottom - y1, left - x1 : right - x1] = there
    return np.asarray(cv2.resize(square, (SIDE, SIDE)), np.uint8)


def area_around(points: NDArray[np.floating], scores: NDArray[np.floating]) -> Box | None:
    """What of a picture a crop of its face may need, once its track is smoothed; None where no face is found.

    Args:
        points: (133, 2) px.
        scores: (133,).
    """
    [box] = face_boxes(points[None], scores[None])
    if not np.isfinite(box).all():
        return None
    x, y, half = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, max(box[2] - box[0], box[3] - box[1]) / 2
    more = SPARE * half
    reach, up, down = half * (1 + SCALE) + more, half + more, half * (1 + 2 * SCALE) + more
    return math.floor(x - reach), math.floor(y - up), math.ceil(x + reach), math.ceil(y + down)
