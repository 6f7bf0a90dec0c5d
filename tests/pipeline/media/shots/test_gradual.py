"""Dissolves, wipes and irises whose mixed pictures are known, and what looks a little like them."""

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.media.shots.blend import fit_blend
from tests.pipeline.media.shots.scenes import HEIGHT, WIDTH, Picture, look, room, shot
from tests.pipeline.media.shots.test_finder import found

LEAD = 60
Share = Callable[[float], np.ndarray]


def dissolve(at: float) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 1), at)


def wipe(at: float) -> np.ndarray:
    return np.broadcast_to(np.arange(WIDTH)[None, :, None] >= WIDTH * (1 - at), (HEIGHT, WIDTH, 1)).astype(float)


def iris(at: float) -> np.ndarray:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    radius = np.hypot(x - WIDTH / 2, y - HEIGHT / 2) / np.hypot(WIDTH / 2, HEIGHT / 2)
    return (radius < at)[..., None].astype(float)


def joined(share: Share, pictures: int, one: int = 31, other: int = 32) -> list[Picture]:
    """Two shots of a waving figure, the later one coming in over so many pictures after the first `LEAD`."""
    before, after = list(shot(one, LEAD + pictures)), list(shot(other, LEAD + pictures))
    mixed = []
    for k in range(pictures):
        part = share((k + 1) / (pictures + 1))
        mixed.append(np.round(before[LEAD + k] * (1 - part) + after[k] * part).astype(np.uint8))
    return [*before[:LEAD], *mixed, *after[pictures:]]


@pytest.mark.parametrize("pictures", [12, 25, 50])
@pytest.mark.parametrize("share", [dissolve, wipe, iris])
def test_a_gradual_transition_is_cut_out_whole(share: Share, pictures: int) -> None:
    footage = found(joined(share, pictures))
    assert len(footage.shots) == 2
    (_, end), (begin, last) = footage.shots
    assert last == 2 * LEAD + pictures
    slack = 2 + pictures // 12  # shots give less than 5 % to the pictures at its very ends
    assert LEAD - 6 <= end <= LEAD + slack
    assert LEAD + pictures - slack <= begin <= LEAD + pictures + 6


def test_two_transitions_one_after_the_other_are_two() -> None:
    first, second = joined(dissolve, 20, 33, 34), joined(wipe, 20, 34, 35)
    footage = found([*first[:-10], *second[10:]])
    assert len(footage.shots) == 3


def test_light_that_comes_up_slowly_is_no_transition() -> None:
    scene = list(shot(36, 120))
    level = np.clip((np.arange(120) - 50) / 20, 0, 1) * 0.9 + 0.55
    lit = [np.clip(picture * gain, 0, 255).astype(np.uint8) for picture, gain in zip(scene, level, strict=True)]
    assert found(lit).cuts == []


def test_a_pan_over_different_rooms_is_no_transition() -> None:
    assert found(shot(37, 120, xs=[20 + 3.5 * k for k in range(120)])).cuts == []


def test_a_zoom_of_half_the_picture_is_no_transition() -> None:
    assert found(shot(38, 100, zooms=[1 + 0.01 * k for k in range(100)])).cuts == []


def test_pictures_that_are_alike_tell_no_blend() -> None:
    picture = look(room(39), 100)
    assert fit_blend(np.stack([picture] * 24)) is None


def test_the_model_leaves_little_of_a_dissolve_and_much_of_a_pan() -> None:
    def small(pictures: list[Picture]) -> np.ndarray:
        return np.stack([picture[::5, ::5] for picture in pictures])

    blend = fit_blend(small(joined(dissolve, 24)[LEAD - 8 : LEAD + 32]))
    moved = fit_blend(small(list(shot(40, 40, xs=[100 + 5 * k for k in range(40)]))))
    assert blend is not None and moved is not None
    assert blend.unexplained < 0.06 < 0.2 < moved.unexplained
    assert blend.changed > 0.6
