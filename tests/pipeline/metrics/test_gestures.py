"""The net-free Frechet distance of gestures, on planted motions."""

import warnings

import numpy as np
import pytest

from pipeline.metrics.frechet import FewSamples
from pipeline.metrics.gestures import WIDTH, gesture_distance, gesture_features
from pipeline.skeleton import layout
from pipeline.theatre import planted


def motions(seeds: range, who: int = 0) -> list[np.ndarray]:
    return [planted.pair(planted.speaker(who), 6.0, [seed]).keypoints for seed in seeds]


def test_features_of_a_motion() -> None:
    [motion] = motions(range(1))
    found = gesture_features(motion)
    assert found.shape == (5, WIDTH) and np.isfinite(found).all()
    np.testing.assert_allclose(gesture_features(3 * motion + [100, 7]), found, atol=1e-9)
    left_wrist = found[:, 6 * 3 : 6 * 4]
    neck = motion[:50, [5, 6]].mean(1)
    width = np.nanmedian(np.linalg.norm(motion[:, 5] - motion[:, 6], axis=-1))
    path = (motion[:50, layout.LEFT_WRIST] - neck) / width
    np.testing.assert_allclose(left_wrist[0, :2], path.mean(0), rtol=0.02)


def test_the_same_motions_have_no_distance_and_others_have() -> None:
    one, other = motions(range(12)), motions(range(12, 24))
    assert gesture_distance(one, one) == pytest.approx(0, abs=1e-9)
    near = gesture_distance(one, other)
    slow = [np.repeat(motion, 2, axis=0)[: len(motion)] for motion in other]
    raised = [motion.copy() for motion in other]
    for motion in raised:
        motion[:, [7, 8, 9, 10]] -= [0, 60]
    still = [np.repeat(motion[:1], len(motion), 0) for motion in other]
    for changed in (slow, raised, still):
        assert gesture_distance(one, changed) > 2 * near
    assert gesture_distance(one, still) == pytest.approx(gesture_distance(still, one))


def test_little_to_see() -> None:
    [motion] = motions(range(1))
    hidden = motion.copy()
    hidden[:70, layout.LEFT_WRIST] = np.nan
    assert len(gesture_features(hidden)) == 3, "windows in which a wrist is mostly gone are left out"
    assert gesture_features(motion[:49]).shape == (0, WIDTH)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gesture_features(np.full_like(motion, np.nan)).shape == (0, WIDTH)
    with pytest.warns(FewSamples, match="5 samples for 42 dimensions"):
        assert gesture_distance([motion], [motion]) == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="at least two samples"):
        gesture_distance([motion], [])
