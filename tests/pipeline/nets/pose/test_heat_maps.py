"""Heat maps of planted Gaussians, and mmpose's way of decoding them written out map by map."""

import cv2
import numpy as np
import pytest

from pipeline.nets.pose.decoders import decoder_of
from pipeline.nets.pose.dwpose import PoseNet
from pipeline.nets.pose.heat_maps import decode_outputs
from pipeline.nets.pose.simcc import decode_outputs as decode_simcc_outputs
from pipeline.skeleton.layout import K
from tests.pipeline.nets.fakes import FakeSession

HEIGHT, WIDTH = 96, 72  # of maps; the net's input is four times as large
SIZE = (384, 288)


def gaussians(points: np.ndarray, heights: np.ndarray, sigma: float = 2.0) -> np.ndarray:
    """(N, K, 96, 72) maps with tops at points (N, K, 2), in cells."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    away = (x - points[..., 0, None, None]) ** 2 + (y - points[..., 1, None, None]) ** 2
    return (heights[..., None, None] * np.exp(-away / (2 * sigma**2))).astype(np.float32)


def as_mmpose(heat: np.ndarray) -> np.ndarray:
    """The place in one map, in cells: `get_heatmap_maximum`, then `refine_keypoints_dark` with a blur of 11 cells."""
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    blurred = cv2.GaussianBlur(np.pad(heat, 5).astype(np.float64), (11, 11), 0)[5:-5, 5:-5]
    h = np.log(np.maximum(blurred * heat.max() / blurred.max(), 1e-3))
    if not (1 < x < WIDTH - 2 and 1 < y < HEIGHT - 2):
        return np.array([x, y], float)
    slope = 0.5 * np.array([h[y, x + 1] - h[y, x - 1], h[y + 1, x] - h[y - 1, x]])
    dxy = 0.25 * (h[y + 1, x + 1] - h[y - 1, x + 1] - h[y + 1, x - 1] + h[y - 1, x - 1])
    dxx = 0.25 * (h[y, x + 2] - 2 * h[y, x] + h[y, x - 2])
    dyy = 0.25 * (h[y + 2, x] - 2 * h[y, x] + h[y - 2, x])
    return np.array([x, y]) - np.linalg.solve(np.array([[dxx, dxy], [dxy, dyy]]), slope)


def test_tops_are_found_between_the_cells_and_scaled_to_the_input() -> None:
    rng = np.random.default_rng(405)
    points = rng.uniform([6, 6], [WIDTH - 7, HEIGHT - 7], (3, K, 2))
    heights = rng.uniform(0.2, 1.0, (3, K))
    found, scores = decode_outputs([gaussians(points, heights)], SIZE)
    assert found.dtype == np.float32 and np.abs(found / 4 - points).max() < 0.02
    assert (scores <= heights + 1e-6).all() and (scores > 0.93 * heights).all()


def test_places_are_mmposes_in_noise_too() -> None:
    rng = np.random.default_rng(7)
    points = rng.uniform([8, 8], [WIDTH - 9, HEIGHT - 9], (1, K, 2))
    maps = gaussians(points, np.full((1, K), 0.8)) + rng.normal(0, 0.02, (1, K, HEIGHT, WIDTH)).astype(np.float32)
    found, _ = decode_outputs([maps], SIZE)
    theirs = np.stack([as_mmpose(heat) for heat in maps[0]])
    np.testing.assert_allclose(found[0] / 4, theirs, atol=0.02)
    assert np.median(np.linalg.norm(found[0] / 4 - points[0], axis=-1)) < 0.25


def test_borders_flat_maps_and_nothing() -> None:
    maps = np.zeros((1, 4, HEIGHT, WIDTH), np.float32)
    maps[0, 0, 0, 0] = maps[0, 1, HEIGHT - 1, 40] = 1
    maps[0, 2] = 0.5
    maps[0, 3] = -0.1
    found, scores = decode_outputs([maps], SIZE)
    np.testing.assert_allclose(found[0, :3] / 4, [[0, 0], [40, HEIGHT - 1], [0, 0]])
    assert np.isnan(found[0, 3]).all() and scores[0, 3] <= 0


@pytest.mark.parametrize(
    ("shapes", "decoder"),
    [
        ([["N", K, 576], ["N", K, 768]], decode_simcc_outputs),
        ([[None], [None]], decode_simcc_outputs),  # some exports leave shapes open
        ([["N", K, 96, 72]], decode_outputs),
        ([["N", None, None, None]], decode_outputs),
        ([["N", K, 3]], None),
        ([["N", K, 10]], None),  # a prepared net's, without its session
        ([["N", K, 96, 72]] * 3, None),
    ],
)
def test_the_form_is_told_from_the_outputs(shapes: list, decoder: object) -> None:
    assert decoder_of(shapes) is decoder


def test_a_net_with_heat_maps_behind_the_same_class() -> None:
    planted = np.stack([np.linspace(8, WIDTH - 9, K), np.linspace(8, HEIGHT - 9, K)], -1)

    def answer(array: np.ndarray) -> list[np.ndarray]:
        return [gaussians(np.repeat(planted[None], len(array), 0), np.ones((len(array), K)))]

    session = FakeSession(answer, ("N", 3, *SIZE))
    session.get_outputs()[0].shape = ["N", K, HEIGHT, WIDTH]
    [(points, scores)] = PoseNet(session).estimate(
        [np.zeros((384, 288, 3), np.uint8)], [[[0, 0, 288 / 1.25, 384 / 1.25]]]
    )
    assert points.shape == (1, K, 2) and (scores > 0.9).all()
    np.testing.assert_allclose(points[0] + [28.8, 38.4], 4 * planted, atol=0.1)
