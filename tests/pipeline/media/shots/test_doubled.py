"""Dissolves within one talk: the wall stays, and two poses are seen through each other."""

import cv2
import numpy as np
import pytest

from pipeline.media.shots.doubled import DoubledWatch
from pipeline.media.shots.finder import ShotFinder
from tests.pipeline.media.shots.scenes import HEIGHT, WIDTH, Picture, shot
from tests.pipeline.media.shots.test_sudden import LEAD, talk


def shots(pictures: list[Picture]) -> list[tuple[int, int]]:
    finder = ShotFinder((WIDTH, HEIGHT))
    for number, picture in enumerate(pictures):
        finder.feed(number, picture)
    return finder.finish().shots


def noticed(pictures: list[Picture]) -> bool:
    watch = DoubledWatch()
    for picture in pictures:
        watch.see(np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8))
    return bool(watch.beyond(np.zeros(len(pictures), bool), 0, np.zeros(len(pictures))).any())


@pytest.mark.parametrize("pictures", [12, 18, 25, 40])
def test_a_dissolve_from_pose_to_pose_is_cut_out_whole(pictures: int) -> None:
    one, other = talk(LEAD + pictures, turn=800), talk(LEAD + pictures, 0.3, turn=800)
    mixed = [
        cv2.addWeighted(other[k], k / pictures, one[LEAD + k], 1 - k / pictures, 0).astype(np.uint8)
        for k in range(pictures)
    ]
    (_, end), (first, _) = shots([*one[:LEAD], *mixed, *other[pictures:]])
    assert LEAD - 9 <= end <= LEAD + 4 and LEAD + pictures - 4 <= first <= LEAD + pictures + 9  # the guard is 3


@pytest.mark.parametrize("turn", [25, 50, 100, 300])
def test_somebody_who_moves_is_not_two(turn: int) -> None:
    assert not noticed(talk(3 * LEAD, turn=turn))


def test_a_picture_that_goes_out_of_focus_and_comes_back_is_no_dissolve() -> None:
    """All of it loses contrast, and the same pose is there afterwards."""
    pictures = talk(2 * LEAD, turn=100_000)
    for k in range(20):
        blur = 0.1 + 2 * np.sin(np.pi * k / 20)
        pictures[LEAD + k] = np.asarray(cv2.GaussianBlur(pictures[LEAD + k], (0, 0), blur), np.uint8)
    assert not noticed(pictures) and shots(pictures) == [(0, 2 * LEAD)]


def test_where_something_is_known_or_the_camera_moves_nothing_is_added() -> None:
    one, other = talk(LEAD + 12, turn=800), talk(LEAD + 12, 0.3, turn=800)
    mixed = [cv2.addWeighted(other[k], k / 12, one[LEAD + k], 1 - k / 12, 0) for k in range(12)]
    pictures = [*one[:LEAD], *mixed, *other[12:]]
    watch, known = DoubledWatch(), np.zeros(len(pictures), bool)
    for picture in pictures:
        watch.see(np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8))
    still, moving = np.zeros(len(pictures)), np.full(len(pictures), 0.002)
    assert watch.beyond(known, 12, still).any()
    assert not watch.beyond(known, 12, moving).any()
    known[LEAD - 8] = True
    assert not watch.beyond(known, 12, still).any()


@pytest.mark.parametrize("rate", [-0.006, 0.004, 0.008, 0.012])
def test_a_zoom_over_a_wall_is_no_dissolve(rate: float) -> None:
    zooms = [1.6 + rate * k if rate < 0 else 1 + rate * k for k in range(90)]
    assert shots(list(shot(7, 90, zooms=zooms))) == [(0, 90)]


def test_pictures_of_one_colour_and_very_small_ones() -> None:
    for shape in ((144, 256, 3), (4, 4, 3)):
        assert not noticed([np.full(shape, k, np.uint8) for k in range(100)])
