"""The control images that pose-to-video nets were trained on: drawn large, and shrunk.

`pipeline.skeleton.draw` draws for people. Here every pixel counts: to a net trained on one drawing, another looks like another
pose. So truncation, order and thickness are upstream's, and the result is equal to the last grey level. StableAnimator's and
MimicMotion's points are as bright as their scores; VACE and Wan2.2-S2V draw what is seen at full brightness, and nothing else.
"""

import colorsys
import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from pipeline.base.arrays import Floats, Picture
from pipeline.skeleton import layout

Order = Literal["stableanimator", "mimicmotion", "vace", "wan-s2v"]

SEEN_OVER = 0.3  # a body joint's score
_LIMB_SHADE = 0.6
_HALF_WIDTH, _JOINT = 4, 4  # px of the canvas
_FAR = 16_000  # px: beyond it OpenCV's fixed-point numbers run over; the canvas is long over by then
# OpenPose's rainbow; joint and limb i have colour i.
_WHEEL = tuple(tuple(round(255 * v) for v in colorsys.hsv_to_rgb(i / 18, 1, 1)) for i in range(18))
_HAND_HUES = tuple(colorsys.hsv_to_rgb(i / 20, 1, 1) for i in range(20))


@dataclass(frozen=True)
class _Style:
    """How one back-end's drawing differs from another's.

    Attributes:
        canvas_px: shorter side of what is drawn before it is shrunk.
        step_px: the sides of the canvas are multiples of it.
        swapped: red and blue are exchanged.
        seen_from: points scored lower are left out, all others are fully bright; None: as bright as their score.
        hand_line, hand_dot, face_dot: px of the canvas; 0 for what is not drawn.
        shrink: OpenCV's interpolation.
    """

    canvas_px: int
    step_px: int = 1
    swapped: bool = True
    seen_from: float | None = None
    hand_line: int = 2
    hand_dot: int = 4
    face_dot: int = 3
    shrink: int = cv2.INTER_LINEAR

    def canvas(self, width: int, height: int) -> Picture:
        grown = self.canvas_px / min(width, height)
        if self.step_px == 1:
            return np.zeros((int(height * grown), int(width * grown), 3), np.uint8)
        sides = (round(side * grown / self.step_px) * self.step_px for side in (height, width))
        return np.zeros((*sides, 3), np.uint8)


_STYLES: dict[Order, _Style] = {
    "stableanimator": _Style(2160, swapped=False),
    "mimicmotion": _Style(2160),
    # PoseBodyFaceVideoAnnotator, which its task `pose` runs: hands are found, but not drawn.
    "vace": _Style(1024, step_px=64, seen_from=0.3, hand_line=0, hand_dot=0, shrink=cv2.INTER_AREA),
    # Its repository draws for Wan-Animate only (`draw_aapose_new`). The example of a pose video that it gives for S2V is that
    # drawing, as wide as it is at 1080 px, with red and blue exchanged.
    "wan-s2v": _Style(1080, seen_from=0.5, hand_line=2, hand_dot=2, face_dot=0, shrink=cv2.INTER_AREA),
}


def draw_control(
    keypoints: Floats,
    scores: Floats,
    size: tuple[int, int],
    order: Order = "stableanimator",
    limb_threshold: float = SEEN_OVER,
) -> Picture:
    """Draw one frame's skeleton as the back-end's own code does.

    Args:
        keypoints: (133, 2) px of a picture of `size`, NaN where unseen; points outside are drawn as far as they reach in.
        scores: (133,); they may pass 1.
        size: (width, height) of the result, px.
        order: whose drawing. StableAnimator's files read back with a red limb to the right shoulder, all others' arrays have it
            blue.
        limb_threshold: limbs with an end scored lower are left out; 0.6 in the CSG-405 release.

    Returns:
        (height, width, 3) uint8, RGB as that back-end's net takes it.
    """
    width, height = size
    style = _STYLES[order]
    canvas = style.canvas(width, height)
    scores = np.nan_to_num(np.asarray(scores, np.float64))
    # As shares of the picture first, like theirs: the truncation below then falls the same way.
    points = np.asarray(keypoints, np.float64) / (width, height) * (canvas.shape[1], canvas.shape[0])
    points = np.clip(points, -_FAR, _FAR)
    if style.seen_from is not None:
        points = np.where((scores >= style.seen_from)[:, None], points, np.nan)
        scores = np.ones_like(scores)
    _body(canvas, *_openpose(points, scores), limb_threshold)
    if style.hand_dot:
        for hand in (layout.LEFT_HAND, layout.RIGHT_HAND):
            _hand(canvas, points[hand], scores[hand], style)
    if style.face_dot:
        _face(canvas, points[layout.FACE], scores[layout.FACE], style.face_dot)
    small = cv2.resize(canvas, (width, height), interpolation=style.shrink)
    return np.ascontiguousarray(small[..., ::-1] if style.swapped else small)


