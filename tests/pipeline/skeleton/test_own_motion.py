"""A person's own motion: none for a photograph that is zoomed, panned or rolled; a talk's, whatever the camera does."""

import numpy as np
import pytest

from pipeline.skeleton import layout
from pipeline.skeleton.body_frame import in_body_frame
from pipeline.skeleton.measures import arm_range, own_motion
from stages.judge import CHECKS, Judge
from tests.pipeline.skeleton.people import person

FRAMES = 150
LIMIT = Judge().min_own_motion or 0.0
ARM_RANGE = Judge().min_arm_range or 0.0
LEFT_ARM = [layout.LEFT_WRIST, *range(layout.LEFT_HAND.start, layout.LEFT_HAND.stop)]
# What moves a whole picture: growth over the clip, degrees of roll, and px of shift.
CAMERAS = {"zoom": (1.19, 0, (0, 0)), "pan": (1, 0, (120, -40)), "roll": (1, 6, (0, 0)), "all": (1.19, -6, (90, 30))}


def filmed(keypoints: np.ndarray, camera: str) -> np.ndarray:
    """Points (F, 133, 2) under a similarity that grows evenly over the clip, about the middle of a picture of 1280 x 720."""
    growth, degrees, shift = CAMERAS[camera]
    share = np.linspace(0, 1, len(keypoints))[:, None]
    turn = growth**share * np.exp(1j * np.radians(degrees) * share)
    moved = turn * (keypoints @ [1, 1j] - (640 + 360j)) + (640 + 360j) + share * complex(*shift)
    return np.stack([moved.real, moved.imag], -1)


def detected(keypoints: np.ndarray, noise_px: float, seed: int = 0) -> np.ndarray:
    """Points as a net gives them: each off by a tremble, and the left wrist by a slow drift of twice as much."""
    rng = np.random.default_rng(seed)
    drift = 2 * noise_px * np.sin(np.linspace(0, 4, len(keypoints)))
    found = keypoints + rng.normal(0, noise_px, keypoints.shape)
    found[:, layout.LEFT_WRIST] += drift[:, None]
    return found


def talking(frames: int = FRAMES, swing: float = 0.25) -> tuple[np.ndarray, np.ndarray]:
    """Somebody whose left lower arm swings to and fro by a share of the shoulder width."""
    keypoints, scores = person(frames, width=160)
    keypoints[:, LEFT_ARM, 0] += swing * 160 * np.sin(2 * np.pi * np.arange(frames) / 50)[:, None]
    return keypoints, scores


@pytest.mark.parametrize("noise_px", [0.3, 1.0, 2.5])  # 0.3-1 px of 512 is what nets do; of 1280 that is up to 2.5
@pytest.mark.parametrize("camera", CAMERAS)
def test_a_photograph_has_no_motion_of_its_own_however_it_is_shown(camera: str, noise_px: float) -> None:
    keypoints, scores = person(FRAMES, width=160)
    found = detected(filmed(keypoints, camera), noise_px)
    assert own_motion(found, scores) < LIMIT / 2


def test_a_zoom_fools_the_range_of_the_arms() -> None:
    keypoints, scores = person(FRAMES, width=160)
    assert arm_range(detected(filmed(keypoints, "zoom"), 0.5), scores) > ARM_RANGE


@pytest.mark.parametrize("camera", CAMERAS)
def test_who_talks_with_one_hand_moves_whatever_the_camera_does(camera: str) -> None:
    keypoints, scores = talking()
    moved = own_motion(detected(filmed(keypoints, camera), 0.5), scores)
    assert moved == pytest.approx(own_motion(keypoints, scores), rel=0.15)
    assert moved > 1.1 * LIMIT


def test_the_value_that_was_planted_in_any_size_and_at_a_low_score() -> None:
    keypoints, scores = talking()
    planted = 0.25 * 2 * 2 / 6  # two of six limbs swing by twice the amplitude, nearly all of which is within 5-95 %
    assert own_motion(keypoints, scores) == pytest.approx(planted, rel=0.1)
    assert own_motion(keypoints * 3, scores) == pytest.approx(own_motion(keypoints, scores))
    keypoints[::3, LEFT_ARM] = np.nan
    assert own_motion(keypoints, scores) == pytest.approx(planted, rel=0.1)


def test_what_is_not_seen_is_not_measured() -> None:
    keypoints, scores = person(FRAMES)
    assert np.isnan(own_motion(keypoints, scores * 0.1))
    assert np.isnan(own_motion(keypoints[:0], scores[:0]))
    scores[:, [layout.LEFT_ELBOW, layout.RIGHT_ELBOW, layout.LEFT_WRIST, layout.RIGHT_WRIST]] = 0.1
    scores[:, layout.LEFT_HAND] = scores[:, layout.RIGHT_HAND] = 0.1
    assert np.isnan(own_motion(keypoints, scores))


def test_frames_with_too_little_of_the_body_have_no_place_in_its_frame() -> None:
    keypoints, _ = person(10)
    keypoints[4, : layout.RIGHT_HIP] = np.nan
    moved = in_body_frame(keypoints)
    assert np.isnan(moved[4]).all()
    assert np.isfinite(moved[np.arange(10) != 4]).all()


def test_both_measures_of_a_still_are_judged_as_such() -> None:
    still = {check.measure: check.reason.code for check in CHECKS if check.measure in ("own_motion", "picture_motion")}
    assert still == {"own_motion": "still", "picture_motion": "still"}
