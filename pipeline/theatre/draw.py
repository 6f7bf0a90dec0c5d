"""A puppet on paper: clothes, head, arms and hands around the fiducials of one frame."""

import numpy as np

from pipeline.base.arrays import Floats64
from pipeline.base.units import Colour
from pipeline.theatre import hands, heads
from pipeline.theatre.figure import INDEX
from pipeline.theatre.look import Figure
from pipeline.theatre.paint import Image, capsule, ellipse, fill, line, shape, smooth
from pipeline.theatre.palette import CLOTHES, SKINS, shade


class _Torso:
    """Places on the trunk: x from -1 (right side) to 1 (left side), y from 0 (shoulders) to 1 (hips)."""

    def __init__(self, figure: Figure) -> None:
        left, right = figure["left_shoulder"], figure["right_shoulder"]
        hip_left, hip_right = figure["left_hip"], figure["right_hip"]
        self.neck, self.hips = (left + right) / 2, (hip_left + hip_right) / 2
        self.across = self._at_least((left - right) / 2, 0.33 * figure.unit)
        self.across_hips = self._at_least((hip_left - hip_right) / 2, 0.27 * figure.unit)

    @staticmethod
    def _at_least(way: Floats64, length: float) -> Floats64:
        """Somebody seen from the side is no thinner than a chest is deep."""
        size = float(np.hypot(*way))
        return way if size >= length else way * (length / max(size, 1e-6))

    def __call__(self, *places: tuple[float, float]) -> Floats64:
        xy = np.array(places)
        x, y = xy[:, :1], xy[:, 1:]
        return self.neck + y * (self.hips - self.neck) + x * ((1 - y) * self.across + y * self.across_hips)


def _legs(image: Image, figure: Figure, torso: _Torso) -> None:
    colour = CLOTHES[figure.look.bottom]
    outline = torso((-1.18, 0.95), (1.18, 0.95), (1.16, 1.5), (1.05, 2.6), (0.1, 2.6), (0.0, 1.35), (-0.1, 2.6),
                    (-1.05, 2.6), (-1.16, 1.5))  # fmt: skip
    shape(image, outline, colour, figure.ink)


def _trunk(image: Image, figure: Figure, torso: _Torso) -> None:
    colour = CLOTHES[figure.look.top]
    outline = torso((-0.34, -0.10), (0.34, -0.10), (0.86, -0.06), (1.14, 0.05), (1.10, 0.32), (1.0, 0.66), (1.16, 0.96),
                    (1.20, 1.09), (0.0, 1.13), (-1.20, 1.09), (-1.16, 0.96), (-1.0, 0.66), (-1.10, 0.32),
                    (-1.14, 0.05), (-0.86, -0.06))  # fmt: skip
    shape(image, smooth(outline), colour, figure.ink)
    fill(image, torso((-1.18, 1.0), (1.18, 1.0), (1.19, 1.08), (-1.19, 1.08)), shade(colour, 0.82))
    if figure.away:
        line(image, torso((0.0, 0.05), (0.0, 0.98)), shade(colour, 0.82), figure.ink)
        return
    _garment(image, figure, torso, colour)


