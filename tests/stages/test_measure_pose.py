"""Measures of skeletons that were made to have them."""

from typing import Any

import numpy as np
import pytest

from pipeline.engine.unit import Unit
from pipeline.skeleton import layout
from pipeline.tables.kinds import KINDS
from stages.measure_pose import MeasurePose
from stages.measure_pose.worker import MeasurePoseWorker
from tests.stages.planted_speaker import CLIP, HEIGHT, WIDTH, F, points_of, speaker


def measure(*persons: dict[str, Any], clip: dict[str, Any] = CLIP, **settings: Any) -> list[dict[str, Any]]:
    rows = list(
        MeasurePoseWorker(MeasurePose(**settings)).process(Unit("v/0+100", {"persons": list(persons), "clips": [clip]}))
    )
    for row in rows:
        assert set(row) == set(KINDS["pose_measures"].schema.names)
    return rows


def test_somebody_who_stands_still_and_faces_the_camera() -> None:
    [row] = measure(speaker())
    for name in (
        "seen_share",
        "upper_body_share",
        "wrists_share",
        "hand_seen_share",
        "both_hands_share",
        "face_seen_share",
    ):
        assert row[name] == 1, name
    assert row["shoulder_width_px"] == pytest.approx(160)
    assert row["shoulder_width_share"] == pytest.approx(160 / 1280)
    assert (row["box_height_px"], row["box_height_share"]) == (440, pytest.approx(440 / 720))
    assert row["yaw_degrees"] == pytest.approx(0, abs=1) and row["back_share"] == 0
    assert max(row["wrist_speed_p95"], row["arm_range"], row["jitter"]) < 1e-4
    assert (row["face_sharpness"], row["camera_motion"], row["repeated_frames"]) == (50, 0.02, 0.1)
    assert (row["persons_in_clip"], row["another_person_share"]) == (1, 0)


def test_motion_of_a_wrist_at_a_known_speed() -> None:
    row = speaker()
    t = np.arange(F) / 25
    points_of(row)[:, layout.RIGHT_WRIST, 1] += 160 * np.sin(2 * np.pi * 0.5 * t)  # up to pi shoulder widths a second
    points_of(row)[:] += 40 * np.sin(t)[:, None, None]  # the whole body sways: that is no gesture
    [measured] = measure(row)
    assert measured["wrist_speed_p95"] == pytest.approx(np.pi, rel=0.03)
    assert measured["wrist_speed_median"] == pytest.approx(np.pi * np.sqrt(0.5), rel=0.05)
    assert measured["arm_range"] == pytest.approx(2, rel=0.05)
    assert measured["jitter"] < 0.001


def test_trembling_keypoints() -> None:
    row = speaker()
    points_of(row)[:, :17] += np.random.default_rng(0).normal(0, 4, (F, 17, 2))
    assert 0.015 < measure(row)[0]["jitter"] < 0.05  # 4 px of 160 in each direction
    assert measure(row)[0]["wrist_speed_p95"] < 0.6


def test_shares_count_frames() -> None:
    row = speaker()
    row["scores"][:30, layout.LEFT_ELBOW] = 0.1
    points_of(row)[20:60, layout.LEFT_WRIST] = np.nan
    row["scores"][:70, layout.LEFT_HAND] = 0.01
    row["scores"][50:, layout.RIGHT_HAND] = 0.01
    row["scores"][:25, layout.FACE] = 0.01
    row["boxes"][90:] = np.nan
    [measured] = measure(row)
    expected = {
        "upper_body_share": 0.7,
        "wrists_share": 0.6,
        "hand_seen_share": 0.8,
        "both_hands_share": 0,
        "seen_share": 0.9,
    }
    assert {name: measured[name] for name in expected} == pytest.approx(expected)
    assert measured["face_seen_share"] == 0.75
    assert (measured["worst_joint"], measured["worst_joint_share"]) == ("left_elbow", pytest.approx(0.7))


def test_side_and_back_are_told_apart() -> None:
    side = speaker(narrow=0.1)
    points_of(side)[:, layout.NOSE, 0] += 40
    assert measure(side)[0]["yaw_degrees"] > 70
    side["scores"][:, layout.FACE] = 0.01  # many nets lose the face in a profile
    assert measure(side)[0]["back_share"] == 0

    faceless = speaker()  # a net that names the sides by the picture
    faceless["scores"][:, layout.FACE] = faceless["scores"][:, layout.NOSE] = 0.01
    assert measure(faceless)[0]["back_share"] == 1
    back = speaker(narrow=-1)
    back["scores"][:, layout.FACE] = 0.01
    assert (measure(back)[0]["back_share"], measure(back)[0]["yaw_degrees"]) == (1, pytest.approx(0, abs=1))


def test_a_profile_without_a_face_is_told_by_shoulders_and_torso() -> None:
    for angle, good_to in ((0, 30), (45, 12), (60, 12), (75, 12)):  # a cosine says little near 0
        turned = speaker(narrow=float(np.cos(np.radians(angle))))
        turned["scores"][:, layout.FACE] = 0.01
        turned["scores"][:, 1:5] = 0.01
        assert measure(turned)[0]["yaw_degrees"] == pytest.approx(angle, abs=good_to)
        turned["scores"][:, [layout.LEFT_HIP, layout.RIGHT_HIP]] = 0.01  # then by the height of the box
        assert measure(turned)[0]["yaw_degrees"] == pytest.approx(angle, abs=good_to)


