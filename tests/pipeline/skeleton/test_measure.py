import warnings

import numpy as np
import pytest

from pipeline.skeleton import layout, measure

from .people import person


def test_sizes() -> None:
    keypoints, scores = person(width=120)
    boxes = np.tile([100.0, -50.0, 300.0, 350.0], (50, 1))
    boxes[3] = np.nan
    assert measure.shoulder_width_px(keypoints, scores) == pytest.approx(120)
    assert measure.body_scale_px(keypoints, scores) == pytest.approx(120)
    assert measure.figure_height_px(keypoints, scores) == pytest.approx((3 + 0.4 + 1 / 2.3) * 120)
    assert measure.box_height_px(boxes) == 400
    assert measure.box_share(boxes, 400, 400) == pytest.approx(200 * 350 / 400**2)


def test_completeness_counts_frames_with_the_score() -> None:
    keypoints, scores = person(10)
    scores[:3, layout.LEFT_WRIST] = 0.2
    keypoints[9, layout.NOSE] = np.nan
    share = measure.completeness(keypoints, scores, 0.3)
    assert share["left_wrist"] == pytest.approx(0.7)
    assert share["nose"] == pytest.approx(0.9)
    assert share["right_hip"] == 1


@pytest.mark.parametrize("yaw", [0, 20, -40, 60, -75])
def test_yaw_follows_the_turn(yaw: float) -> None:
    keypoints, scores = person(yaw=yaw)
    assert measure.head_yaw_degrees(keypoints, scores)[0] == pytest.approx(abs(yaw), abs=1.5)
    assert measure.yaw_degrees(keypoints, scores) == pytest.approx(abs(yaw), abs=2)


def test_a_glance_aside_is_no_side_view() -> None:
    keypoints, scores = person()
    turned, _ = person(yaw=70)
    keypoints[:, :5] = turned[:, :5]
    assert measure.head_yaw_degrees(keypoints, scores)[0] > 60
    assert measure.yaw_degrees(keypoints, scores) < 10


@pytest.mark.parametrize(("yaw", "share"), [(0, 1), (50, 1), (180, 0)])
def test_front_and_back(yaw: float, share: float) -> None:
    assert measure.front_share(*person(yaw=yaw)) == share


def test_a_back_whose_sides_are_named_by_the_picture() -> None:
    keypoints, scores = person()
    scores[:, layout.FACE] = 0.02
    assert measure.front_share(keypoints, scores) == 0


def test_motion_is_measured_against_the_neck() -> None:
    keypoints, scores = person(100, width=100)
    t = np.arange(100) / 25
    sway = keypoints + np.stack([60 * t, 0 * t], -1)[:, None]
    assert measure.arm_motion(sway, scores)["p95"] == pytest.approx(0, abs=1e-6)
    assert measure.arm_range(sway, scores) == pytest.approx(0, abs=1e-6)
    keypoints[:, [7, 8, 9, 10]] += np.stack([50 * t, 0 * t], -1)[:, None]
    keypoints[:, 91:] += np.stack([50 * t, 0 * t], -1)[:, None]
    assert measure.arm_motion(keypoints, scores)["median"] == pytest.approx(0.5, abs=1e-6)
    assert measure.arm_range(keypoints, scores) == pytest.approx(0.5 * 0.9 * t[-1], rel=0.01)


def test_trembling_is_hardly_motion_but_jitter() -> None:
    keypoints, scores = person(100, width=100)
    rng = np.random.default_rng(0)
    noisy = keypoints + rng.normal(0, 1, keypoints.shape)
    assert measure.arm_motion(noisy, scores)["median"] < 0.25
    assert 0.8 < measure.jitter_px(noisy, scores) < 2
    assert measure.jitter_px(noisy, scores, px=0.5) == pytest.approx(measure.jitter_px(noisy, scores) / 2)
    assert measure.jitter_px(keypoints, scores) == pytest.approx(0, abs=1e-6)


def test_a_side_view_does_not_blow_up_the_unit() -> None:
    keypoints, scores = person(yaw=89)
    assert measure.shoulder_width_px(keypoints, scores) < 5
    assert measure.body_scale_px(keypoints, scores) > 90


def test_hands_and_face() -> None:
    keypoints, scores = person(10)
    scores[:4, layout.LEFT_HAND] = 0.1
    keypoints[2:8, layout.RIGHT_HAND] = np.nan
    scores[9, layout.FACE] = 0
    assert measure.hands_seen_share(keypoints, scores) == {
        "left": 0.6, "right": 0.4, "any": pytest.approx(0.8), "both": pytest.approx(0.2),
    }  # fmt: skip
    assert measure.face_seen_share(keypoints, scores) == pytest.approx(0.9)


def test_other_person_in_the_crop() -> None:
    other = person(10, x=900)
    other[0][5:] = np.nan
    assert measure.other_person_share([other], (500, 0, 700, 720)) == 0
    assert measure.other_person_share([other], (700, 0, 1000, 720)) == pytest.approx(0.5)
    assert measure.other_person_share([], (0, 0, 10, 10)) == 0


def test_nobody_is_nan_without_warnings() -> None:
    keypoints, scores = np.full((6, layout.K, 2), np.nan), np.zeros((6, layout.K))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = [
            measure.shoulder_width_px(keypoints, scores),
            measure.figure_height_px(keypoints, scores),
            measure.yaw_degrees(keypoints, scores),
            measure.front_share(keypoints, scores),
            measure.arm_motion(keypoints, scores)["p95"],
            measure.arm_range(keypoints, scores),
            measure.jitter_px(keypoints, scores),
        ]
    assert np.isnan(values).all()
    assert measure.face_seen_share(keypoints, scores) == 0
