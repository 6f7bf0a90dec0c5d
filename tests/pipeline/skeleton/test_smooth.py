import numpy as np
import pytest
from scipy.signal import savgol_filter

from pipeline.skeleton import layout
from pipeline.skeleton.local import from_local, to_local
from pipeline.skeleton.smooth import filter_paths, smooth

F = 60
ONES = np.ones((F, layout.K))


def talking_head(jitter: float) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints whose whole head trembles, and the mouth's own motion around the nose."""
    rng = np.random.default_rng(0)
    keypoints = np.tile(rng.uniform(100, 400, (1, layout.K, 2)), (F, 1, 1))
    mouth = 5 * np.sin(np.arange(F)[:, None, None] * 1.9) * np.array([0.0, 1.0]) * np.ones((1, 20, 1))
    keypoints[:, layout.MOUTH] += mouth
    shake = rng.normal(0, jitter, (F, 1, 2))
    keypoints[:, :5] += shake
    keypoints[:, layout.FACE] += shake
    return keypoints, mouth


def test_head_jitter_cancels_and_the_mouth_keeps_its_motion() -> None:
    keypoints, mouth = talking_head(3.0)
    local, neck = to_local(keypoints)
    smoothed, smoothed_neck = smooth(local, neck, ONES)
    np.testing.assert_array_equal(smoothed[:, layout.MOUTH], local[:, layout.MOUTH])
    after = from_local(smoothed, smoothed_neck)
    corner_path = after[:, 71] - mouth[:, 0]
    before_path = keypoints[:, 71] - mouth[:, 0]
    assert np.diff(corner_path, axis=0).std() < 0.3 * np.diff(before_path, axis=0).std()
    relative = after[:, 71] - after[:, layout.NOSE]
    np.testing.assert_allclose(relative, keypoints[:, 71] - keypoints[:, layout.NOSE], atol=1e-9)


@pytest.mark.parametrize(("variant", "outer", "inner"), [("paper", 0, 0), ("release", 7, 5)])
def test_windows_are_the_stated_ones(variant: str, outer: int, inner: int) -> None:
    local, neck = to_local(np.random.default_rng(1).uniform(0, 512, (F, layout.K, 2)))
    smoothed, smoothed_neck = smooth(local, neck, ONES, variant=variant)
    for part, window in (
        (layout.OUTER_LIPS, outer),
        (layout.INNER_LIPS, inner),
        (layout.LEFT_HAND, 11),
        (layout.BODY, 11),
    ):
        expected = savgol_filter(local[:, part], window, 2, axis=0) if window else local[:, part]
        np.testing.assert_allclose(smoothed[:, part], expected, atol=1e-9)
    np.testing.assert_allclose(smoothed_neck, savgol_filter(neck, 11, 2, axis=0), atol=1e-9)


def test_unknown_variant() -> None:
    with pytest.raises(ValueError, match="neither"):
        smooth(np.zeros((3, layout.K, 2)), np.zeros((3, 2)), np.ones((3, layout.K)), variant="both")


def test_long_gaps_are_not_bridged_and_short_ones_stay_missing() -> None:
    t = np.arange(80.0)
    path = np.stack([t, np.where(t < 40, 0, 1000)], -1)[:, None]
    usable = np.ones((80, 1), bool)
    usable[30:50] = False  # longer than the window: the jump must not leak
    usable[10:13] = False
    path[~usable] = np.nan
    out = filter_paths(path, usable, 11)
    np.testing.assert_allclose(out[usable[:, 0], 0], path[usable[:, 0], 0], atol=1e-9)
    assert np.isnan(out[~usable[:, 0]]).all()


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 8, 10, 11, 12])
def test_short_pieces(length: int) -> None:
    t = np.arange(length, dtype=float)
    path = np.stack([t**2, -t], -1)[:, None]
    np.testing.assert_allclose(filter_paths(path, np.ones((length, 1), bool), 11), path, atol=1e-8)


def test_points_of_a_missing_root_pass_through() -> None:
    keypoints = np.random.default_rng(2).uniform(0, 512, (F, layout.K, 2)).astype(np.float32)
    keypoints[20:24, layout.LEFT_WRIST] = np.nan
    keypoints[40] = np.nan
    local, neck = to_local(keypoints)
    smoothed, smoothed_neck = smooth(local, neck, ONES)
    assert smoothed.dtype == smoothed_neck.dtype == np.float32
    np.testing.assert_array_equal(smoothed[20:24, layout.LEFT_HAND], local[20:24, layout.LEFT_HAND])
    np.testing.assert_array_equal(np.isnan(smoothed), np.isnan(local))
    assert not np.array_equal(smoothed[19, layout.LEFT_HAND], local[19, layout.LEFT_HAND])


def test_points_that_are_not_sure_bend_nothing_around_them() -> None:
    """A lost wrist lands anywhere with a low score: it must pull neither its own path nor the hand that hangs on it."""
    frames = 60
    keypoints = np.random.default_rng(4).normal(200.0, 40.0, (1, layout.K, 2)).repeat(frames, axis=0)
    scores = np.ones((frames, layout.K))
    lost = [layout.LEFT_WRIST, *range(layout.K)[layout.LEFT_HAND]]
    keypoints[30, layout.LEFT_WRIST] += 300.0
    scores[30, lost] = 0.05
    local, neck = to_local(keypoints)
    smoothed = from_local(*smooth(local, neck, scores))
    others = np.delete(np.arange(frames), 30)
    np.testing.assert_allclose(smoothed[others], keypoints[others], atol=1e-6)
    np.testing.assert_allclose(smoothed[30], keypoints[30], atol=1e-6)
