"""Antialiased drawing with sub-pixel places, on BGR pictures; pixel (x, y) has its centre at (x, y)."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats64
from pipeline.base.units import Colour
from pipeline.theatre.palette import INK

Image = NDArray[np.uint8]

_SHIFT = 4
_ONE = 1 << _SHIFT
_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 33)[:-1]), np.sin(np.linspace(0, 2 * np.pi, 33)[:-1])], axis=1)
_SPLINE_STEPS = 5


def _fixed(points: Floats64) -> NDArray[np.int32]:
    return np.round(np.clip(points, -4000, 8000) * _ONE).astype(np.int32)


def _bgr(colour: Colour) -> tuple[int, int, int]:
    return colour[2], colour[1], colour[0]


def smooth(points: Floats64) -> Floats64:
    """A closed Catmull-Rom curve through (M, 2) control points."""
    t = np.linspace(0, 1, _SPLINE_STEPS, endpoint=False)[:, None]
    p0, p1, p2, p3 = (np.roll(points, k, axis=0)[:, None] for k in (1, 0, -1, -2))
    curve = p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))
    return curve.reshape(-1, 2)


def fill(image: Image, points: Floats64, colour: Colour) -> None:
    """A filled polygon (M, 2)."""
    cv2.fillPoly(image, [_fixed(points)], _bgr(colour), cv2.LINE_AA, _SHIFT)


def line(image: Image, points: Floats64, colour: Colour, width: float, closed: bool = False) -> None:
    """A polyline (M, 2) of a width in pixels, rounded to whole ones."""
    cv2.polylines(image, [_fixed(points)], closed, _bgr(colour), max(1, round(width)), cv2.LINE_AA, _SHIFT)


def shape(image: Image, points: Floats64, colour: Colour, ink: float = 0.0) -> None:
    """A filled polygon with an inked outline `ink` pixels wide."""
    fill(image, points, colour)
    if ink > 0:
        line(image, points, INK, ink, closed=True)


def ellipse_points(centre: Floats64, rx: float, ry: float, angle: float = 0.0) -> Floats64:
    """The outline (32, 2) of an ellipse turned by `angle` radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.asarray(centre + (_CIRCLE * (rx, ry)) @ np.array([[c, s], [-s, c]]))


def ellipse(
    image: Image, centre: Floats64, rx: float, ry: float, colour: Colour, ink: float = 0.0, angle: float = 0.0
) -> None:
    """A filled ellipse; its outline is drawn outside of it."""
    if ink > 0:
        fill(image, ellipse_points(centre, rx + ink, ry + ink, angle), INK)
    fill(image, ellipse_points(centre, rx, ry, angle), colour)


def capsule_points(a: Floats64, b: Floats64, ra: float, rb: float) -> Floats64:
    """The outline of a tapered bar with round ends."""
    way = b - a
    angle = float(np.arctan2(way[1], way[0]))
    turn = np.linspace(np.pi / 2, 3 * np.pi / 2, 9) + angle
    start = a + ra * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    end = b - rb * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return np.concatenate([start, end])


def capsule(image: Image, a: Floats64, b: Floats64, ra: float, rb: float, colour: Colour, ink: float = 0.0) -> None:
    """A tapered bar with round ends; its outline is drawn outside of it."""
    if ink > 0:
        fill(image, capsule_points(a, b, ra + ink, rb + ink), INK)
    fill(image, capsule_points(a, b, ra, rb), colour)
