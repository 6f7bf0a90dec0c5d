"""Face crops from known keypoints: which frames to use, and how to cut faces out.

No face detector is needed: the 133 keypoints locate the face. Identity nets see it rotated and scaled so that eyes, nose and the
corners of the mouth lie where ArcFace was trained to find them (close to DeepFace's alignment by the eyes). The nets for gender,
age, ethnicity and emotion see an upright square with a margin around the 68 points, as a face detector would give it.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats, Picture
from pipeline.base.units import Box
from pipeline.skeleton import layout
from pipeline.skeleton.crop import cut
from pipeline.skeleton.layout import visible
from pipeline.skeleton.measures import head_yaw_degrees

IDENTITY_SIDE = 112
DEMOGRAPHY_SIDE = 224
MARGIN = 0.25  # of the points' extent, on each side; the points end at the brows, detectors' boxes at the hair
_UP = 0.12  # by which the square stands higher than the points' middle, of its side: the forehead has no points
# Where ArcFace expects the person's right eye, left eye, nose and the right and left corner of the mouth, pixels of 112.
TEMPLATE = np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]])
_NOSE_TIP, _RIGHT_CORNER, _LEFT_CORNER = layout.FACE.start + 30, layout.FACE.start + 48, layout.FACE.start + 54


@dataclass(frozen=True)
class Choice:
    """Criteria for frames that show a face well enough.

    Attributes:
        frames: at most so many, spread over the clip.
        candidates: looked at for each of them; the sharpest is taken.
        max_yaw_degrees: turn of the head from the camera.
        min_score: least mean score of the 68 points, and of each point that is used.
        min_face_px: least distance from the brows to the chin.
    """

    frames: int = 5
    candidates: int = 4
    max_yaw_degrees: float = 30.0
    min_score: float = 0.3
    min_face_px: float = 24.0


def candidates(keypoints: Floats, scores: Floats, size: tuple[int, int], choice: Choice = Choice()) -> list[list[int]]:
    """Frames worth decoding, in as many spans of the clip as frames are wanted.

    Args:
        keypoints: (F, 133, 2) pixels, NaN where unseen.
        scores: (F, 133).
        size: (width, height) of the picture; a face whose points leave it is not taken.

    Returns:
        for each span of the clip that has some, its best frames: frontal ones with sure points, best first.
    """
    good = _usable(keypoints, scores, size, choice)
    # Twenty degrees weigh as much as a score of one: a slight turn does no harm, a half-guessed face does.
    worth = scores[:, layout.FACE].mean(1) - head_yaw_degrees(keypoints, scores, choice.min_score) / 20
    spans = []
    for span in np.array_split(np.arange(len(keypoints)), choice.frames):
        frames = span[good[span]]
        if len(frames):
            order = np.argsort(-worth[frames], kind="stable")
            spans.append([int(frame) for frame in frames[order][: choice.candidates]])
    return spans


def _usable(keypoints: Floats, scores: Floats, size: tuple[int, int], choice: Choice) -> NDArray[np.bool_]:
    """Mask (F,) of frames in which the face is seen, frontal, large enough and within the picture."""
    points = visible(keypoints, scores, choice.min_score)
    yaw = head_yaw_degrees(keypoints, scores, choice.min_score)
    five = np.stack([_five(frame) for frame in points]) if len(points) else np.zeros((0, 5, 2))
    inside = ((five >= 0) & (five <= np.array(size) - 1)).all((1, 2))  # NaN is nowhere
    brows = points[:, layout.RIGHT_BROW.start : layout.LEFT_BROW.stop].mean(1)
    height = np.linalg.norm(points[:, layout.CHIN] - brows, axis=-1)
    sure = scores[:, layout.FACE].mean(1) >= choice.min_score
    return np.asarray(sure & inside & (yaw <= choice.max_yaw_degrees) & (height >= choice.min_face_px))


def _five(points: Floats) -> Floats:
    """(133, 2) -> (5, 2): eyes' middles, tip of the nose, corners of the mouth, in the order of `TEMPLATE`."""
    eyes = [points[ring].mean(0) for ring in (layout.RIGHT_EYE_RING, layout.LEFT_EYE_RING)]
    return np.stack([*eyes, points[_NOSE_TIP], points[_RIGHT_CORNER], points[_LEFT_CORNER]])


