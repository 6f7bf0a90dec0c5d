"""Borders inside pictures that were put together from parts; rooms, doors, tables and posters are none."""

import cv2
import numpy as np
import pytest

from pipeline.base.units import Box
from pipeline.media.shots.borders import MIN_PICTURES, Steps, inner_frames
from pipeline.theatre.backdrop import backdrop
from tests.pipeline.media.shots.test_glimpses import photograph

WIDTH, HEIGHT, PICTURES = 1280, 720, 6
MIDDLE_OF = {"pillars": 640, "blurred": 640, "letterbox": 640, "slide": 1000, "corner": 1130, "inset": 951}
# Where the talk lies in the picture. Odd numbers: scaling to 256 px then puts the border into a pixel.
INNER: dict[str, Box] = {
    "pillars": (437, 0, 843, 720),
    "blurred": (437, 0, 843, 720),
    "letterbox": (0, 91, 1280, 629),
    "slide": (873, 0, 1280, 720),
    "corner": (983, 471, 1280, 720),
    "inset": (787, 243, 1203, 655),
}


def talk(number: int, width: int, height: int) -> np.ndarray:
    """A room with somebody in it who moves."""
    room = cv2.resize(photograph(), (width, height), interpolation=cv2.INTER_AREA)
    x = int(width / 2 + width / 12 * np.sin(number))
    cv2.ellipse(room, (x, int(0.4 * height)), (width // 9, height // 7), 0, 0, 360, (200, 160, 140), -1)
    cv2.ellipse(room, (x, height), (width // 4, height // 2), 0, 0, 360, (40, 50, 90), -1)
    return room


def around(kind: str, number: int) -> np.ndarray:
    """What lies around the talk."""
    if kind == "blurred":
        return cv2.GaussianBlur(talk(number, WIDTH, HEIGHT), (0, 0), 20)
    page = np.full((HEIGHT, WIDTH, 3), 0 if kind in ("pillars", "letterbox") else (238, 236, 228), np.uint8)
    if kind in ("slide", "inset"):
        for line in range(8):
            cv2.rectangle(page, (60, 80 + 60 * line), (500 - 30 * (line % 3), 100 + 60 * line), (70, 70, 80), -1)
    return page


def composed(kind: str, number: int) -> np.ndarray:
    x1, y1, x2, y2 = INNER[kind]
    picture = around(kind, number)
    picture[y1:y2, x1:x2] = talk(number, x2 - x1, y2 - y1)
    return picture


def steps(picture: np.ndarray, number: int) -> Steps:
    """Of the small picture that `split` sees, with coding's noise."""
    small = cv2.resize(picture, (256, round(256 * HEIGHT / WIDTH)), interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(number).normal(0, 1.5, small.shape[:2])
    return Steps.of(np.clip(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY) + noise, 0, 255).astype(np.uint8))


def holding(frames: list[Box], x: int, y: int) -> list[Box]:
    """Those around a point, the smallest first."""
    held = [box for box in frames if box[0] <= x < box[2] and box[1] <= y < box[3]]
    return sorted(held, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))


@pytest.mark.parametrize("kind", INNER)
def test_the_frame_around_the_talk_is_found_and_lies_inside_its_border(kind: str) -> None:
    frames = inner_frames([steps(composed(kind, n), n) for n in range(PICTURES)], WIDTH, HEIGHT)
    found = holding(frames, MIDDLE_OF[kind], 600)
    assert found, frames
    inside = [low - true for low, true in zip(found[0][:2], INNER[kind][:2], strict=True)]
    inside += [true - high for high, true in zip(found[0][2:], INNER[kind][2:], strict=True)]
    assert all(0 <= px <= 20 for px in inside), (found[0], INNER[kind])  # four pixels of 256


def room(number: int, *, degrees: float = 0.0) -> np.ndarray:
    """A talk before a wall with a door, a poster and a table, seen by a camera that leans a little."""
    wall = np.full((900, 1500, 3), (190, 180, 165), np.uint8)
    cv2.rectangle(wall, (900, 0), (1150, 900), (110, 80, 60), -1)  # a door
    cv2.rectangle(wall, (180, 120), (480, 400), (230, 230, 235), -1)  # a poster
    turned = cv2.warpAffine(wall, cv2.getRotationMatrix2D((750, 450), degrees, 1), (1500, 900))[90:810, 110:1390]
    grain = cv2.resize(photograph(), (WIDTH, HEIGHT)).astype(int) // 8
    picture = np.clip(turned + grain - 16, 0, 255).astype(np.uint8)
    x = int(680 + 60 * np.sin(number))
    cv2.ellipse(picture, (x, 250), (90, 120), 0, 0, 360, (200, 160, 140), -1)
    cv2.ellipse(picture, (x, 720), (310, 360), 0, 0, 360, (40, 50, 90), -1)
    cv2.rectangle(picture, (0, 640), (WIDTH, HEIGHT), (90, 60, 40), -1)  # a table across all of it
    return picture


@pytest.mark.parametrize("degrees", [0.0, 1.5])
def test_a_room_frames_nobody(degrees: float) -> None:
    frames = inner_frames([steps(room(n, degrees=degrees), n) for n in range(PICTURES)], WIDTH, HEIGHT)
    assert not holding(frames, 680, 300)


@pytest.mark.parametrize("name", ["study", "lounge", "stage", "news", "class"])
def test_lines_that_lie_alike_on_both_sides_are_no_letterbox_and_no_pillars(name: str) -> None:
    """The rails of a blackboard and a skirting board: beyond a letterbox or pillars nothing is as sharp as that."""
    pictures = []
    for number in range(PICTURES):
        picture = backdrop(name)[..., ::-1].copy()
        x = int(640 + 40 * np.sin(number))
        cv2.ellipse(picture, (x, 250), (60, 90), 0, 0, 360, (200, 160, 140), -1)
        cv2.ellipse(picture, (x, 720), (160, 300), 0, 0, 360, (40, 50, 90), -1)
        pictures.append(steps(picture, number))
    frames = inner_frames(pictures, WIDTH, HEIGHT)
    assert not [box for box in frames if (box[0], box[2]) == (0, WIDTH) or (box[1], box[3]) == (0, HEIGHT)]


def test_a_border_that_comes_and_goes_or_is_seen_too_seldom_is_none() -> None:
    with_border = [steps(composed("pillars", n), n) for n in range(PICTURES)]
    without = [steps(talk(n, WIDTH, HEIGHT), n) for n in range(PICTURES)]
    assert inner_frames([*with_border[:3], *without[:3]], WIDTH, HEIGHT) == []
    assert inner_frames(with_border[: MIN_PICTURES - 1], WIDTH, HEIGHT) == []
    assert inner_frames(with_border[:MIN_PICTURES], WIDTH, HEIGHT)
