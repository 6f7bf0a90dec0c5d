"""The pictures on which half precision is tried: people drawn by code, always the same ones.

They are no good likeness, and good enough: a small detector finds those in front, and a small pose net is sure of most points of
the body, the face and the hands (`tests/pipeline/nets/pose/half/test_real.py`). They are to be as hard as footage, for nets are
least stable where they are least sure: large and cut by the border, as speakers are, with others half hidden behind them, dim,
shaken, blurred, noisy and compressed. With these amounts two small nets move as much as on real clips
(`python -m tests.bench.half_precision`).
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats64, Picture

WIDTH, HEIGHT = 640, 360  # of what is drawn
ZOOM = 2  # of what is shown: 1280 x 720, as most footage
COUNT = 24
UNITS = (45.0, 110.0)  # half of a head's width, about, px: from head to thighs, to head and chest
OTHERS, BEHIND = 2, (0.35, 0.7)  # people who are further off, and how large by whoever is in front
LIGHT = (0.3, 0.6, 2.0), (1.0, 2.0, 13.0)  # contrast, blur in px, noise: least and most
SHAKE_PX = 6
QUALITIES = (10, 60)  # of JPEG
Place = Sequence[float] | Floats64  # x, y


def pictures() -> tuple[list[Picture], list[Floats64]]:
    """(H, W, 3) RGB pictures, and for each (1, 4) the box of the person in front: x1, y1, x2, y2."""
    drawn = [_Drawn(np.random.default_rng(seed)) for seed in range(COUNT)]
    return [one.picture() for one in drawn], [one.box() for one in drawn]


class _Drawn:
    """People in front of a wall, made of shaded capsules and ellipses; the one in front is drawn last, and has the box.

    Args:
        rng: for poses, colours, light and noise.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        wall = cv2.resize(rng.normal(0, 12, (6, 10, 3)), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        noise = rng.normal(0, 3, (HEIGHT, WIDTH, 3))
        self._canvas = np.clip(rng.integers(90, 200, 3) + wall + noise, 0, 255).astype(np.float32)
        near = float(np.exp(rng.uniform(*np.log(UNITS))))
        for share in (*sorted(rng.uniform(*BEHIND, OTHERS)), 1.0):
            self._person(share * near)

    def _person(self, unit: float) -> None:
        """Somebody in front of all that is there."""
        rng = self._rng
        self._unit = unit
        self._middle, self._top = WIDTH * rng.uniform(0.2, 0.8), rng.uniform(-0.2, 0.8) * unit
        self._skin = rng.uniform(150, 235) * np.array([1.0, 0.78, 0.65])
        self._shirt, self._trousers = rng.uniform(20, 220, 3), rng.uniform(15, 110, 3)
        self._shoulders = self._top + 1.75 * unit
        self._hips = self._shoulders + 2.9 * unit
        self._legs()
        self._trunk()
        for side in (-1, 1):
            self._arm(side)
        self._head(rng.uniform(15, 90, 3))

    def picture(self) -> Picture:
        """As footage shows it: more or less dim, moved, out of focus, noisy and compressed."""
        contrast, blur, noise = self._rng.uniform(*LIGHT)
        moved = cv2.filter2D(self._canvas, -1, self._shake())
        soft = contrast * cv2.GaussianBlur(moved, (0, 0), blur) + self._rng.normal(0, noise, self._canvas.shape)
        large = cv2.resize(soft, (ZOOM * WIDTH, ZOOM * HEIGHT), interpolation=cv2.INTER_LINEAR)
        quality = int(self._rng.integers(*QUALITIES))
        coded = cv2.imencode(".jpg", np.clip(large, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)

    def _shake(self) -> Floats64:
        """What a point becomes while the shutter is open: a line, as long as `SHAKE_PX` at most."""
        angle, length = self._rng.uniform((0, 0), (np.pi, SHAKE_PX))
        way, middle = length / 2 * np.array([np.cos(angle), np.sin(angle)]), SHAKE_PX // 2 + 1
        line = np.zeros((2 * middle + 1, 2 * middle + 1))
        for share in np.linspace(-1, 1, 4 * SHAKE_PX):
            x, y = np.rint(middle + share * way).astype(int)
            line[y, x] += 1
        return np.asarray(line / line.sum(), np.float64)

    def box(self) -> Floats64:
        wide, foot = 1.9 * self._unit, self._hips + 4.2 * self._unit
        box = np.array([self._middle - wide, self._top, self._middle + wide, foot])
        return np.asarray(ZOOM * np.clip(box, 0, [WIDTH, HEIGHT, WIDTH, HEIGHT])[None], np.float64)

    def _legs(self) -> None:
        middle, hips, unit = self._middle, self._hips, self._unit
        for side in (-1, 1):
            hip, knee, ankle = (
                (middle + side * x * unit, hips + y * unit) for x, y in ((0.5, 0.0), (0.55, 2.0), (0.5, 3.9))
            )
            self._capsule(hip, knee, 0.5, 0.38, self._trousers)
            self._capsule(knee, ankle, 0.38, 0.24, self._trousers)
            toes = ankle[0] + side * 0.3 * unit, ankle[1] + 0.2 * unit
            self._capsule(ankle, toes, 0.2, 0.17, 0.4 * self._trousers)

    def _trunk(self) -> None:
        middle, top, unit = self._middle, self._shoulders, self._unit
        self._capsule((middle, top + 0.45 * unit), (middle, self._hips - 0.1 * unit), 0.98, 0.8, self._shirt)
        ends = [(middle + side * 0.75 * unit, top + 0.25 * unit) for side in (-1, 1)]
        self._capsule(ends[0], ends[1], 0.35, 0.35, self._shirt)
        self._capsule((middle, self._top + 1.2 * unit), (middle, top + 0.1 * unit), 0.3, 0.34, 0.85 * self._skin)

    def _arm(self, side: int) -> None:
        """An arm in any pose, and a hand of five fingers."""
        unit, at = self._unit, self._rng.uniform
        shoulder = self._middle + side * 0.98 * unit, self._shoulders + 0.3 * unit
        elbow = self._middle + side * unit * at(1.2, 1.6), self._shoulders + unit * at(1.2, 1.7)
        wrist = self._middle + side * unit * at(0.5, 1.9), self._shoulders + unit * at(0.6, 2.6)
        self._capsule(shoulder, elbow, 0.34, 0.27, self._shirt)
        self._capsule(elbow, wrist, 0.25, 0.18, self._skin)
        way = np.subtract(wrist, elbow) / max(float(np.hypot(*np.subtract(wrist, elbow))), 1.0)
        across, palm = np.array([-way[1], way[0]]), np.add(wrist, 0.2 * unit * way)
        self._ellipse(palm, 0.24, 0.24, self._skin)
        for finger in range(-2, 3):
            root = palm + 0.1 * unit * finger * across
            tip = root + unit * (0.34 if finger > -2 else 0.2) * way + 0.05 * unit * finger * across
            self._capsule(root, tip, 0.055, 0.045, self._skin)

    def _head(self, hair: Floats64) -> None:
        unit = self._unit

        def at(x: float, y: float) -> tuple[float, float]:
            return self._middle + x * unit, self._top + (0.75 + y) * unit

        self._ellipse(at(0, -0.12), 0.62, 0.78, hair)
        self._ellipse(at(0, 0.08), 0.52, 0.68, self._skin)
        for side in (-1, 1):
            self._ellipse(at(side * 0.21, -0.02), 0.11, 0.06, np.full(3, 240.0), flat=True)
            self._ellipse(at(side * 0.21, -0.02), 0.05, 0.055, np.array([40.0, 30, 25]), flat=True)
            self._capsule(at(side * 0.21 - 0.13, -0.16), at(side * 0.21 + 0.13, -0.17), 0.03, 0.03, hair, flat=True)
            self._ellipse(at(side * 0.53, 0.05), 0.07, 0.16, 0.85 * self._skin, flat=True)
        self._capsule(at(0, 0), at(0.03, 0.24), 0.035, 0.07, 0.8 * self._skin, flat=True)
        self._ellipse(at(0, 0.44), 0.2, 0.07, np.array([165.0, 70, 70]), flat=True)
        self._capsule(at(-0.17, 0.44), at(0.17, 0.44), 0.014, 0.014, np.array([80.0, 25, 30]), flat=True)

    def _capsule(
        self,
        a: Place,
        b: Place,
        thick: float,
        thin: float,
        colour: Floats64,
        *,
        flat: bool = False,
    ) -> None:
        """A limb from a to b, of radii in units; lit from the front unless it is flat."""
        along = np.subtract(b, a)
        rows, columns, x, y = self._around([a, b], thick * self._unit)
        share = np.clip(((x - a[0]) * along[0] + (y - a[1]) * along[1]) / max(float(along @ along), 1e-6), 0, 1)
        radius = self._unit * (thick + (thin - thick) * share)
        dx = x - a[0] - share * along[0]
        away = np.hypot(dx, y - a[1] - share * along[1]) / radius
        light = 0.55 + 0.5 * np.sqrt(np.clip(1 - away**2, 0, 1)) - 0.1 * dx / np.maximum(radius, 1)
        self._paint((rows, columns), away <= 1, colour, 1.0 if flat else light[..., None])

    def _ellipse(self, centre: Place, wide: float, high: float, colour: Floats64, *, flat: bool = False) -> None:
        rows, columns, x, y = self._around([centre], max(wide, high) * self._unit)
        across = (x - centre[0]) / (wide * self._unit)
        away = across**2 + ((y - centre[1]) / (high * self._unit)) ** 2
        light = 0.6 + 0.45 * np.sqrt(np.clip(1 - away, 0, 1)) - 0.12 * across
        self._paint((rows, columns), away <= 1, colour, 1.0 if flat else light[..., None])

    def _around(self, places: Sequence[Place], reach: float) -> tuple[slice, slice, Floats64, Floats64]:
        """The part of the canvas that a shape may touch, and x and y of its pixels."""
        low, high = np.min(np.array(places), 0) - reach - 4, np.max(np.array(places), 0) + reach + 5
        left, top = (max(0, int(one)) for one in low)
        right, bottom = min(WIDTH, int(high[0])), min(HEIGHT, int(high[1]))
        y, x = np.mgrid[top : max(top, bottom), left : max(left, right)].astype(np.float64)
        return slice(top, max(top, bottom)), slice(left, max(left, right)), x, y

    def _paint(
        self,
        where: tuple[slice, slice],
        inside: NDArray[np.bool_],
        colour: Floats64,
        light: float | Floats64,
    ) -> None:
        if not inside.any():
            return
        edge = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 0.8)[..., None]
        part = self._canvas[where]
        self._canvas[where] = part * (1 - edge) + np.clip(colour * light, 0, 255) * edge
