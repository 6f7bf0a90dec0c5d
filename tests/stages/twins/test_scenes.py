"""Scenes: films of one studio are found, mirrored too; others are not compared."""

import numpy as np

from stages.twins.scenes import pairs
from tests.stages.twins.gestures import coded, gestures, rows


def scene(seed: int, room: int, mirrored: bool = False) -> bytes:
    film = coded(gestures(seed, 2, room))
    return bytes(rows(film[:, :, ::-1] if mirrored else film, "v")[0]["scene_print"])


def test_films_of_one_studio_are_paired_and_no_others() -> None:
    films = [[scene(1, 1)], [scene(2, 2)], [scene(3, 1)], [scene(4, 1, mirrored=True)], [], [scene(5, 3), scene(6, 2)]]
    assert pairs(films, 9) == ([(0, 2), (0, 3), (1, 5), (2, 3)], 0)


def test_more_films_than_are_looked_at_at_once() -> None:
    studios = [at % 7 for at in range(600)]
    rng = np.random.default_rng(1)
    shown = rng.integers(0, 255, (7, 64), dtype=np.uint8)
    found, left_out = pairs([[shown[studio].tobytes()] for studio in studios], 10_000)
    expected = [(a, b) for a in range(600) for b in range(a + 1, 600) if studios[a] == studios[b]]
    assert (found, left_out) == (expected, 0)


def test_of_a_large_studio_the_likest_are_compared_and_the_rest_is_told() -> None:
    rng = np.random.default_rng(1)
    first = rng.integers(40, 200, 64)
    films = [
        [np.clip(first + rng.normal(0, spread, 64), 0, 255).astype(np.uint8).tobytes()] for spread in (0, 12, 6, 1)
    ]
    found, left_out = pairs(films, 1)
    assert (0, 3) in found and len(found) == 3 and left_out == 3


def test_flat_and_broken_thumbnails_are_no_scene() -> None:
    grey = bytes([90] * 64)
    assert pairs([[grey], [grey], [b"abc"], [b"abc"]], 9) == ([], 0)
    assert pairs([], 9) == ([], 0)
