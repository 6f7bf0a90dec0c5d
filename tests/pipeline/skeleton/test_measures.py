"""Each stored measure on skeletons that were made to have a known value of it."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

from pipeline.skeleton import layout, measures
from pipeline.tables.kinds import KINDS
from tests.pipeline.skeleton.people import person

HEIGHT = 400.0  # of the boxes, px


def boxes(frames: int = 50, height: float = HEIGHT) -> np.ndarray:
    return np.tile([540.0, 200.0, 740.0, 200.0 + height], (frames, 1))


def trembling(keypoints: np.ndarray, deviation_px: float) -> np.ndarray:
    return keypoints + np.random.default_rng(0).normal(0, deviation_px, keypoints.shape)


def test_every_measure_has_a_column_and_the_value_that_was_planted() -> None:
    keypoints, scores = person(100, width=160)
    scores[:30, layout.LEFT_ELBOW] = 0.1
    keypoints[20:60, layout.LEFT_WRIST] = np.nan
    scores[:20, layout.LEFT_HAND] = 0.1
    scores[10:50, layout.RIGHT_HAND] = 0.1
    scores[95:, layout.FACE] = 0.1
    found = measures.measure_person(keypoints, scores, boxes(100), 1280, 720)
    assert np.isnan(found.pop("head_cut_share"))
    assert np.isnan(found.pop("head_yaw_degrees"))  # this drawing's face is no face: see `test_view`
    assert set(found) <= set(KINDS["pose_measures"].schema.names)
    assert found == pytest.approx(
        {
            "seen_share": 1,
            "upper_body_share": 0.7,
            "wrists_share": 0.6,
            "shoulder_width_px": 160,
            "shoulder_width_share": 160 / 1280,
            "box_height_px": HEIGHT,
            "box_height_share": HEIGHT / 720,
            "yaw_degrees": 0,
            "body_yaw_degrees": np.degrees(np.arccos(1 / (0.75 * np.hypot(0.2, 1.5)))),
            "back_share": 0,
            "wrist_speed_median": 0,
            "wrist_speed_p95": 0,
            "arm_range": 0,
            "own_motion": 0,
            "hand_seen_share": 0.9,
            "both_hands_share": 0.5,
            "hands_on_one_share": 0,
            "face_seen_share": 0.95,
            "jitter": 0,
        },
        abs=1e-5,
    )


# What is seen.


def test_a_box_that_is_missing_is_a_frame_without_the_person() -> None:
    own = boxes(10)
    own[8:, 1] = np.nan
    found = measures.measure_person(*person(10), own, 1280, 720)
    assert (found["seen_share"], found["box_height_px"]) == (pytest.approx(0.8), HEIGHT)


@pytest.mark.parametrize("joint", measures.UPPER_BODY)
def test_the_joint_that_is_seen_least_often(joint: str) -> None:
    keypoints, scores = person(10)
    k = layout.UPPER_BODY[joint]
    scores[:3, k] = 0.2
    keypoints[9, k] = np.nan
    assert measures.joints_seen_share(keypoints, scores, (joint,)) == pytest.approx(0.6)
    assert measures.worst_joint(keypoints, scores) == (joint, pytest.approx(0.6))
    assert measures.worst_joint(keypoints, scores, min_score=0.1)[1] == pytest.approx(0.9)


def test_joints_count_where_all_of_them_are_seen() -> None:
    keypoints, scores = person(10)
    scores[:3, layout.LEFT_WRIST] = 0.2
    keypoints[2:5, layout.RIGHT_WRIST] = np.nan
    assert measures.joints_seen_share(keypoints, scores, ("left_wrist", "right_wrist")) == pytest.approx(0.5)
    assert measures.joints_seen_share(keypoints, scores, ("nose",)) == 1


def test_hands_and_face() -> None:
    keypoints, scores = person(10)
    scores[:4, layout.LEFT_HAND] = 0.1
    keypoints[2:8, layout.RIGHT_HAND] = np.nan
    scores[9, layout.FACE] = 0
    assert measures.hands_seen_shares(keypoints, scores) == (pytest.approx(0.8), pytest.approx(0.2))
    assert measures.face_seen_share(keypoints, scores) == pytest.approx(0.9)


def test_both_hands_on_one_hand() -> None:
    keypoints, scores = person(10)
    rng = np.random.default_rng(0)
    hand = rng.uniform(0, 40, (21, 2))  # 40 px wide
    keypoints[:, layout.LEFT_HAND] = hand + np.array([600, 500])
    keypoints[:, layout.RIGHT_HAND] = hand * [-1, 1] + [640, 500]  # folded over it: mirrored, in the same place
    assert measures.hands_on_one_share(keypoints, scores) == 0
    keypoints[:4, layout.RIGHT_HAND] = keypoints[:4, layout.LEFT_HAND] + rng.normal(0, 3, (4, 21, 2))
    assert measures.hands_on_one_share(keypoints, scores) == pytest.approx(0.4)
    scores[0, layout.RIGHT_HAND] = 0.1
    keypoints[1, layout.LEFT_HAND.start] = np.nan
    assert measures.hands_on_one_share(keypoints, scores) == pytest.approx(0.2)
    keypoints[:, layout.RIGHT_HAND] += 40
    assert measures.hands_on_one_share(keypoints, scores) == 0


def test_a_part_is_seen_by_the_mean_score_of_all_its_points() -> None:
    keypoints, scores = person(4)
    scores[:, layout.FACE] = 0.5
    keypoints[0, layout.FACE.start : layout.FACE.start + 34] = np.nan  # half of 68: a mean of 0.25
    keypoints[1, layout.FACE.start : layout.FACE.start + 27] = np.nan  # a mean of 0.301
    assert measures.face_seen_share(keypoints, scores) == pytest.approx(0.75)


def test_heads_and_shoulders_of_others_inside_the_crop() -> None:
    near, far = person(10, x=900), person(10, x=1200)
    near[0][5:] = np.nan
    assert measures.others_in_crop([near], (500, 0, 700, 720)) == 0
    assert measures.others_in_crop([near], (700, 0, 1000, 720)) == pytest.approx(0.5)
    assert measures.others_in_crop([near, far], (700, 0, 1300, 720)) == 1
    assert measures.others_in_crop([], (0, 0, 10, 10)) == 0


def test_three_points_make_a_person_and_a_hand_makes_none() -> None:
    keypoints, scores = person(1, x=1200)
    keypoints[:, layout.LEFT_HAND] = [600, 300]
    assert measures.others_in_crop([(keypoints, scores)], (500, 200, 700, 400)) == 0
    keypoints[:, layout.FACE.start : layout.FACE.start + 2] = [600, 300]
    assert measures.others_in_crop([(keypoints, scores)], (500, 200, 700, 400)) == 0
    keypoints[:, layout.NOSE] = [500, 200]  # the crop is half open: its first pixel is inside
    assert measures.others_in_crop([(keypoints, scores)], (500, 200, 700, 400)) == 1
    keypoints[:, layout.FACE.start : layout.FACE.start + 2] = [500, 200]
    assert measures.others_in_crop([(keypoints, scores)], (300, 100, 501, 201)) == 1
    assert measures.others_in_crop([(keypoints, scores)], (300, 100, 500, 200)) == 0


# How large the person is.


def test_sizes() -> None:
    keypoints, scores = person(width=120)
    own = boxes()
    own[3] = np.nan
    assert measures.shoulder_width_px(keypoints, scores) == pytest.approx(120)
    assert measures.body_scale_px(keypoints, scores) == pytest.approx(120)
    assert measures.box_height_px(own) == HEIGHT


def test_a_side_view_does_not_blow_up_the_unit() -> None:
    keypoints, scores = person(yaw=89)
    assert measures.shoulder_width_px(keypoints, scores) < 5
    assert measures.body_scale_px(keypoints, scores) == pytest.approx(1.8 * 120 / 2.3, rel=0.01)


# From which side.


@pytest.mark.parametrize("yaw", [0, 20, -40, 60, -75])
def test_yaw_follows_the_turn(yaw: float) -> None:
    keypoints, scores = person(yaw=yaw)
    assert measures.head_yaw_degrees(keypoints, scores)[0] == pytest.approx(abs(yaw), abs=1.5)
    assert measures.body_yaw_degrees(keypoints, scores)[0] == pytest.approx(abs(yaw), abs=2)
    assert measures.yaw_degrees(keypoints, scores, boxes()) == pytest.approx(abs(yaw), abs=2)


def test_a_glance_aside_is_no_side_view() -> None:
    keypoints, scores = person()
    turned, _ = person(yaw=70)
    keypoints[:, :5] = turned[:, :5]
    assert measures.head_yaw_degrees(keypoints, scores)[0] > 60
    assert measures.yaw_degrees(keypoints, scores, boxes()) < 10


def test_a_back_is_turned_as_little_as_a_front() -> None:
    keypoints, scores = person(yaw=170)
    scores[:] = 1
    assert measures.head_yaw_degrees(keypoints, scores)[0] > 160
    assert measures.yaw_degrees(keypoints, scores, boxes()) == pytest.approx(10, abs=2)
    shoulders = [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER]
    keypoints[:, shoulders] = person(yaw=60)[0][:, shoulders]
    assert measures.yaw_degrees(keypoints, scores, boxes()) == pytest.approx(10, abs=2), "of the head"


@pytest.mark.parametrize("yaw", [60, -75])
@pytest.mark.parametrize("hips", [True, False])
def test_without_a_face_the_shoulders_tell_the_turn(yaw: float, hips: bool) -> None:
    """Over the torso's length, or over the box's height where no hip is seen."""
    keypoints, scores = person(yaw=yaw)
    scores[:, layout.FACE] = scores[:, :5] = 0.02
    scores[:, [layout.LEFT_HIP, layout.RIGHT_HIP]] = hips
    assert np.isnan(measures.head_yaw_degrees(keypoints, scores)).all()
    assert measures.yaw_degrees(keypoints, scores, boxes(height=120 / 0.36)) == pytest.approx(abs(yaw), abs=8)


@pytest.mark.parametrize(("yaw", "share"), [(0, 0), (50, 0), (180, 1), (90, 0)])
def test_front_and_back(yaw: float, share: float) -> None:
    assert measures.back_share(*person(yaw=yaw), boxes()) == share


def test_a_back_whose_sides_are_named_by_the_picture() -> None:
    keypoints, scores = person(10)
    scores[:4, layout.FACE] = scores[:4, layout.NOSE] = 0.02
    scores[4:8, layout.FACE] = 0.02  # a nose is a front
    assert measures.back_share(keypoints, scores, boxes(10)) == pytest.approx(0.4)


def test_a_profile_without_a_face_is_no_back() -> None:
    keypoints, scores = person(yaw=80)
    scores[:, layout.FACE] = scores[:, layout.NOSE] = 0.02
    assert measures.back_share(keypoints, scores, boxes()) == 0


# How the person moves.


def test_motion_is_measured_against_the_neck() -> None:
    keypoints, scores = person(100, width=100)
    t = np.arange(100) / 25
    right = np.stack([50 * t, 0 * t], -1)[:, None]
    swaying = keypoints + 1.2 * right
    for speeds in (measures.wrist_speeds(swaying, scores), measures.arm_speeds(swaying, scores)):
        np.testing.assert_allclose(speeds, 0, atol=1e-6)
    assert measures.arm_range(swaying, scores) == pytest.approx(0, abs=1e-6)
    keypoints[:, [7, 8, 9, 10]] += right
    keypoints[:, 91:] += right
    for speeds in (measures.wrist_speeds(keypoints, scores), measures.arm_speeds(keypoints, scores)):
        np.testing.assert_allclose(speeds, 0.5, atol=1e-6)
    assert measures.arm_range(keypoints, scores) == pytest.approx(0.5 * 0.9 * t[-1], rel=0.01)


def test_the_faster_wrist_counts_and_one_is_enough() -> None:
    keypoints, scores = person(100, width=100)
    t = np.arange(100) / 25
    keypoints[:, layout.LEFT_WRIST, 1] += 30 * t
    keypoints[:, layout.RIGHT_WRIST, 1] += 80 * t
    np.testing.assert_allclose(measures.wrist_speeds(keypoints, scores), 0.8, atol=1e-6)
    assert measures.arm_range(keypoints, scores) == pytest.approx(0.8 * 0.9 * t[-1], rel=0.01)
    scores[:, layout.RIGHT_WRIST] = 0
    np.testing.assert_allclose(measures.wrist_speeds(keypoints, scores), 0.3, atol=1e-6)
    scores[:, layout.LEFT_WRIST] = 0
    assert np.isnan(measures.wrist_speeds(keypoints, scores)).all()


def test_the_faster_hand_weighs_as_much_as_the_arms() -> None:
    keypoints, scores = person(100, width=100)
    keypoints[:, layout.RIGHT_HAND, 1] += 50 * np.arange(100)[:, None] / 25
    np.testing.assert_allclose(measures.arm_speeds(keypoints, scores), 0.25, atol=1e-6)


def test_median_and_95th_percentile_of_an_accelerating_wrist() -> None:
    """The filter leaves a parabola as it is, so that the speeds are known exactly: from 0 to 4 shoulder widths a second."""
    keypoints, scores = person(250, width=160)
    keypoints[:, layout.RIGHT_WRIST, 1] += 160 * 0.2 * (np.arange(250) / 25) ** 2
    found = measures.measure_person(keypoints, scores, boxes(250), 1280, 720)
    speeds = 0.4 * (np.arange(249) + 0.5) / 25
    assert found["wrist_speed_median"] == pytest.approx(np.percentile(speeds, 50))
    assert found["wrist_speed_p95"] == pytest.approx(np.percentile(speeds, 95))


def test_trembling_is_hardly_motion_but_jitter() -> None:
    keypoints, scores = person(250, width=100)
    noisy = trembling(keypoints, 1)
    assert np.median(measures.arm_speeds(noisy, scores)) < 0.25
    assert np.median(measures.wrist_speeds(noisy, scores)) < 0.25
    assert 0.008 < measures.body_jitter(noisy, scores) < 0.02
    twice = keypoints + 2 * (noisy - keypoints)
    assert measures.body_jitter(twice, scores) == pytest.approx(2 * measures.body_jitter(noisy, scores), rel=0.05)
    assert measures.body_jitter(keypoints, scores) == pytest.approx(0, abs=1e-6)


def test_jitter_is_of_the_body_alone() -> None:
    keypoints, scores = person(100)
    noisy = trembling(keypoints, 3)
    noisy[:, : layout.RIGHT_HIP + 1] = keypoints[:, : layout.RIGHT_HIP + 1]
    assert measures.body_jitter(noisy, scores) == pytest.approx(0, abs=1e-6)


def test_what_is_seen_for_no_longer_than_the_filter_has_no_jitter() -> None:
    keypoints, scores = person(40)
    keypoints[11:] = np.nan
    assert np.isnan(measures.body_jitter(keypoints, scores))


def test_nobody_is_nan_without_warnings() -> None:
    keypoints, scores = np.full((6, layout.K, 2), np.nan), np.zeros((6, layout.K))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measures.measure_person(keypoints, scores, np.full((6, 4), np.nan), 1280, 720)
        speeds = measures.arm_speeds(keypoints, scores)
    shares = {
        "seen_share",
        "upper_body_share",
        "wrists_share",
        "hand_seen_share",
        "both_hands_share",
        "hands_on_one_share",
        "face_seen_share",
    }
    assert {name for name, value in found.items() if value == 0} == shares
    assert {name for name, value in found.items() if np.isnan(value)} == set(found) - shares
    assert np.isnan(speeds).all()


def test_planning_does_not_wait_for_scipy() -> None:
    """The stage takes its version from the measures, and a run with nothing to do reads no more than that."""
    code = "import sys, stages.measure_pose; print([m for m in ('scipy', 'cv2', 'pandas') if m in sys.modules])"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "[]"
