"""Scenes: films of one studio are found, mirrored too; others are not compared."""

import numpy as np
import pytest

from stages.twins.scenes import Paired, _Scenes, paired
from tests.stages.twins.gestures import coded, gestures, rows


def scene(seed: int, room: int, mirrored: bool = False) -> bytes:
    film = coded(gestures(seed, 2, room))
    return bytes(rows(film[:, :, ::-1] if mirrored else film, "v")[0]["scene_print"])


def test_films_of_one_studio_are_paired_and_no_others() -> None:
    films = [[scene(1, 1)], [scene(2, 2)], [scene(3, 1)], [scene(4, 1, mirrored=True)], [], [scene(5, 3), scene(6, 2)]]
    assert paired(films, 9, 99) == Paired([(0, 2), (0, 3), (1, 5), (2, 3)])


def test_more_films_than_are_looked_at_at_once() -> None:
    studios = [at % 7 for at in range(2_300)]
    rng = np.random.default_rng(1)
    shown = rng.integers(0, 255, (7, 64), dtype=np.uint8)
    found = paired([[shown[studio].tobytes()] for studio in studios], 10_000, 10_000_000)
    assert found == Paired([(a, b) for a in range(2_300) for b in range(a + 7, 2_300, 7)])


def test_of_a_large_studio_the_likest_are_compared_and_the_rest_is_told() -> None:
    rng = np.random.default_rng(1)
    first = rng.integers(40, 200, 64)
    films = [
        [np.clip(first + rng.normal(0, spread, 64), 0, 255).astype(np.uint8).tobytes()] for spread in (0, 12, 6, 1)
    ]
    found = paired(films, 1, 99)
    assert (0, 3) in found.pairs and len(found.pairs) == 3 and (found.beyond_films, found.beyond_pairs) == (3, 0)
    assert paired(films, 9, 1) == Paired([(0, 3)], 0, 5)
    assert paired(films, 9, 0) == Paired([], 0, 6)


def test_where_all_are_the_same_each_film_is_compared_with_some() -> None:
    picture = np.random.default_rng(1).integers(0, 255, 64, dtype=np.uint8).tobytes()
    assert paired([[picture]] * 5, 9, 6) == Paired([(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (3, 4)], 0, 4)


def test_flat_and_broken_thumbnails_are_no_scene() -> None:
    grey = bytes([90] * 64)
    assert paired([[grey], [grey], [b"abc"], [b"abc"]], 9, 99) == Paired([])
    assert paired([], 9, 99) == Paired([])


def plainly(films: list[list[np.ndarray]], most: int) -> tuple[set[tuple[int, int]], int]:
    """The likest later ones of each, pair by pair, in double precision; and how many were left out."""

    def unit(scene: np.ndarray) -> np.ndarray:
        return (scene - scene.mean()) / np.linalg.norm(scene - scene.mean())

    def like(a: list[np.ndarray], b: list[np.ndarray]) -> float:
        return max(float((unit(x) * unit(y)).sum()) for one in a for x in (one, one[:, ::-1]) for y in b)

    found, left_out = set(), 0
    for a in range(len(films)):
        likeness = {b: like(films[a], films[b]) for b in range(a + 1, len(films))}
        alike = sorted((b for b in likeness if likeness[b] >= 0.85), key=lambda b: -likeness[b])
        found |= {(a, b) for b in alike[:most]}
        left_out += len(alike[most:])
    return found, left_out


@pytest.mark.parametrize("most", [1, 4, 500])
def test_the_same_ones_as_pair_by_pair_whatever_is_looked_at_at_once(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(most)
    rooms = rng.uniform(60, 180, (4, 6, 8))
    shown = []
    for _ in range(120):  # films of one or two scenes, some mirrored
        chosen = rng.permutation(4)[: rng.integers(1, 3)]
        film = [np.rint(rooms[room] + rng.normal(0, 12, (6, 8)))[:, :: rng.choice([1, -1])] for room in chosen]
        shown.append([scene.astype(np.uint8) for scene in film])
    expected, left_out = plainly([[scene.astype(float) for scene in film] for film in shown], most)
    films = [[scene.tobytes() + bytes(16) for scene in film] for film in shown]
    for at_once in (7, 1024):
        monkeypatch.setattr("stages.twins.scenes._AT_ONCE", at_once)
        found = paired(films, most, 99_999)
        assert set(found.pairs) == expected and len(found.pairs) == len(expected)
        assert (found.beyond_films, found.beyond_pairs) == (left_out, 0)
    assert len(expected) > 100 and (left_out == 0) == (most == 500)


def test_who_has_enough_of_the_very_same_picture_is_compared_with_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.twins.scenes._AT_ONCE", 16)
    compared = 0

    def counting(self: _Scenes, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        nonlocal compared
        compared += len(rows) * len(columns)
        return np.ones((len(rows), len(columns)), np.float32)

    monkeypatch.setattr(_Scenes, "alike", counting)
    picture = np.random.default_rng(1).integers(0, 255, 64, dtype=np.uint8).tobytes()
    found = paired([[picture]] * 800, 3, 99_999)
    assert found.pairs == [(a, b) for a in range(800) for b in range(a + 1, min(a + 4, 800))]
    assert found.beyond_films > 0 and compared <= 800 * 32  # of 320,000
