"""Painted rooms: muted colours and plain shapes, drawn once and kept."""

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

from pipeline.base.units import Colour
from pipeline.theatre.paint import Image, ellipse, fill, line, shape
from pipeline.theatre.palette import INK, shade

HEIGHT = 720
FLOOR_Y = 610


def _box(image: Image, x: float, y: float, w: float, h: float, colour: Colour, ink: float = 2.0) -> None:
    shape(image, np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]]), colour, ink)


def _room(width: int, wall: Colour, floor: Colour) -> Image:
    image: Image = np.empty((HEIGHT, width, 3), np.uint8)
    image[:] = wall[::-1]
    for x in range(20, width, 64):  # faint stripes of wallpaper
        image[:FLOOR_Y, x : x + 26] = shade(wall, 0.975)[::-1]
    image[FLOOR_Y:] = floor[::-1]
    image[FLOOR_Y - 14 : FLOOR_Y] = shade(wall, 0.82)[::-1]
    for x in range(-700, width + 700, 150):
        line(image, np.array([[x, FLOOR_Y], [x + (x - width / 2) * 0.35, HEIGHT]]), shade(floor, 0.9), 2)
    return image


def _plant(image: Image, x: float, y: float, size: float) -> None:
    for k, angle in enumerate(np.linspace(-1.25, 1.25, 7)):
        tip = np.array([x + np.sin(angle) * size, y - np.cos(angle) * size * (1.15 if k % 2 else 0.9)])
        way = tip - (x, y)
        bulge = np.array([-way[1], way[0]]) * 0.16
        leaf = np.array([[x, y], (x, y) + 0.5 * way + bulge, tip, (x, y) + 0.5 * way - bulge])
        shape(image, leaf, shade((112, 136, 108), 0.9 + 0.04 * k), 2)
    pot = np.array([[-0.38, 0], [0.38, 0], [0.28, 0.62], [-0.28, 0.62]]) * size + (x, y - 4)
    shape(image, pot, (168, 122, 98), 2)


def _window(image: Image, x: float, y: float, w: float, h: float) -> None:
    _box(image, x - 14, y - 14, w + 28, h + 28, (236, 230, 220))
    _box(image, x, y, w, h, (196, 212, 220))
    ellipse(image, np.array([x + 0.75 * w, y + 0.25 * h]), 24, 24, (240, 228, 196))
    hills = np.array([[0, 0.72], [0.22, 0.5], [0.42, 0.68], [0.66, 0.46], [1, 0.7], [1, 1], [0, 1]]) * (w, h) + (x, y)
    shape(image, hills, (150, 168, 146), 2)
    line(image, np.array([[x + w / 2, y], [x + w / 2, y + h]]), (236, 230, 220), 10)
    line(image, np.array([[x, y + h / 2], [x + w, y + h / 2]]), (236, 230, 220), 10)


def _shelf(image: Image, rng: np.random.Generator, x: float, y: float, w: float, rows: int) -> None:
    books = [(142, 92, 84), (96, 112, 128), (190, 170, 132), (110, 124, 104), (126, 104, 128), (214, 204, 186)]
    _box(image, x, y, w, rows * 104 + 12, (150, 116, 88))
    for row in range(rows):
        top = y + 12 + row * 104
        _box(image, x + 12, top, w - 24, 92, (122, 92, 70))
        at = x + 16
        while at < x + w - 50:
            thick, high = rng.uniform(14, 30), rng.uniform(56, 84)
            if rng.random() < 0.86:
                _box(image, at, top + 92 - high, thick, high, books[int(rng.integers(len(books)))], 1.5)
            at += thick + 1


def _picture(image: Image, x: float, y: float, w: float, h: float, colour: Colour) -> None:
    _box(image, x, y, w, h, (122, 98, 78))
    _box(image, x + 10, y + 10, w - 20, h - 20, (232, 224, 208))
    ellipse(image, np.array([x + w / 2, y + h / 2]), 0.26 * w, 0.26 * h, colour, 2)
    line(image, np.array([[x + 16, y + 0.78 * h], [x + w - 16, y + 0.70 * h]]), shade(colour, 0.7), 4)


def _lamp(image: Image, x: float) -> None:
    line(image, np.array([[x, 300], [x, FLOOR_Y + 40]]), INK, 6)
    ellipse(image, np.array([x, FLOOR_Y + 42]), 44, 10, (90, 80, 76), 2)
    shape(image, np.array([[x - 40, 220], [x + 40, 220], [x + 64, 310], [x - 64, 310]]), (228, 208, 168), 2)


def _study(width: int, rng: np.random.Generator) -> Image:
    image = _room(width, (222, 213, 198), (168, 138, 112))
    for left in range(0, width, 1280):
        _shelf(image, rng, left + 40, 150, 250, 4)
        _window(image, left + 960, 110, 240, 260)
        _picture(image, left + 360, 120, 130, 160, (150, 160, 150))
        _plant(image, left + 1180, 600, 96)
    return image


