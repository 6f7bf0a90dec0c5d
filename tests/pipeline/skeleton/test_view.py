"""Head and body each turned by known angles, and the verdict that follows."""

import numpy as np
import pytest

from pipeline.skeleton import layout
from pipeline.skeleton.measures import measure_person
from pipeline.skeleton.view import EVERY, turns
from pipeline.theatre import motion, rig
from stages.judge.settings import CHECKS, JudgeSettings
from tests.pipeline.skeleton.people import person
from tests.pipeline.skeleton.planted_heads import drawn, heads

BOX = (440.0, 90.0, 840.0, 720.0)


def puppet(facing: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A talking puppet turned by this many degrees, as its net sees it: keypoints, scores, the head's planted yaw (F,)."""
    times = np.arange(150) / 25
    camera = rig.Camera(np.tile([640.0, 360.0], (150, 1)), np.ones(150))
    acted = motion.perform(7, times, "talk", np.abs(np.sin(5 * times)))
    posed = rig.pose(acted, (640, 342), 212, facing, camera)
    return posed.keypoints, np.where(posed.visible, 0.9, 0.02), np.degrees(posed.head_facing)


def against(keypoints: np.ndarray, scores: np.ndarray) -> set[str]:
    """Reasons of judge's default limits."""
    boxes = np.tile(np.array(BOX), (len(keypoints), 1))
    found, limits = measure_person(keypoints, scores, boxes, 1280, 720), JudgeSettings()
    checks = [check for check in CHECKS if check.measure in found and getattr(limits, check.setting) is not None]
    return {
        check.reason.code
        for check in checks
        if check.fails(np.array([found[check.measure]]), getattr(limits, check.setting))[0]
    }


@pytest.mark.parametrize("facing", [0, 12, -25, 35])
def test_a_puppet_seen_from_the_front_is_kept(facing: float) -> None:
    keypoints, scores, yaw = puppet(facing)
    found = turns(keypoints, scores)
    assert found["head_yaw_degrees"] == pytest.approx(np.median(np.abs(yaw)), abs=8)  # no adult's proportions
    assert found["body_yaw_degrees"] == pytest.approx(abs(facing), abs=12)
    assert not against(keypoints, scores) & {"side_view", "back_view"}


@pytest.mark.parametrize("facing", [60, -66, 75, -90, 90, 110])
def test_a_puppet_seen_from_the_side_is_dropped_as_such(facing: float) -> None:
    keypoints, scores, _ = puppet(facing)
    assert turns(keypoints, scores)["body_yaw_degrees"] == pytest.approx(
        min(abs(facing), 90), abs=16
    )  # 90 once a side is hidden
    assert "side_view" in against(keypoints, scores)


@pytest.mark.parametrize("facing", [150, 180, -160])
def test_a_puppet_seen_from_behind_is_dropped_as_such(facing: float) -> None:
    assert "back_view" in against(*puppet(facing)[:2])


@pytest.mark.parametrize("yaw", [50, 60, 75])
def test_a_head_that_is_turned_throughout_is_a_side_view_whatever_the_body_does(yaw: float) -> None:
    angles = drawn(150, (0, 5)) + np.array([yaw, 0, 0])
    planted = heads(angles)
    keypoints, scores = person(150, width=250)
    keypoints[:, layout.FACE], scores[:, layout.FACE] = (
        planted.keypoints[:, layout.FACE],
        planted.scores[:, layout.FACE],
    )
    found = turns(keypoints, scores)
    assert found["head_yaw_degrees"] == pytest.approx(yaw, abs=6)
    assert "side_view" in against(keypoints, scores)


def test_a_glance_aside_for_a_third_of_the_clip_is_none() -> None:
    angles = drawn(150, (0, 10))
    angles[:50, 0] = 70
    planted = heads(angles)
    assert turns(planted.keypoints, planted.scores)["head_yaw_degrees"] < 15


@pytest.mark.parametrize("yaw", [0, 20, -45, 60, -75])
def test_shoulders_are_measured_against_the_torso_or_the_head_whichever_expects_less(yaw: float) -> None:
    keypoints, scores = person(20, yaw=yaw)
    scores[:, layout.FACE] = 0.02
    torso = np.hypot(0.5 * np.cos(np.radians(yaw)) - 0.3 * np.cos(np.radians(yaw)), 1.5)
    expected = np.degrees(np.arccos(np.cos(np.radians(yaw)) / (0.75 * torso)))
    assert turns(keypoints, scores)["body_yaw_degrees"] == pytest.approx(expected)
    planted = heads(np.zeros((20, 3)), noise_mm=0, missing=0)
    scale = 120 / 330  # px a millimetre, of somebody 120 px across the shoulders
    face = (planted.keypoints - planted.keypoints[:, layout.FACE].mean(1, keepdims=True))[:, layout.FACE]
    height = np.ptp(face[..., 1], axis=1)[:, None, None]
    keypoints[:, layout.FACE], scores[:, layout.FACE] = face / height * 145 * scale + [640, 230], 0.9
    assert turns(keypoints, scores)["body_yaw_degrees"] == pytest.approx(abs(yaw), abs=20 if abs(yaw) < 30 else 8)


def test_shoulders_at_the_lower_edge_of_a_close_up_tell_nothing() -> None:
    keypoints, scores = person(20, yaw=60)
    assert turns(keypoints, scores)["body_yaw_degrees"] > 50
    scores[:, layout.LEFT_ELBOW : layout.RIGHT_HIP + 1] = 0.1
    assert np.isnan(turns(keypoints, scores)["body_yaw_degrees"])


def test_one_side_alone_is_a_profile_and_nothing_seen_is_not_measured() -> None:
    keypoints, scores = person(20)
    scores[:] = 0.02
    assert all(np.isnan(value) for value in turns(keypoints, scores).values())
    scores[:, [layout.LEFT_EAR, layout.LEFT_SHOULDER]] = 0.9
    assert turns(keypoints, scores)["body_yaw_degrees"] == 90
    scores[:, layout.RIGHT_SHOULDER] = 0.9
    assert np.isnan(turns(keypoints, scores)["body_yaw_degrees"])


def test_a_face_that_is_told_in_few_frames_is_not_measured() -> None:
    planted = heads(drawn(100, (0, 20)))
    planted.scores[EVERY * 3 :] = 0.02
    assert np.isnan(turns(planted.keypoints, planted.scores)["head_yaw_degrees"])
    assert all(np.isnan(value) for value in turns(planted.keypoints[:0], planted.scores[:0]).values())
