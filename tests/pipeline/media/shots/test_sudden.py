"""Edits within one talk, where the wall stays and the speaker alone is another: wipes, small jumps, and what looks like them."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from pipeline.media.shots.finder import ShotFinder
from pipeline.media.shots.footage import Footage
from tests.pipeline.media.shots.scenes import HEIGHT, WIDTH, Picture, look, room, shot, with_figure

LEAD = 50  # pictures of either shot alone
Turned = Callable[[float], np.ndarray]  # share of a wipe's time -> (HEIGHT, WIDTH, 1) what shows the later shot


def found(pictures: list[Picture]) -> Footage:
    finder = ShotFinder((WIDTH, HEIGHT))
    for number, picture in enumerate(pictures):
        finder.feed(number, picture)
    return finder.finish()


def talk(frames: int, phase: float = 0.0, turn: int = 100) -> list[Picture]:
    """Somebody who sways and turns their arms, once in so many pictures."""
    wall = look(room(3), WIDTH)
    return [seen(wall, phase + k / turn) for k in range(frames)]


def seen(wall: Picture, phase: float) -> Picture:
    picture = with_figure(wall, phase)
    lean = 14 * np.sin(2 * np.pi * phase)
    cv2.ellipse(picture, (round(128 + lean), 140), (48, 72), 0, 0, 360, (40, 60, 90), -1)
    cv2.circle(picture, (round(128 + 1.5 * lean), 50), 24, (210, 160, 130), -1)
    return picture


X, Y = (np.arange(WIDTH) + 0.5)[None, :, None] / WIDTH, (np.arange(HEIGHT) + 0.5)[:, None, None] / HEIGHT
WIPES: dict[str, Turned] = {
    "left": lambda at: 1 - at <= X,
    "right": lambda at: at > X,
    "up": lambda at: 1 - at <= Y,
    "down": lambda at: at > Y,
}


@pytest.mark.parametrize("way", WIPES)
@pytest.mark.parametrize("pictures", [12, 25])
def test_a_wipe_within_one_talk_is_cut_out_whole(way: str, pictures: int) -> None:
    one, other = talk(LEAD + pictures), talk(LEAD + pictures, 0.35)
    mixed = [np.where(WIPES[way](k / pictures), other[k], one[LEAD + k]) for k in range(pictures)]
    footage = found([*one[:LEAD], *mixed, *other[pictures:]])
    (_, end), (first, _) = footage.shots
    assert LEAD - 6 <= end <= LEAD + 3 and LEAD + pictures - 3 <= first <= LEAD + pictures + 6  # the guard is 3


def test_a_small_jump_in_time_is_found() -> None:
    """Too small for a change of the whole picture, and sudden all the same."""
    before, after = talk(LEAD, turn=800), talk(LEAD, 0.1, turn=800)
    assert found([*before, *after]).cuts == [LEAD]


def captioned(pictures: list[Picture], shown: Callable[[int], tuple[int, int]]) -> list[Picture]:
    """A white caption over the lower pictures; its left and right end in each."""
    for number, picture in enumerate(pictures):
        left, right = shown(number)
        picture[120:136, left:right] = 255
    return pictures


@pytest.mark.parametrize("slides", [False, True], ids=["appears", "slides"])
def test_a_banner_is_no_cut(slides: bool) -> None:
    def shown(number: int) -> tuple[int, int]:
        return 20, 20 + min(216, max(0, number - LEAD) * (16 if slides else 216))

    assert found(captioned(talk(2 * LEAD), shown)).cuts == []


def test_a_jolt_of_the_camera_is_no_cut() -> None:
    wall = room(3)
    pictures = [with_figure(look(wall, WIDTH), 0.2) for _ in range(LEAD)]
    jolted = [
        np.asarray(
            cv2.warpAffine(p, np.float64([[1, 0, 0], [0, 1, -3]]), (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
        )
        for p in pictures
    ]
    assert found([*pictures, *jolted]).cuts == []


def test_a_head_and_then_a_hand_that_jerk_are_no_wipe() -> None:
    """Both lie on one line through height and time, but most of the line is at rest."""
    wall = look(room(3), WIDTH)
    pictures = []
    for number in range(2 * LEAD):
        picture = wall.copy()
        cv2.ellipse(picture, (128, 130), (34, 60), 0, 0, 360, (40, 60, 90), -1)
        cv2.circle(picture, (128 + 10 * (number >= LEAD), 50), 18, (210, 160, 130), -1)
        cv2.circle(picture, (180 + 24 * (number >= LEAD + 9), 110), 12, (210, 160, 130), -1)
        pictures.append(picture)
    assert found(pictures).cuts == []


def test_somebody_who_waves_fast_is_not_cut() -> None:
    for turns in (0.5, 1.0, 2.0):
        assert found(list(shot(4, 150, turns_per_second=turns))).cuts == []
