"""Drawing of skeletons in the OpenPose colours familiar from DWPose: on black for nets, over the picture for people.

RGB order as StableAnimator reads it: the limb to the right shoulder is red.
"""

import colorsys
import math
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Picture
from pipeline.base.units import Colour
from pipeline.skeleton import layout

_SHIFT = 4  # sub-pixel bits that OpenCV takes
_WHEEL = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85), (0, 255, 170),
    (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0,
    170), (255, 0, 85),
)  # fmt: skip
_HAND_COLORS = tuple(
    tuple(round(255 * v) for v in colorsys.hsv_to_rgb(i / len(layout.HAND_EDGES), 1, 1)) for i in range(20)
)
_HANDS = (layout.LEFT_HAND, layout.RIGHT_HAND)
_LIMB, _FACE_LINE, _HAND_LINE, _JOINT = 1.9, 0.6, 0.9, 1.7  # over pictures: widths of lines, radius of joints, in units
_OUTLINE = 0.9  # by which outlines are wider
_FACE_COLOR: Colour = (245, 245, 245)
_TURN = np.linspace(0, 2 * np.pi, 36, endpoint=False)[:, None]
_COSINE, _SINE = np.cos(_TURN), np.sin(_TURN)
_FAR = 20_000.0  # pixels; what lies further off is drawn there, because OpenCV's coordinates are 32-bit

Point = Sequence[float]  # (x, y) as Python floats: a skeleton is 300 small strokes, and numpy costs more than they do


