"""The turn of a head against planted truth."""

import warnings

import numpy as np
import pytest

from pipeline.skeleton import layout
from pipeline.skeleton.head_pose import MIN_POINTS, fit_heads, generic_face
from tests.pipeline.skeleton.planted_heads import Planted, drawn, heads, rotation


def errors(planted: Planted) -> np.ndarray:
    """(F, 3) degrees."""
    return np.abs(fit_heads(planted.keypoints, planted.scores).angles - planted.angles)


@pytest.mark.parametrize("turned", [(0, 0, 0), (35, -25, 10), (-60, 20, -15), (90, 0, 0), (-88, 5, 3)])
def test_the_generic_face_itself_is_found_exactly(turned: tuple[float, float, float]) -> None:
    keypoints = np.full((1, layout.K, 2), np.nan)
    keypoints[0, layout.FACE] = 0.8 * (generic_face() @ rotation(*turned).T)[:, :2] + [300, 200]
    found = fit_heads(keypoints, np.ones((1, layout.K)))
    assert found.angles[0, 0] == pytest.approx(turned[0], abs=0.5)
    assert found.scale[0] == pytest.approx(0.8, rel=0.01)


@pytest.mark.parametrize(
    ("yaw", "median", "p95", "told"), [((0, 30), 4, 10, 0.95), ((30, 60), 4, 10, 0.95), ((60, 90), 5, 15, 0.4)]
)
def test_yaw_of_people_who_differ_with_noise_and_lost_points(
    yaw: tuple[float, float], median: float, p95: float, told: float
) -> None:
    found = errors(heads(drawn(400, yaw)))[:, 0]
    assert np.isfinite(found).mean() >= told  # of a profile half the points are lost, and often too many
    assert np.nanmedian(found) <= median
    assert np.nanpercentile(found, 95) <= p95


def test_pitch_and_roll_up_to_sixty_degrees() -> None:
    found = errors(heads(drawn(400, (0, 60))))
    assert (np.nanpercentile(found[:, 1:], 95, axis=0) <= [10, 6]).all()


def test_points_that_are_far_off_hardly_count() -> None:
    planted = heads(drawn(200, (0, 60)), missing=0)
    rng = np.random.default_rng(3)
    for points, scores in zip(planted.keypoints, planted.scores, strict=True):
        wild = rng.choice(68, 6, replace=False) + layout.FACE.start
        points[wild] += rng.normal(0, 40, (6, 2))
        scores[wild] = 0.9
    assert np.nanmedian(errors(planted)[:, 0]) <= 4


def test_nose_and_mouth_alone_tell_no_turn_nor_do_a_few_points() -> None:
    planted = heads(np.array([[20.0, 0, 0]]), missing=0)
    eyes = planted.scores.copy()
    eyes[:, layout.RIGHT_EYE_RING] = eyes[:, layout.LEFT_EYE_RING] = 0.1
    assert np.isnan(fit_heads(planted.keypoints, eyes).angles).all()
    few = np.zeros_like(planted.scores)
    few[:, layout.FACE.stop - MIN_POINTS + 1 : layout.FACE.stop] = 0.9
    assert np.isnan(fit_heads(planted.keypoints, few).angles).all()


def test_what_is_no_face_is_not_measured() -> None:
    rng = np.random.default_rng(0)
    scattered = rng.uniform(0, 100, (20, layout.K, 2))
    line = np.zeros((1, layout.K, 2))
    line[0, :, 1] = np.linspace(0, 100, layout.K)
    for points in (scattered, line, np.full((1, layout.K, 2), 50.0)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = fit_heads(points, np.ones(points.shape[:2]))
        assert np.isnan(found.angles).all()
        assert np.isnan(found.scale).all()
