"""The linear map from fiducials to keypoints."""

import numpy as np

from pipeline.base.units import KEYPOINTS
from pipeline.skeleton import layout
from pipeline.theatre import figure, palette


def test_keypoints_move_with_the_puppet() -> None:
    fiducials = np.random.default_rng(1).normal(size=(figure.N, 2)) * 50
    moved = figure.keypoints_of(fiducials * 1.7 + np.array([30.0, -12.0]))
    assert np.allclose(moved, figure.keypoints_of(fiducials) * 1.7 + np.array([30.0, -12.0]))


def test_joints_are_their_fiducials() -> None:
    fiducials = np.random.default_rng(2).normal(size=(3, figure.N, 2))
    keypoints = figure.keypoints_of(fiducials)
    for name in ("left_shoulder", "right_elbow", "left_wrist", "right_hip", "nose", "left_ear"):
        assert np.allclose(keypoints[:, layout.NAMES.index(name)], fiducials[:, figure.INDEX[name]])
    assert np.allclose(keypoints[:, layout.LEFT_HAND][:, 0], keypoints[:, layout.LEFT_WRIST])


def test_errors_of_a_fiducial_are_not_blown_up() -> None:
    rows = np.linalg.norm(figure.keypoint_map(), axis=1).reshape(KEYPOINTS, 2)
    drawn = np.r_[0:13, 23:133]
    assert rows[drawn].max() < 2.5


def test_the_lip_opens_the_mouth_and_nothing_above_it() -> None:
    weight = np.abs(figure.keypoint_map().reshape(KEYPOINTS, 2, figure.N, 2))[:, :, figure.INDEX["lip"]].max((1, 2))
    above = np.r_[layout.RIGHT_BROW, layout.LEFT_BROW, layout.RIGHT_EYE_RING, layout.LEFT_EYE_RING]
    assert weight[above].max() == 0
    assert weight[layout.CHIN] > 0.8


def test_colours_lie_far_apart() -> None:
    world = [*palette.SKINS.values(), *palette.HAIRS.values(), *palette.CLOTHES.values(), palette.INK, palette.TEETH]
    vivid = palette.fiducial_colours() @ palette.code_matrix().T
    muted = np.array(world, float) @ palette.code_matrix().T
    between = np.linalg.norm(vivid[:, None] - vivid, axis=2) + 1e3 * np.eye(len(vivid))
    assert between.min() > 70
    assert np.linalg.norm(vivid[:, None] - muted, axis=2).min() > 60