def _openpose(points: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """(18, 2) and (18,): the neck counts 1 where both shoulders are seen, else 0."""
    joints, confidence = layout.openpose_18(points, scores)
    neck = layout.OPENPOSE_18.index(-1)
    confidence[neck] = float(confidence[neck] > SEEN_OVER)
    return joints, np.where(layout.seen(joints), confidence, 0.0)


def _body(canvas: Picture, joints: Floats, scores: Floats, limb_threshold: float) -> None:
    drawn = scores > SEEN_OVER
    for (a, b), color in zip(layout.OPENPOSE_EDGES, _WHEEL, strict=False):
        if drawn[a] and drawn[b] and min(scores[a], scores[b]) >= limb_threshold:
            # Theirs darkens the whole canvas once the limbs are there; dark paint is the same, and quicker.
            bright = _shade(color, scores[a] * scores[b])
            _limb(canvas, joints[a], joints[b], _shade(bright, _LIMB_SHADE))
    for i in np.flatnonzero(drawn):
        x, y = joints[i]
        cv2.circle(canvas, (int(x), int(y)), _JOINT, _shade(_WHEEL[i], scores[i]), -1)


def _limb(canvas: Picture, a: Floats, b: Floats, color: tuple[int, ...]) -> None:
    (x, y), (dx, dy) = (a + b) / 2, a - b
    half = int(math.hypot(dx, dy) / 2)
    turn = int(math.degrees(math.atan2(dy, dx)))
    ring = np.array(cv2.ellipse2Poly((int(x), int(y)), (half, _HALF_WIDTH), turn, 0, 360, 1))
    cv2.fillConvexPoly(canvas, ring, color)


def _hand(canvas: Picture, points: Floats, scores: Floats, style: _Style) -> None:
    places = [_inside(point) for point in points]
    for (a, b), hue in zip(layout.HAND_EDGES, _HAND_HUES, strict=True):
        p, q = places[a], places[b]
        if p is not None and q is not None:
            bright = int(scores[a] * scores[b] * 255)
            cv2.line(canvas, p, q, tuple(v * bright for v in hue), style.hand_line)
    for at, score in zip(places, scores, strict=True):
        if at is not None:
            cv2.circle(canvas, at, style.hand_dot, (0, 0, int(score * 255)), -1)


def _face(canvas: Picture, points: Floats, scores: Floats, dot_px: int) -> None:
    for point, score in zip(points, scores, strict=True):
        at = _inside(point)
        if at is not None:
            cv2.circle(canvas, at, dot_px, _shade((1, 1, 1), int(score * 255)), -1)


def _inside(point: Floats) -> tuple[int, int] | None:
    """Whole pixels; None for points that are unseen, or in the first row or column or beyond, which upstream skips."""
    if not np.isfinite(point).all():
        return None
    x, y = int(point[0]), int(point[1])
    return (x, y) if x > 0 and y > 0 else None


def _shade(color: tuple[int, ...], weight: float) -> tuple[int, ...]:
    """Truncated, and saturated as OpenCV does: scores may pass 1."""
    return tuple(min(255, int(v * weight)) for v in color)