def test_somebody_else_in_the_crop() -> None:
    near, far = speaker(760), speaker(1200)
    assert [row["another_person_share"] for row in measure(speaker(), near)] == [1, 1]
    assert [row["another_person_share"] for row in measure(speaker(), far)] == [0, 0]
    near["keypoints"][50:] = np.nan
    rows = measure(speaker(), near, far)
    assert rows[0]["another_person_share"] == pytest.approx(0.5)
    assert [row["persons_in_clip"] for row in rows] == [3, 3, 3]


def test_a_hand_that_reaches_into_the_crop_is_nobody() -> None:
    other = speaker(1200)
    points_of(other)[:, layout.RIGHT_HAND] = points_of(other)[:, layout.RIGHT_WRIST, None] = [700, 400]
    assert measure(speaker(), other)[0]["another_person_share"] == 0


def test_the_crop_holds_the_speaker_or_is_the_manifests() -> None:
    [row] = measure(speaker())
    x1, y1, x2, y2 = row["crop_box"]
    assert x2 - x1 == y2 - y1 == row["crop_side_px"]
    upper = points_of(speaker())[0, :13]
    assert ((upper >= [x1, y1]) & (upper < [x2, y2])).all()

    given = {**CLIP, "manifest_crop_box": [300.4, 0.0, 800.6, 700.0]}
    [row] = measure(speaker(), clip=given)
    assert (row["crop_box"], row["crop_side_px"]) == ([300, 0, 801, 700], 700)
    [row] = measure(speaker(), clip=given, use_manifest_crop=False)
    assert row["crop_box"] == [x1, y1, x2, y2]


def test_what_is_not_seen_is_null_and_never_a_number() -> None:
    row = speaker()
    row["keypoints"][:] = np.nan
    row["scores"][:], row["boxes"][:], row["face_sharpness"][:] = 0, np.nan, np.nan
    [measured] = measure(row)
    for name in (
        "shoulder_width_px",
        "box_height_px",
        "yaw_degrees",
        "back_share",
        "wrist_speed_p95",
        "arm_range",
        "jitter",
    ):
        assert measured[name] is None, name
    assert measured["crop_box"] is measured["crop_side_px"] is measured["face_sharpness"] is None
    assert measured["seen_share"] == measured["upper_body_share"] == measured["hand_seen_share"] == 0


MANIFEST_CLIP = {**CLIP, "manifest_name": "name", "manifest_crop_box": [0.0, 0.0, 500.0, 500.0]}


def test_the_person_whom_the_manifest_means_is_marked() -> None:
    left, right = measure(speaker(250), speaker(900), clip=MANIFEST_CLIP)
    assert (left["clips_person"], right["clips_person"]) == (True, False)
    assert left["manifest_overlap"] == pytest.approx(380 / 440)  # the box is 120 to 560 high, the crop ends at 500
    assert right["manifest_overlap"] == 0
    assert left["crop_box"] == [0, 0, 500, 500]
    [row] = measure(speaker())
    assert row["clips_person"] is None and row["manifest_overlap"] is None


def test_without_a_crop_the_manifest_means_the_largest() -> None:
    large = speaker(900)
    large["boxes"][:] = [600, 0, 1200, 720]
    small, big = measure(speaker(250), large, clip={**MANIFEST_CLIP, "manifest_crop_box": None})
    assert (small["clips_person"], big["clips_person"]) == (False, True)
    assert big["manifest_overlap"] is None
    assert big["crop_box"] == measure(large)[0]["crop_box"]  # its own, around the speaker


def test_each_of_two_released_crops_goes_to_its_person() -> None:
    boxes = np.array([[0, 0, 500, 500], [700, 0, 1200, 600]], float)
    clip = {**MANIFEST_CLIP, "manifest_crop_boxes": boxes}
    left, right = measure(speaker(250), speaker(900), clip=clip)
    assert left["clips_person"] and right["clips_person"]
    assert (left["crop_box"], right["crop_box"]) == ([0, 0, 500, 500], [700, 0, 1200, 600])


def test_released_poses_without_boxes_are_matched_by_their_points() -> None:
    rows = speaker(250), speaker(900)
    for row in rows:
        row["boxes"][:] = np.nan
    left, right = measure(*rows, clip=MANIFEST_CLIP)
    assert (left["clips_person"], right["clips_person"]) == (True, False)


def test_the_crop_stays_inside_the_border_of_a_picture_in_the_picture() -> None:
    [free] = measure(speaker())
    x1, _, x2, _ = free["crop_box"]
    assert free["border_share"] == 0
    [row] = measure(speaker(), clip={**CLIP, "picture_motion": 80.0, "inner_frames": [[x1 + 8, 0, WIDTH, HEIGHT]]})
    assert row["crop_box"][0] >= x1 + 8 and row["border_share"] == 0 and row["picture_motion"] == 80
    narrow = np.array([[550, 0, 730, HEIGHT]], np.int32)
    [row] = measure(speaker(), clip={**CLIP, "inner_frames": narrow})  # does not fit: the crop is as it was
    assert row["crop_box"] == free["crop_box"]
    assert row["border_share"] == pytest.approx(1 - 180 / (x2 - x1), abs=0.01)
    [row] = measure(speaker(), clip={**CLIP, "inner_frames": [[0, 0, 400, HEIGHT]]})  # somebody else's
    assert (row["crop_box"], row["border_share"]) == (free["crop_box"], 0)