def _garment(image: Image, figure: Figure, torso: _Torso, colour: Colour) -> None:
    dark, light = shade(colour, 0.78), shade(colour, 1.12)
    skin = SKINS[figure.look.skin]
    if figure.look.top_style == "jacket":
        fill(image, torso((-0.36, -0.10), (0.36, -0.10), (0.0, 0.62)), (236, 230, 218))
        fill(image, torso((-0.20, -0.10), (0.20, -0.10), (0.0, 0.12)), skin)
        for side in (-1, 1):
            lapel = torso((0.34 * side, -0.12), (0.60 * side, 0.10), (0.44 * side, 0.22), (0.05 * side, 0.64))
            shape(image, lapel, dark, figure.ink)
        line(image, torso((0.0, 0.62), (0.0, 1.08)), dark, figure.ink)
        for y in (0.70, 0.84):
            ellipse(image, torso((0.0, y))[0], 0.02 * figure.unit, 0.02 * figure.unit, dark)
    elif figure.look.top_style == "shirt":
        shape(image, torso((-0.30, -0.11), (0.30, -0.11), (0.0, 0.20)), skin, figure.ink)
        for side in (-1, 1):
            collar = torso(
                (0.34 * side, -0.13), (0.40 * side, 0.08), (0.16 * side, 0.22), (0.0, 0.18), (0.26 * side, -0.10)
            )
            shape(image, collar, light, figure.ink)
        line(image, torso((0.0, 0.2), (0.0, 1.08)), dark, figure.ink)
        for y in (0.34, 0.50, 0.66, 0.82):
            ellipse(image, torso((0.05, y))[0], 0.016 * figure.unit, 0.016 * figure.unit, light)
    else:
        shape(image, smooth(torso((-0.34, -0.12), (0.34, -0.12), (0.20, 0.08), (-0.20, 0.08))), dark, figure.ink)
        fill(image, smooth(torso((-0.26, -0.12), (0.26, -0.12), (0.14, 0.03), (-0.14, 0.03))), skin)
        for y in (0.34, 0.42):
            line(image, torso((-1.04, y), (-0.5, y + 0.03), (0.5, y + 0.03), (1.04, y)), light, figure.ink)


def _neck(image: Image, figure: Figure, torso: _Torso) -> None:
    chin = (figure["left_ear"] + figure["right_ear"]) / 2
    foot = torso((0.0, -0.02))[0]
    capsule(image, foot, 0.35 * foot + 0.65 * chin, 0.135 * figure.unit, 0.12 * figure.unit,
            shade(SKINS[figure.look.skin], 0.88), figure.ink)  # fmt: skip


def _pads(image: Image, figure: Figure) -> None:
    """What the buttons of shoulders and hips are sewn on: epaulettes and pockets."""
    unit, ink = figure.unit, figure.ink
    colour = CLOTHES[figure.look.top]
    for side in ("left", "right"):
        shoulder, hip = figure[f"{side}_shoulder"], figure[f"{side}_hip"]
        if figure.shown[INDEX[f"{side}_shoulder"]]:
            ellipse(image, shoulder, 0.112 * unit, 0.104 * unit, shade(colour, 0.84), ink)
        if figure.shown[INDEX[f"{side}_hip"]]:
            pocket = np.array([[-0.13, -0.12], [0.13, -0.12], [0.13, 0.06], [0.07, 0.14], [-0.07, 0.14], [-0.13, 0.06]])
            shape(image, hip + 0.84 * unit * pocket, shade(colour, 0.88), ink)


def _upper_arms(image: Image, figure: Figure) -> None:
    colour = CLOTHES[figure.look.top]
    for side in ("left", "right"):
        inner = figure[f"{side}_shoulder"] * 0.97 + figure[f"{side}_hip"] * 0.03
        capsule(image, inner, figure[f"{side}_elbow"], 0.140 * figure.unit, 0.105 * figure.unit, colour, figure.ink)


def draw(image: Image, figure: Figure) -> None:
    """Paint one puppet on a BGR picture, from back to front."""
    torso = _Torso(figure)
    if figure.behind:
        hands.arms(image, figure)
    if not figure.away:
        heads.back_hair(image, figure)
    _legs(image, figure, torso)
    _neck(image, figure, torso)
    _trunk(image, figure, torso)
    _upper_arms(image, figure)
    _pads(image, figure)
    for name in ("left_shoulder", "right_shoulder", "left_hip", "right_hip"):
        figure.patch(image, name)
    heads.head(image, figure)
    if figure.behind:
        figure.patch(image, "left_elbow")
        figure.patch(image, "right_elbow")
    else:
        hands.arms(image, figure)
