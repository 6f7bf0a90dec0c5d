"""Heads and crops of which the picture's edges take a known share."""

import numpy as np
import pytest

from pipeline.skeleton import layout
from pipeline.skeleton.crop import outside_share
from pipeline.skeleton.framing import head_cut_share
from pipeline.skeleton.head_pose import generic_face

WIDTH, HEIGHT = 640, 480
HEAD = 110 + 117  # millimetres from crown to chin


def face(x: float, y: float, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A generic head that faces us, the middle between its pupils at (x, y), so many pixels a millimetre."""
    keypoints = np.full((10, layout.K, 2), np.nan)
    keypoints[:, layout.FACE] = scale * generic_face()[:, :2] + [x, y]
    return keypoints, np.ones((10, layout.K))


@pytest.mark.parametrize(
    ("x", "y", "share"),
    [(320, 200, 0), (320, 110, 0), (320, 60, 50 / HEAD), (320, 10, 100 / HEAD), (70, 200, 0), (35, 200, 0.25)],
)
def test_the_share_of_the_head_that_is_missing(x: float, y: float, share: float) -> None:
    assert head_cut_share(*face(x, y), WIDTH, HEIGHT) == pytest.approx(share, abs=0.02)
    mirrored = face(WIDTH - x, y)
    assert head_cut_share(*mirrored, WIDTH, HEIGHT) == pytest.approx(share, abs=0.02)
    half = face(x / 2, y / 2, 0.5)
    assert head_cut_share(*half, WIDTH // 2, HEIGHT // 2) == pytest.approx(share, abs=0.02)


def test_without_a_face_it_is_not_measured() -> None:
    keypoints, scores = face(320, 60)
    assert np.isnan(head_cut_share(keypoints, scores * 0.1, WIDTH, HEIGHT))
    assert np.isnan(head_cut_share(keypoints[:0], scores[:0], WIDTH, HEIGHT))


@pytest.mark.parametrize(
    ("box", "share"),
    [
        ((0, 0, 480, 480), 0),
        ((-120, 0, 360, 480), 0.25),
        ((240, 100, 740, 600), 1 - 0.8 * 0.76),
        ((-90, 0, 10, 100), 0.9),
    ],
)
def test_the_share_of_the_crop_that_is_black(box: tuple[int, int, int, int], share: float) -> None:
    assert outside_share(box, WIDTH, HEIGHT) == pytest.approx(share)
