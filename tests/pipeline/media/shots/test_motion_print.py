"""Motion prints: what is noted of a film's small pictures, and that clips of one shot join without a gap."""

import numpy as np
import pytest

from pipeline.media.shots.finder import ShotFinder
from pipeline.media.shots.motion_print import CELLS, EVERY, MotionPrint, series

SIZE = 64, 32


def printed(pictures: list[np.ndarray]) -> MotionPrint:
    prints = MotionPrint()
    for n, picture in enumerate(pictures):
        prints.see(n, picture)
    return prints


def noise(frames: int) -> list[np.ndarray]:
    return list(np.random.default_rng(1).integers(0, 255, (frames, SIZE[1], SIZE[0]), dtype=np.uint8))


def test_a_cell_says_how_much_changed_in_it() -> None:
    pictures = [np.full((SIZE[1], SIZE[0]), 100, np.uint8) for _ in range(6)]
    pictures[2][:8, 16:32] += 9  # the second cell of the first row, until the next picture
    values = series(printed(pictures).motion(0, 6, 0))
    expected = np.zeros((2, CELLS**2))  # of pictures 2 and 4: 0 has none before it
    expected[:, 1] = 3
    assert values == pytest.approx(expected)


@pytest.mark.parametrize("border", [99, 100, 101])
def test_clips_of_one_shot_join_without_a_gap(border: int) -> None:
    prints = printed(noise(200))
    assert prints.motion(0, border, 0) + prints.motion(border, 200, 0) == prints.motion(0, 200, 0)
    assert len(series(prints.motion(0, 200, 0))) == 200 // EVERY - 1


def test_what_differs_across_a_cut_is_left_out() -> None:
    pictures = noise(60)
    pictures[:30] = [pictures[0]] * 30
    pictures[30:] = [pictures[30]] * 30
    prints = printed(pictures)
    assert series(prints.motion(0, 60, 0)).max() > 5
    assert series(prints.motion(0, 30, 0)).max() == series(prints.motion(30, 60, 30)).max() == 0


def test_a_scene_is_what_most_seconds_show() -> None:
    pictures = [np.full((SIZE[1], SIZE[0]), 50, np.uint8) for _ in range(125)]
    for picture in pictures:
        picture[:, :32] = 200
    pictures[25] = pictures[25][::-1, ::-1]
    scene = np.frombuffer(printed(pictures).scene(0, 125), np.uint8).reshape(8, 8)
    assert (scene == np.repeat([200, 50], 4)).all()
    assert printed(pictures).scene(3, 20) == printed(pictures).scene(0, 1), "of a clip within a second, that second"


def test_what_is_broken_off_is_left_out() -> None:
    assert series(b"\0" * 31).shape == (1, 16) and series(b"").shape == (0, 16)


def test_the_finder_notes_repeated_pictures_as_still() -> None:
    finder = ShotFinder(SIZE)
    pictures = [np.repeat(picture[..., None], 3, 2) for picture in noise(20)]
    for n in range(40):
        finder.feed(n, pictures[n // 10], repeated=n % 10 != 0)
    values = series(finder.finish().print.motion(0, 40, -EVERY))
    assert (np.flatnonzero(values.max(1)) * EVERY).tolist() == [10, 20, 30]
