"""The control picture: order of channels, what is left out, and that nothing a back-end may be given makes it fail."""

import numpy as np
import pytest

from pipeline.skeleton import layout
from pipeline.skeleton.control import Order, draw_control
from tests.pipeline.skeleton.people import person


def one() -> tuple[np.ndarray, np.ndarray]:
    keypoints, scores = person(1, width=200, x=256, y=220)
    return keypoints[0], scores[0]


@pytest.mark.parametrize("size", [(512, 512), (576, 1024), (1024, 576)])
def test_size_and_channels(size: tuple[int, int]) -> None:
    keypoints, scores = one()
    stable = draw_control(keypoints, scores, size)
    mimic = draw_control(keypoints, scores, size, "mimicmotion")
    assert stable.shape == (size[1], size[0], 3) and stable.dtype == np.uint8
    np.testing.assert_array_equal(stable, mimic[..., ::-1])
    r, g, b = (int(v) for v in stable[220, 206])
    assert r > 100 and g < 30 and b < 30, "the limb to the right shoulder is red"


def test_limbs_are_as_bright_as_both_ends_and_then_darkened() -> None:
    keypoints, scores = one()
    full, half = (draw_control(keypoints, scores * weight, (2160, 2160))[220, 206] for weight in (1, 0.5))
    # The neck's score is 1 where both shoulders are seen.
    assert full.tolist() == [153, 0, 0] and half.tolist() == [int(127 * 0.6), 0, 0]


def test_scores_over_one_saturate() -> None:
    keypoints, scores = one()
    picture = draw_control(keypoints, scores * 1.2, (2160, 2160))
    assert picture[220, 206].tolist() == [153, 0, 0], "as bright as a limb gets"


def test_the_limb_threshold_leaves_limbs_out_but_not_joints() -> None:
    keypoints, scores = one()
    scores[layout.RIGHT_ELBOW] = 0.5
    low, high = (draw_control(keypoints, scores, (512, 512), limb_threshold=t) for t in (0.3, 0.6))
    elbow, middle = keypoints[layout.RIGHT_ELBOW], keypoints[[layout.RIGHT_SHOULDER, layout.RIGHT_ELBOW]].mean(0)
    for point, drawn in ((elbow, True), (middle, False)):
        x, y = (round(float(v)) for v in point)
        assert low[y - 1 : y + 2, x - 1 : x + 2].any()
        assert high[y - 1 : y + 2, x - 1 : x + 2].any() == drawn


def test_what_is_not_seen_is_not_drawn() -> None:
    keypoints, scores = one()
    assert not draw_control(np.full_like(keypoints, np.nan), scores, (512, 512)).any()
    assert not draw_control(keypoints, np.zeros_like(scores), (512, 512)).any()
    assert not draw_control(keypoints, np.full_like(scores, np.nan), (512, 512)).any()
    without = keypoints.copy()
    without[layout.LEFT_HAND] = np.nan
    there = draw_control(keypoints, scores, (512, 512))
    assert (there != draw_control(without, scores, (512, 512))).any(), "a hand that is seen is drawn"


def test_points_far_outside_do_no_harm() -> None:
    keypoints, scores = one()
    for far in (1e9, -1e9, np.inf):
        moved = keypoints.copy()
        moved[::3] = far
        assert draw_control(moved, scores, (512, 512)).shape == (512, 512, 3)


@pytest.mark.parametrize(("order", "least"), [("vace", 0.3), ("wan-s2v", 0.5)])
def test_some_draw_what_is_seen_at_full_brightness_and_nothing_else(order: Order, least: float) -> None:
    keypoints, scores = one()
    size = (624, 624)
    full = draw_control(keypoints, np.full_like(scores, 1.1), size, order)
    assert np.array_equal(full, draw_control(keypoints, np.full_like(scores, least), size, order))
    assert not draw_control(keypoints, np.full_like(scores, least - 0.01), size, order).any()
    assert full[220, 206].tolist() == [0, 0, 153], "the limb to the right shoulder is blue"


@pytest.mark.parametrize(("order", "face", "hands"), [("vace", True, False), ("wan-s2v", False, True)])
def test_some_draw_only_a_part(order: Order, face: bool, hands: bool) -> None:
    keypoints, scores = one()
    full = draw_control(keypoints, scores, (624, 624), order)
    for part, drawn in ((layout.FACE, face), (layout.LEFT_HAND, hands), (layout.RIGHT_HAND, hands)):
        without = keypoints.copy()
        without[part] = np.nan
        assert (draw_control(without, scores, (624, 624), order) != full).any() == drawn