def draw(
    keypoints: NDArray[np.floating],
    scores: NDArray[np.floating],
    size: tuple[int, int] = (512, 512),
    background: Picture | None = None,
    threshold: float = 0.3,
) -> Picture:
    """Draw one person's skeleton.

    On black: limbs at 0.6 of their colour, hands and a grey face as DWPose draws them, each as bright as its score. Over a
    picture: the same colours, outlined and blended so that both can be seen, lines as wide as the picture asks for.

    Args:
        keypoints: (133, 2) pixels, NaN where not seen.
        scores: (133,).
        size: (width, height) of the result; ignored where there is a background.
        background: (H, W, 3) RGB, left as it is.
        threshold: points scored lower are not drawn.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    points = np.where((np.asarray(scores) >= threshold)[:, None], keypoints, np.nan)
    if background is None:
        return _on_black(points, np.clip(np.nan_to_num(scores), 0, 1), size)
    return _over(points, background)


def strokes() -> dict[str, Any]:
    """What is drawn over a picture, for programs that draw it themselves, such as the report's page.

    Returns:
        shoulders: [left, right] joints, whose mean is joint 133, the neck. lines: [from, to, "#rrggbb", width, outline];
        dots: [joint, "#rrggbb", radius, outline]. Sizes are in units of the smaller of the picture's sides and 1.4 times the
        person's extent, divided by 260, from 0.8 to 8 pixels; outlines of what is seen come first, wider by `outline`.
    """
    order = [layout.K if joint < 0 else joint for joint in layout.OPENPOSE_18]
    lines = [
        [order[a], order[b], _hex(_soft(color)), _LIMB, _OUTLINE]
        for (a, b), color in zip(layout.OPENPOSE_EDGES, _WHEEL, strict=False)
    ]
    face = layout.FACE.start
    lines += [[face + a, face + b, _hex(_FACE_COLOR), _FACE_LINE, 0.6 * _OUTLINE] for a, b in layout.FACE_EDGES]
    for hand in _HANDS:
        for (a, b), hue in zip(layout.HAND_EDGES, _HAND_COLORS, strict=True):
            lines.append([hand.start + a, hand.start + b, _hex(_soft(hue)), _HAND_LINE, _OUTLINE])
    dots = [[joint, _hex(_soft(color, 0.5)), _JOINT, _OUTLINE / 2] for joint, color in zip(order, _WHEEL, strict=True)]
    return {"shoulders": [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER], "lines": lines, "dots": dots}


def _hex(color: tuple[int, ...]) -> str:
    return "#" + "".join(f"{value:02x}" for value in color)


def _on_black(points: NDArray[np.floating], scores: NDArray[np.floating], size: tuple[int, int]) -> Picture:
    width, height = size
    scale = 2  # drawn twice as large, then halved: smoother than OpenCV's own thin lines
    canvas = np.zeros((height * scale, width * scale, 3), np.uint8)
    grown = (points + 0.5) * scale - 0.5
    unit = min(width, height) * scale / 512
    joints, joint_scores = layout.openpose_18(grown, scores)
    for i, (a, b) in enumerate(layout.OPENPOSE_EDGES):
        _limb(canvas, joints[a], joints[b], 4 * unit, _dim(_WHEEL[i], joint_scores[a] * joint_scores[b]))
    # To 0.6 of each level, rounded down: 0.6 of a whole number ends in .0, .2, .4, .6 or .8. A look-up takes four times as long.
    cv2.convertScaleAbs(canvas, canvas, 0.6, -0.4)
    for joint, score, color in zip(joints.tolist(), joint_scores.tolist(), _WHEEL, strict=True):
        _dot(canvas, joint, 4 * unit, _dim(color, score))
    places, weights = grown.tolist(), scores.tolist()
    for hand in _HANDS:
        for (p, q, weight), hue in zip(_hand_edges(places[hand], weights[hand]), _HAND_COLORS, strict=True):
            _line(canvas, p, q, 2 * unit, _dim(hue, weight))
        for joint, score in zip(places[hand], weights[hand], strict=True):
            _dot(canvas, joint, 2.5 * unit, _dim((0, 0, 255), score))
    for point, score in zip(places[layout.FACE], weights[layout.FACE], strict=True):
        _dot(canvas, point, 1.5 * unit, _dim((255, 255, 255), score))
    return np.asarray(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _over(points: NDArray[np.floating], background: Picture) -> Picture:
    """Outlines in near black first, colours on top, both blended into the picture."""
    height, width = background.shape[:2]
    extent = np.nanmax(points, 0) - np.nanmin(points, 0) if layout.seen(points).any() else np.zeros(2)
    # Wide enough for the picture, narrow enough for a small figure in it.
    unit = float(np.clip(min(min(width, height), 1.4 * extent.max()) / 260, 0.8, 8))
    layer = background.copy()
    for outline in (True, False):
        _strokes(layer, points, unit, outline=outline)
    return np.asarray(cv2.addWeighted(layer, 0.85, background, 0.15, 0), np.uint8)


def _strokes(layer: Picture, points: NDArray[np.floating], unit: float, *, outline: bool) -> None:
    more, shade = (_OUTLINE * unit, True) if outline else (0.0, False)
    dark: Colour = (18, 18, 24)
    joints = layout.openpose_18(points, np.ones(layout.K))[0].tolist()
    places = points.tolist()
    for (a, b), color in zip(layout.OPENPOSE_EDGES, _WHEEL, strict=False):
        _line(layer, joints[a], joints[b], _LIMB * unit + more, dark if shade else _soft(color))
    for a, b in layout.FACE_EDGES:
        p, q = places[layout.FACE.start + a], places[layout.FACE.start + b]
        _line(layer, p, q, _FACE_LINE * unit + 0.6 * more, dark if shade else _FACE_COLOR)
    for hand in _HANDS:
        for (p, q, _), hue in zip(_hand_edges(places[hand], [1.0] * 21), _HAND_COLORS, strict=True):
            _line(layer, p, q, _HAND_LINE * unit + more, dark if shade else _soft(hue))
    for joint, color in zip(joints, _WHEEL, strict=True):
        _dot(layer, joint, _JOINT * unit + more / 2, dark if shade else _soft(color, 0.5))


def _hand_edges(hand: Sequence[Point], scores: Sequence[float]) -> Iterator[tuple[Point, Point, float]]:
    for a, b in layout.HAND_EDGES:
        yield hand[a], hand[b], min(scores[a], scores[b])


def _dim(color: tuple[int, ...], weight: float) -> Colour:
    weight = min(max(float(weight), 0.0), 1.0)
    r, g, b = color
    return int(r * weight), int(g * weight), int(b * weight)


def _soft(color: tuple[int, ...], white: float = 0.25) -> Colour:
    """Towards white: pure primaries glare over a photograph."""
    r, g, b = (int(v + (255 - v) * white) for v in color)
    return r, g, b


def _at(point: Point) -> tuple[int, int]:
    x, y = point
    return round(min(max(x, -_FAR), _FAR) * 2**_SHIFT), round(min(max(y, -_FAR), _FAR) * 2**_SHIFT)


def _finite(point: Point) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])


def _line(canvas: Picture, p: Point, q: Point, width: float, color: Colour) -> None:
    if _finite(p) and _finite(q):
        cv2.line(canvas, _at(p), _at(q), color, max(1, round(width)), cv2.LINE_AA, _SHIFT)


def _dot(canvas: Picture, point: Point, radius: float, color: Colour) -> None:
    if _finite(point):
        cv2.circle(canvas, _at(point), round(radius * 2**_SHIFT), color, -1, cv2.LINE_AA, _SHIFT)


def _limb(canvas: Picture, p: NDArray[np.floating], q: NDArray[np.floating], half: float, color: Colour) -> None:
    """OpenPose's limb: a filled ellipse from joint to joint."""
    if not (np.isfinite(p).all() and np.isfinite(q).all()):
        return
    along = (q - p) / 2
    length = float(np.hypot(*along))
    across = np.array([-along[1], along[0]]) / max(length, 1e-6) * half
    ring = np.clip((p + q) / 2 + _COSINE * along + _SINE * across, -_FAR, _FAR)
    cv2.fillConvexPoly(canvas, np.round(ring * 2**_SHIFT).astype(np.int32), color, cv2.LINE_AA, _SHIFT)
