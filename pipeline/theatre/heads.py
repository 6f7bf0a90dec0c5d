"""The head: hair, face, eyes, brows, nose, mouth, and the fiducials that belong to it."""

import cv2
import numpy as np

from pipeline.base.arrays import Floats64
from pipeline.theatre.figure import HEAD_DESIGN, HEAD_UNIT, LIP_BAR, RADII
from pipeline.theatre.look import Figure
from pipeline.theatre.paint import Image, capsule, ellipse, ellipse_points, fill, line, shape, smooth
from pipeline.theatre.palette import EYE, FIDUCIAL_COLOURS, HAIRS, INK, MOUTH, SKINS, TEETH, shade

_BASE = ("nose", "clip", "left_ear", "right_ear")
_SOLVE = np.linalg.inv(np.array([[*HEAD_DESIGN[name], 1.0] for name in _BASE]))
_HAIRLINE = np.array(
    [[0.97, 0.02, 0.05], [0.93, -0.34, 0.30], [0.76, -0.68, 0.50], [0.38, -0.82, 0.66], [0.0, -0.76, 0.74]]
)


def _solid(figure: Figure, points: Floats64) -> Floats64:
    """Head points (M, 3) in head units -> pixels (M, 2)."""
    frame = _SOLVE @ np.array([figure[name] for name in _BASE])  # (4, 2)
    return np.asarray(points @ frame[:3] + frame[3])


def _one(figure: Figure, x: float, y: float, z: float) -> Floats64:
    return np.asarray(_solid(figure, np.array([[x, y, z]]))[0])


def _skull(figure: Figure) -> tuple[Floats64, float]:
    return _one(figure, 0.0, -0.22, -0.08), HEAD_UNIT * figure.unit


def back_hair(image: Image, figure: Figure) -> None:
    """What hangs or stands behind the neck."""
    colour = shade(HAIRS[figure.look.hair], 0.86)
    centre, size = _skull(figure)
    if figure.look.hair_style == "long":
        fall = _solid(figure, np.array([[-1.12, -0.4, -0.2], [-1.22, 0.4, -0.3], [-1.28, 1.3, -0.4], [-0.7, 1.75, -0.4],
                                        [0.0, 1.5, -0.4], [0.7, 1.75, -0.4], [1.28, 1.3, -0.4], [1.22, 0.4, -0.3],
                                        [1.12, -0.4, -0.2], [0.0, -1.2, -0.2]]))  # fmt: skip
        shape(image, smooth(fall), colour, figure.ink)
    elif figure.look.hair_style == "bun":
        ellipse(image, _one(figure, 0.0, -1.45, -0.35), 0.46 * size, 0.42 * size, colour, figure.ink)
    elif figure.look.hair_style == "curly":
        for angle in np.linspace(-0.35 * np.pi, 1.35 * np.pi, 13):
            spot = centre + 1.02 * size * np.array([np.cos(angle), -np.sin(angle)])
            ellipse(image, spot, 0.36 * size, 0.36 * size, colour, figure.ink)


def _face(image: Image, figure: Figure) -> None:
    skin = SKINS[figure.look.skin]
    line_of_hair = np.concatenate([_HAIRLINE, _HAIRLINE[-2::-1] * np.array([-1.0, 1.0, 1.0])])
    if figure.look.hair_style in ("short", "long"):  # a parting on the puppet's left
        line_of_hair[:, 1] += 0.16 * np.sin(np.clip((0.25 - line_of_hair[:, 0]) * 2.2, 0, np.pi))
    outline = np.concatenate([figure.keypoints[23:40], _solid(figure, line_of_hair)])
    if abs(np.sin(figure.turned)) > 0.6:  # the far cheek folds behind the profile
        outline = np.asarray(cv2.convexHull(outline.astype(np.float32)), float)[:, 0]
    shape(image, outline, skin, figure.ink)
    blush = shade(skin, 0.93)
    for side in (-1.0, 1.0):
        spot = _one(figure, 0.60 * side, 0.38, 0.6)
        ellipse(
            image,
            spot,
            0.17 * HEAD_UNIT * figure.unit,
            0.13 * HEAD_UNIT * figure.unit,
            (blush[0], int(blush[1] * 0.9), int(blush[2] * 0.9)),
        )