def can_align(points: Floats, size: tuple[int, int]) -> bool:
    """Whether `aligned` finds a face: points (133, 2), NaN where unseen, show eyes, nose and mouth in a picture (width, height)."""
    five = _five(points)
    inside = bool(((five >= 0) & (five <= np.array(size) - 1)).all())  # NaN is nowhere
    return inside and float(np.ptp(five, axis=0).max()) >= 1


def aligned(picture: Picture, keypoints: Floats, side: int = IDENTITY_SIDE) -> Picture:
    """A face turned, scaled and shifted onto ArcFace's template: (H, W, 3) RGB -> (side, side, 3), black outside the picture.

    Args:
        picture: RGB.
        keypoints: (133, 2) in its pixels; the five points must be finite.
        side: of the result.
    """
    a, b = _similarity(keypoints, side)
    forward = np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
    # Shrinking by much would skip pixels: halve the picture first until it does not.
    for _ in range(_halvings(abs(a), (picture.shape[1], picture.shape[0]), side)):
        height, width = picture.shape[0] // 2, picture.shape[1] // 2
        picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        forward = forward @ np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]])
    return np.asarray(cv2.warpAffine(picture, forward, (side, side), flags=cv2.INTER_LINEAR), np.uint8)


def aligned_area(keypoints: Floats, size: tuple[int, int], side: int = IDENTITY_SIDE) -> Box:
    """What of a picture of (width, height) `aligned` looks at, which may leave it; of the rest it sees nothing."""
    a, b = _similarity(keypoints, side)
    if abs(a) * max(size) < 1:  # points that coincide, or lie otherwise than any face's, shrink the picture to nothing
        return 0, 0, *size
    corners = np.array([0, side, side * 1j, side + side * 1j])
    seen = (corners - b) / a
    more = 4 << _halvings(abs(a), size, side)  # pixels that halving and interpolation mix in
    low, high = np.floor([seen.real.min(), seen.imag.min()]), np.ceil([seen.real.max(), seen.imag.max()])
    return int(low[0]) - more, int(low[1]) - more, int(high[0]) + more, int(high[1]) + more


def _similarity(keypoints: Floats, side: int) -> tuple[complex, complex]:
    """z -> a z + b in the complex plane, which moves a face of (133, 2) onto the template."""
    source, target = _five(keypoints) @ [1, 1j], (TEMPLATE * side / IDENTITY_SIDE) @ [1, 1j]
    # A similarity's least squares have a closed form in the complex plane, and cannot mirror.
    away, aim = source - source.mean(), target - target.mean()
    a = np.vdot(away, aim) / max(np.vdot(away, away).real, 1e-12)
    return complex(a), complex(target.mean() - a * source.mean())


def _halvings(scale: float, size: tuple[int, int], side: int) -> int:
    """How often a picture is halved before it is scaled."""
    count, least = 0, min(size)
    while scale < 0.5 and least > side:
        count, scale, least = count + 1, scale * 2, least // 2
    return count


def face_square(keypoints: Floats) -> Box:
    """The square around the face of (133, 2) keypoints, with a margin; whole pixels, may leave the picture.

    Raises:
        ValueError: no face point is finite.
    """
    face = keypoints[layout.FACE][layout.seen(keypoints[layout.FACE])]
    if not len(face):
        raise ValueError("no point of the face is seen")
    low, high = face.min(0), face.max(0)
    side = max(4, round(float((high - low).max()) * (1 + 2 * MARGIN)))
    x, y = np.round((low + high) / 2 - side / 2 - [0, _UP * side]).astype(int)
    return int(x), int(y), int(x) + side, int(y) + side


def upright(picture: Picture, keypoints: Floats, side: int = DEMOGRAPHY_SIDE) -> Picture:
    """The face's square cut out: (H, W, 3) RGB -> (side, side, 3), black outside the picture."""
    return cut(picture, face_square(keypoints), side)
