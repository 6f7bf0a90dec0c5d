"""Shots and camera motion against pictures whose cuts and camera paths are known."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest
from scenedetect.detectors import ContentDetector

from pipeline.media.shots.colour import content_score
from pipeline.media.shots.finder import ShotFinder, analysis_size
from pipeline.media.shots.footage import Footage
from pipeline.media.shots.motion import MotionMeter
from pipeline.media.shots.settings import ShotSettings
from tests.pipeline.media.shots.scenes import HEIGHT, WIDTH, Picture, faded, look, room, shot


def found(pictures: Iterable[Picture], repeated: set[int] = frozenset(), **settings: float) -> Footage:  # type: ignore[assignment]
    finder = ShotFinder((WIDTH, HEIGHT), ShotSettings(**settings))
    for n, picture in enumerate(pictures):
        finder.feed(n, picture, n in repeated)
    return finder.finish()


def flat(level: int, frames: int) -> list[Picture]:
    return [np.full((HEIGHT, WIDTH, 3), level, np.uint8)] * frames


def test_hard_cuts_are_found_to_the_frame() -> None:
    lengths = [40, 33, 51, 9, 60]
    footage = found(p for seed, n in enumerate(lengths) for p in shot(seed, n))
    starts = np.cumsum([0, *lengths]).tolist()
    assert footage.cuts == starts[1:-1]
    assert footage.shots == list(pairwise(starts))


@pytest.mark.parametrize("at", [1, 2, 97, 98])
def test_cuts_near_the_ends_are_found(at: int) -> None:
    assert found([*shot(1, at), *shot(2, 99 - at)]).cuts == [at]


def test_a_cut_in_a_source_of_ten_pictures_a_second() -> None:
    """Repeated grid pictures are not looked at, and the cut lies on the first grid picture of the new shot."""
    source = [*shot(3, 20), *shot(4, 20)]
    shown = [min(int(n / 2.5 + 0.5), 39) for n in range(100)]
    repeated = {n for n in range(1, 100) if shown[n] == shown[n - 1]}
    footage = found((source[k] for k in shown), repeated)
    assert footage.cuts == [shown.index(20)]
    assert footage.repeated_share(0, 100) == pytest.approx(0.6, abs=0.02)
    assert footage.coded_again(0, 100) == []


@pytest.mark.parametrize("widths_per_second", [0.1, 0.3, 0.6])
def test_a_pan_is_no_cut_and_its_speed_is_measured(widths_per_second: float) -> None:
    step = widths_per_second * WIDTH / 25
    footage = found(shot(5, 70, xs=[40 + step * k for k in range(70)]))
    assert footage.cuts == []
    assert footage.camera_motion(0, 70) == pytest.approx(widths_per_second, rel=0.15)


def test_a_pan_that_begins_at_once_is_no_cut() -> None:
    xs = [100.0] * 30 + [100 + 5 * k for k in range(40)]
    assert found(shot(6, 70, xs=xs)).cuts == []


def test_a_zoom_is_no_cut_but_is_camera_motion() -> None:
    footage = found(shot(7, 75, zooms=[1.0 + 0.008 * k for k in range(75)]))
    assert footage.cuts == []
    assert 0.03 < footage.camera_motion(0, 75) < 0.12


def test_fast_hands_are_neither_a_cut_nor_camera_motion() -> None:
    footage = found(shot(8, 75, turns_per_second=3.0))
    assert footage.cuts == []
    assert footage.camera_motion(0, 75) < 0.01


def test_a_whip_parts_two_shots_and_belongs_to_neither() -> None:
    path = [60.0] * 40 + [60 + 45 * k for k in range(1, 9)] + [420.0] * 40
    footage = found(shot(9, len(path), xs=path))
    assert len(footage.shots) == 2
    (first, end), (second, last) = footage.shots
    assert (first, last) == (0, len(path))
    assert 38 <= end <= 41
    assert 46 <= second <= 49


def test_a_punch_in_is_a_cut() -> None:
    zooms = [1.0] * 40 + [1.25] * 40
    assert found(shot(10, 80, zooms=zooms)).cuts == [40]


@pytest.mark.parametrize("out", [11, 38])
def test_time_taken_out_of_a_take_is_a_cut(out: int) -> None:
    take = list(shot(19, 90 + out, turns_per_second=0.5))
    assert found([*take[:40], *take[40 + out :]]).cuts == [40]


def test_pictures_that_a_camera_drops_are_no_jump_in_time() -> None:
    take = list(shot(21, 120, turns_per_second=1.0))
    for k in (38, 60, 82):
        take[k + 1 : k + 4] = [take[k]] * 3
    assert found(take).cuts == []


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize("pictures", [12, 30])
def test_fades_belong_to_no_shot(level: int, pictures: int) -> None:
    first = faded(list(shot(11, 60)), pictures, level)
    second = faded(list(shot(12, 60)), pictures, level)[::-1]
    footage = found([*first, *flat(level, 5), *second])
    assert len(footage.shots) == 2
    (_, end), (begin, _) = footage.shots
    assert 60 - pictures - 1 <= end <= 60 - 0.6 * pictures
    assert 65 + 0.6 * pictures <= begin <= 65 + pictures + 1


def test_a_hard_cut_to_black_costs_no_picture() -> None:
    footage = found([*shot(13, 40), *flat(0, 10), *shot(14, 40)])
    assert footage.shots == [(0, 40), (50, 90)]


def test_a_flash_is_no_cut() -> None:
    pictures = list(shot(15, 60))
    pictures[30] = np.clip(pictures[30].astype(int) + 120, 0, 255).astype(np.uint8)
    assert found(pictures).cuts == []
    assert found(pictures, flash_pictures=0).cuts != []


def test_flat_footage_has_no_shot() -> None:
    footage = found(flat(0, 50))
    assert footage.shots == [] and footage.flat_share == 1.0
    empty = ShotFinder((WIDTH, HEIGHT)).finish()
    assert (empty.frames, empty.shots, empty.cuts) == (0, [], [])


def test_pictures_that_the_source_holds_are_counted() -> None:
    moving = list(shot(16, 60))
    held = [moving[k - k % 3] for k in range(60)]  # 2 of 3 pictures repeat
    footage = found(held)
    assert footage.repeated_share(0, 60) == pytest.approx(2 / 3, abs=0.05)
    assert footage.coded_again(3, 12) == [1, 2, 4, 5, 7, 8]
    assert found([moving[0]] * 60).repeated_share(0, 60) == 1.0


def test_the_score_is_that_of_the_library() -> None:
    import cv2

    before, after = (cv2.cvtColor(look(room(s), 10), cv2.COLOR_RGB2HSV) for s in (1, 2))
    detector = ContentDetector()
    scores = [
        detector._calculate_frame_score(n, cv2.cvtColor(p, cv2.COLOR_HSV2BGR)) for n, p in enumerate((before, after))
    ]
    assert content_score(before, after) == pytest.approx(scores[1], abs=1.0)  # HSV and back rounds


@pytest.mark.parametrize(("dx", "dy"), [(0.5, 0.0), (-3.2, 1.1), (12.0, -4.0)])
def test_shifts_are_measured(dx: float, dy: float) -> None:
    wall = room(20)
    meter = MotionMeter(WIDTH, HEIGHT)
    before, after = (np.ascontiguousarray(look(wall, x, y)[:, :, 1]) for x, y in ((200, 80), (200 - dx, 80 - dy)))
    motion = meter.follow(before, after)
    assert motion is not None
    assert motion.matrix[:, 2] == pytest.approx([dx, dy], abs=0.15)
    assert motion.widths == pytest.approx(np.hypot(dx, dy) / WIDTH, rel=0.1, abs=3e-4)


def test_a_camera_that_rested_is_measured_when_it_moves() -> None:
    wall = room(20)
    meter = MotionMeter(WIDTH, HEIGHT)
    places = [200.0, 200.0, 200.0, 200.4, 203.4, 203.4, 195.4]
    pictures = [np.ascontiguousarray(look(wall, x, 80)[:, :, 1]) for x in places]
    found = [meter.follow(before, after) for before, after in pairwise(pictures)]
    moved = [motion.widths * WIDTH if motion else None for motion in found]
    assert moved == pytest.approx([0, 0, 0.4, 3, 0, 8], abs=0.15)


def test_pictures_without_texture_tell_no_motion() -> None:
    meter = MotionMeter(WIDTH, HEIGHT)
    grey = np.full((HEIGHT, WIDTH), 90, np.uint8)
    assert meter.follow(grey, grey) is None


@pytest.mark.parametrize(
    ("size", "expected"), [((1280, 720), (256, 144)), ((1080, 1920), (144, 256)), ((96, 64), (96, 64))]
)
def test_pictures_are_looked_at_small(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert analysis_size(*size) == expected