def _lounge(width: int, rng: np.random.Generator) -> Image:
    image = _room(width, (200, 210, 206), (176, 152, 128))
    for left in range(0, width, 1280):
        _picture(image, left + 140, 110, 190, 140, (176, 150, 132))
        _picture(image, left + 960, 90, 120, 150, (132, 148, 168))
        _picture(image, left + 1100, 130, 110, 110, (170, 164, 128))
        _lamp(image, left + 80)
        _plant(image, left + 1190, 590, 110)
        shape(
            image, np.array([[left + 20, 520], [left + 300, 520], [left + 320, 680], [left, 680]]), (138, 126, 140), 2
        )
    return image


def _stage(width: int, rng: np.random.Generator) -> Image:
    image = _room(width, (92, 84, 96), (134, 106, 84))
    for x in range(-20, width, 76):
        wobble = float(rng.uniform(-8, 8))
        fold = np.array([[x, 0], [x + 54, 0], [x + 66 + wobble, FLOOR_Y], [x - 8 + wobble, FLOOR_Y]])
        fill(image, fold, shade((126, 76, 80), 0.86 + 0.16 * float(rng.random())))
    for left in range(0, width, 1280):
        glow = image.copy()
        ellipse(glow, np.array([left + 640.0, 640.0]), 520, 60, (196, 170, 138))
        image = np.asarray(cv2.addWeighted(glow, 0.6, image, 0.4, 0), np.uint8)
        for x in range(left + 40, left + 1280, 100):
            ellipse(image, np.array([x, 700.0]), 15, 9, (240, 226, 190), 2)
    shape(image, np.array([[0, 0], [width, 0], [width, 56], [0, 56]]), (104, 58, 64), 3)
    for x in range(0, width + 80, 80):
        ellipse(image, np.array([float(x), 56.0]), 40, 26, (118, 68, 72), 2)
    return image


def _news(width: int, rng: np.random.Generator) -> Image:
    image = _room(width, (146, 158, 170), (112, 112, 120))
    for left in range(0, width, 1280):
        _box(image, left + 60, 80, 300, 380, (96, 108, 124))
        for k in range(6):
            _box(image, left + 84, 106 + k * 58, float(rng.uniform(120, 250)), 22, (168, 180, 190), 1)
        _box(image, left + 920, 80, 310, 250, (104, 116, 132))
        ellipse(image, np.array([left + 1075.0, 205.0]), 92, 92, (150, 166, 168), 2)
        for shift in (-44, 0, 44):
            ellipse(image, np.array([left + 1075.0 + shift, 205.0]), abs(shift) * 0.4 + 10, 90, (132, 150, 152), 1)
        _plant(image, left + 1190, 600, 80)
    return image


def _class(width: int, rng: np.random.Generator) -> Image:
    image = _room(width, (226, 218, 196), (182, 156, 122))
    for left in range(0, width, 1280):
        _box(image, left + 90, 80, 1100, 330, (160, 126, 94))
        _box(image, left + 106, 96, 1068, 298, (86, 104, 98))
        for k in range(5):
            x, y = left + 150, 150 + 46 * k
            wave = np.stack([np.arange(0, 190, 12) + x, y + 7 * np.sin(np.arange(16) * 1.3 + k)], axis=1)
            line(image, wave[: int(rng.integers(9, 16))], (206, 212, 204), 3)
        axes = np.array([[left + 960, 150], [left + 960, 340], [left + 1140, 340]])
        line(image, axes, (206, 212, 204), 3)
        curve = np.stack([np.linspace(left + 960, left + 1130, 20), 340 - 160 * np.linspace(0, 1, 20) ** 2], axis=1)
        line(image, curve, (220, 206, 170), 3)
    return image


_ROOMS: dict[str, Callable[[int, np.random.Generator], Image]] = {
    "study": _study, "lounge": _lounge, "stage": _stage, "news": _news, "class": _class,
}  # fmt: skip


@lru_cache(maxsize=4)
def backdrop(name: str, width: int = 1280, seed: int = 405) -> Image:
    """A room (720, width, 3) BGR with a little paper grain; do not write on it.

    Args:
        name: study, lounge, stage, news or class.
        width: world pixels.
        seed: of books, folds and grain.
    """
    rng = np.random.default_rng(seed)
    image = _ROOMS[name](width, rng)
    grain = cv2.GaussianBlur(rng.normal(0, 7, (HEIGHT, width)).astype(np.float32), (0, 0), 1.5)
    painted: Image = np.clip(image + grain[..., None], 0, 255).astype(np.uint8)
    painted.setflags(write=False)
    return painted


def lectern(image: Image, x: float, top: float, size: float) -> None:
    """A lectern in front of a puppet: its top edge at `top`, `size` pixels wide, down to the bottom of the picture."""
    body = np.array(
        [[x - 0.42 * size, top], [x + 0.42 * size, top], [x + 0.36 * size, HEIGHT], [x - 0.36 * size, HEIGHT]]
    )
    shape(image, body, (150, 112, 84), 2)
    _box(image, x - size / 2, top - 0.06 * size, size, 0.12 * size, (122, 90, 68))
