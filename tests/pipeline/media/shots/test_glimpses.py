"""Motion of a picture beyond a similarity: of photographs that are zoomed, panned and rolled, and of a mouth that moves."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from pipeline.media.shots.finder import ShotFinder
from pipeline.media.shots.glimpses import EVERY, change_beyond_similarity
from stages.judge import Judge

WIDTH, HEIGHT, FRAMES = 256, 144, 130
LIMIT = Judge().min_picture_motion or 0.0
# What a camera does in a second: growth, degrees of roll, px of shift.
CAMERAS = {"rest": (1, 0, (0, 0)), "zoom": (1.03, 0, (0, 0)), "pan": (1, 0, (6.3, -1.7)), "roll": (1, 1.5, (0, 0))}


def photograph(seed: int = 0) -> np.ndarray:
    """A large picture with things of all sizes in it, (360, 640, 3)."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(rng.uniform(0, 255, (9 * k, 16 * k, 3)), (640, 360), interpolation=cv2.INTER_CUBIC)
        for k in (1, 3, 9)
    ]
    return np.asarray(np.clip(sum(layers) / 3, 0, 255), np.uint8)


def with_mouth(picture: np.ndarray, frame: int) -> np.ndarray:
    """The same with a mouth that opens and shuts, a thirtieth of the picture's height in size."""
    changed = picture.copy()
    open_px = int(6 + 6 * np.sin(frame / 5))
    cv2.ellipse(changed, (320, 180), (14, max(open_px, 1)), 0, 0, 360, (60, 10, 20), -1)
    return changed


def filmed(camera: str, noise: float = 0.0, mouth: bool = False) -> Iterator[np.ndarray]:
    """(144, 256, 3) pictures of a photograph under a moving camera, with grain of so many grey levels."""
    growth, degrees, shift = CAMERAS[camera]
    picture, rng = photograph(), np.random.default_rng(1)
    for frame in range(FRAMES):
        seconds = frame / 25
        matrix = cv2.getRotationMatrix2D((320, 180), degrees * seconds, 0.8 * growth**seconds)
        matrix[:, 2] += np.array(shift) * seconds - [192, 108]
        shown = with_mouth(picture, frame) if mouth else picture
        small = cv2.warpAffine(shown, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA)
        yield np.clip(small + rng.normal(0, noise, small.shape), 0, 255).astype(np.uint8)


def motion(pictures: Iterator[np.ndarray], again: bool = False) -> float:
    finder = ShotFinder((WIDTH, HEIGHT))
    for n, picture in enumerate(pictures):
        finder.feed(n, picture, again and n > 0)
    found = finder.finish().glimpses.picture_motion(0, FRAMES)
    assert found is not None
    return found


@pytest.mark.parametrize("noise", [0.0, 4.0])
@pytest.mark.parametrize("camera", CAMERAS)
def test_a_photograph_hardly_moves_beyond_the_camera(camera: str, noise: float) -> None:
    assert motion(filmed(camera, noise)) < LIMIT / 2


@pytest.mark.parametrize("camera", CAMERAS)
def test_a_mouth_that_speaks_does(camera: str) -> None:
    assert motion(filmed(camera, 2.0, mouth=True)) > LIMIT


def test_a_picture_that_the_reader_repeats_does_not_move() -> None:
    assert motion(filmed("rest"), again=True) == 0


def test_less_than_a_second_and_flat_pictures() -> None:
    finder = ShotFinder((WIDTH, HEIGHT))
    for n in range(EVERY + 1):
        finder.feed(n, np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    glimpses = finder.finish().glimpses
    assert glimpses.picture_motion(0, EVERY) is None
    assert glimpses.picture_motion(0, EVERY + 1) == 0
    assert glimpses.picture_motion(1, EVERY + 1) is None  # the picture before lies outside
    grey = np.full((HEIGHT, WIDTH), 90, np.uint8)
    assert change_beyond_similarity(grey, grey + np.uint8(40)) == pytest.approx(40)
