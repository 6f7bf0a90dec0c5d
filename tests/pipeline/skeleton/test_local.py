import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.skeleton import layout
from pipeline.skeleton.local import from_local, rooted, to_local, to_rooted


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.floats(0, 0.9), st.sampled_from([np.float32, np.float64]))
def test_inverse_returns_every_point_that_was_seen(seed: int, frames: int, missing: float, kind: type) -> None:
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(-500, 4000, (frames, layout.K, 2)).astype(kind)
    keypoints[rng.random((frames, layout.K)) < missing] = np.nan
    local, neck = to_local(keypoints)
    assert local.dtype == neck.dtype == kind
    np.testing.assert_array_equal(np.isnan(local), np.isnan(keypoints))
    np.testing.assert_allclose(from_local(local, neck), keypoints, rtol=0, atol=1 / 512)


def test_each_group_has_its_root() -> None:
    keypoints = np.random.default_rng(0).uniform(0, 512, (3, layout.K, 2))
    local, neck = to_local(keypoints)
    np.testing.assert_allclose(neck, (keypoints[:, 5] + keypoints[:, 6]) / 2)
    np.testing.assert_allclose(local[:, 17], keypoints[:, 17] - neck)
    np.testing.assert_allclose(local[:, 90], keypoints[:, 90] - keypoints[:, 0])
    np.testing.assert_allclose(local[:, 91], keypoints[:, 91] - keypoints[:, 9])
    np.testing.assert_allclose(local[:, 132], keypoints[:, 132] - keypoints[:, 10])


def test_missing_shoulder_fills_the_neck_over_time() -> None:
    keypoints = np.zeros((5, layout.K, 2))
    keypoints[:, :, 0] = np.arange(5)[:, None]
    keypoints[2, 5] = np.nan
    keypoints[4] = np.nan
    _, neck = to_local(keypoints)
    np.testing.assert_array_equal(neck[:, 0], [0, 1, 2, 3, np.nan])


def test_missing_root_is_told_apart() -> None:
    keypoints = np.random.default_rng(1).uniform(0, 512, (2, layout.K, 2))
    keypoints[1, layout.NOSE] = np.nan
    mask = rooted(to_local(keypoints)[0])
    assert mask[0].all()
    assert not mask[1, layout.FACE].any()
    assert mask[1, layout.LEFT_HAND].all()


def test_two_motions_are_compared_where_both_have_the_root() -> None:
    one = np.random.default_rng(1).uniform(0, 512, (2, layout.K, 2)).astype(np.float32)
    other = one.copy()
    other[1, layout.RIGHT_WRIST] = np.nan
    apart = to_rooted(one) - to_rooted(other)
    assert apart.dtype == np.float32 and not apart[layout.seen(apart)].any()
    assert np.isnan(apart[1, layout.RIGHT_HAND]).all() and np.isfinite(apart[1, layout.LEFT_HAND]).all()
    assert np.isfinite(to_rooted(one)).all()


def test_wrong_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"\(133, 2\), not \(frames"):
        to_local(np.zeros((133, 2)))