def _eye(image: Image, figure: Figure, first: int) -> None:
    ring = figure.keypoints[first : first + 6]
    skin = SKINS[figure.look.skin]
    if figure.blink:
        fill(image, smooth(ring), shade(skin, 0.9))
        line(image, ring[[0, 5, 4, 3]], INK, 1.6 * figure.ink)
        return
    fill(image, smooth(ring), EYE)
    size = 0.135 * HEAD_UNIT * figure.unit
    middle = ring.mean(0)
    width = float(np.hypot(*(ring[3] - ring[0]))) / (0.38 * HEAD_UNIT * figure.unit)
    ellipse(image, middle, size * min(1.0, width + 0.1), size, (70, 50, 44))
    ellipse(image, middle + size * np.array([0.25, -0.35]), 0.3 * size, 0.3 * size, TEETH)
    line(image, smooth(ring)[:16], INK, 1.5 * figure.ink)


def _glasses(image: Image, figure: Figure) -> None:
    for first in (59, 65):
        ring = figure.keypoints[first : first + 6]
        half = np.abs(ring - ring.mean(0)).max(0) + 0.14 * HEAD_UNIT * figure.unit
        line(image, ellipse_points(ring.mean(0), half[0], max(half)), INK, 1.4 * figure.ink, closed=True)
    line(image, figure.keypoints[[62, 68]], INK, 1.4 * figure.ink)


def _mouth(image: Image, figure: Figure) -> None:
    lips, inside = figure.keypoints[71:83], figure.keypoints[83:91]
    lip_colour = shade(SKINS[figure.look.skin], 0.72)
    fill(image, smooth(lips), lip_colour)
    fill(image, inside, MOUTH)
    gap = inside[6] - inside[2]
    if float(np.hypot(*gap)) > 0.05 * figure.unit * HEAD_UNIT * 2:
        teeth = np.concatenate([inside[1:4], inside[3:0:-1] + 0.26 * gap])
        fill(image, teeth, TEETH)
    ear = figure["left_ear"] - figure["right_ear"]
    along = ear / max(1e-6, float(np.hypot(*ear)))
    squeeze = min(1.0, float(np.hypot(*ear)) / (2 * HEAD_UNIT * figure.unit))
    half, radius = LIP_BAR[0] * figure.unit * squeeze, LIP_BAR[1] * figure.unit
    centre = figure["lip"]
    capsule(
        image,
        centre - half * along,
        centre + half * along,
        radius,
        radius,
        FIDUCIAL_COLOURS["lip"],
        0.011 * figure.unit,
    )


def _features(image: Image, figure: Figure) -> None:
    for first in (59, 65):
        _eye(image, figure, first)
    if figure.look.glasses:
        _glasses(image, figure)
    brow = shade(HAIRS[figure.look.hair], 0.8)
    for first in (40, 45):
        line(image, figure.keypoints[first : first + 5], brow, 2.1 * figure.ink)
    line(image, figure.keypoints[50:53], shade(SKINS[figure.look.skin], 0.82), 1.2 * figure.ink)
    _mouth(image, figure)
    figure.patch(image, "nose")


def _clip(image: Image, figure: Figure) -> None:
    """A flower in the hair, whose middle is the fiducial."""
    radius = RADII["clip"] * figure.unit
    for angle in np.arange(6) * np.pi / 3:
        petal = figure["clip"] + 1.25 * radius * np.array([np.cos(angle), np.sin(angle)])
        ellipse(image, petal, 0.55 * radius, 0.55 * radius, (236, 226, 210), 0.6 * figure.ink)
    figure.patch(image, "clip")


def _shine(image: Image, figure: Figure, centre: Floats64, size: float) -> None:
    """Two strokes of light on the hair."""
    for reach, span in ((0.94, (3.75, 4.45)), (0.80, (5.1, 5.5))):
        angles = np.linspace(*span, 8)
        arc = centre + reach * size * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        line(image, arc, shade(HAIRS[figure.look.hair], 1.28), 1.6 * figure.ink)


def head(image: Image, figure: Figure) -> None:
    """Paint the head, seen from the front, the side or behind."""
    hair = HAIRS[figure.look.hair]
    centre, size = _skull(figure)
    for name in ("left_ear", "right_ear"):
        ellipse(image, figure[name] - np.array([0.0, 0.10 * size]), 0.20 * size, 0.26 * size,
                shade(SKINS[figure.look.skin], 0.92), figure.ink)  # fmt: skip
    ellipse(image, centre, 1.08 * size, 1.08 * size, hair, figure.ink)
    _shine(image, figure, centre, size)
    if figure.away:
        back_hair(image, figure)
        ellipse(image, centre, 1.06 * size, 1.06 * size, hair)
    else:
        _face(image, figure)
        _features(image, figure)
        if figure.shown[2]:
            _clip(image, figure)
    for name in ("left_ear", "right_ear"):
        figure.patch(image, name)
