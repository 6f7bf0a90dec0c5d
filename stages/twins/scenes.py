"""Which films were made in one studio, as small thumbnails of their clips tell: only those are compared by motion.

Of a thumbnail the upper three quarters count: captions and banners lie below. Mirrored ones count as well.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.base.arrays import Floats32

_SIDE = 8  # of a thumbnail
_ROWS = 6  # of them that count
_OF_A_FILM = 2  # different scenes at most: the camera on the speaker, and another one
_SAME = 0.95  # correlation of two scenes of a film that are one
_ALIKE = 0.85  # of two films' scenes; the same film has 0.98 and more when it is re-encoded, cropped or mirrored
_LEAST_CONTRAST = 2.0  # grey levels: of less nothing can be told
_AT_ONCE = 256


def pairs(films: Sequence[Sequence[bytes]], most: int) -> tuple[list[tuple[int, int]], int]:
    """Films that share a studio, by their places (a, b), a < b, in order; and how many pairs were left out.

    Args:
        films: thumbnails of the clips of each, the longest clip first.
        most: others that each is paired with, the likest ones; those that come after it count.
    """
    scenes = [_distinct(film) for film in films]
    owner = np.repeat(np.arange(len(films)), [len(found) for found in scenes])
    if len(owner) < 2:
        return [], 0
    vectors = np.concatenate(scenes)
    mirrored = np.ascontiguousarray(vectors.reshape(-1, _ROWS, _SIDE)[:, :, ::-1]).reshape(len(vectors), -1)
    found: dict[tuple[int, int], float] = {}
    left_out = 0
    for first in range(0, len(films), _AT_ONCE):
        begin, end = np.searchsorted(owner, [first, first + _AT_ONCE])
        alike = np.maximum(vectors[begin:end] @ vectors[begin:].T, vectors[begin:end] @ mirrored[begin:].T)
        for a, others in _by_film(alike, owner[begin:end], owner[begin:]):
            chosen = sorted(others, key=lambda b: (-others[b], b))
            left_out += max(0, len(chosen) - most)
            found |= {(a, b): others[b] for b in chosen[:most]}
    return sorted(found), left_out


def _by_film(alike: Floats32, mine: np.ndarray, others: np.ndarray) -> Iterator[tuple[int, dict[int, float]]]:
    """Of each film the later ones that are alike, and how much."""
    row, column = np.nonzero(alike >= _ALIKE)
    later = others[column] > mine[row]
    row, column = row[later], column[later]
    found: dict[int, dict[int, float]] = {}
    for a, b, value in zip(mine[row].tolist(), others[column].tolist(), alike[row, column].tolist(), strict=True):
        of_a = found.setdefault(a, {})
        of_a[b] = max(value, of_a.get(b, 0.0))
    yield from sorted(found.items())


def _distinct(thumbnails: Sequence[bytes]) -> Floats32:
    """(n, 48) unit vectors of the first different scenes."""
    taken: list[Floats32] = []
    for data in thumbnails:
        if len(taken) == _OF_A_FILM or len(data) != _SIDE**2:
            continue
        values = np.frombuffer(data, np.uint8).astype(np.float32)[: _ROWS * _SIDE]
        values = values - values.mean()
        long = float(np.linalg.norm(values))
        if long < _LEAST_CONTRAST * np.sqrt(len(values)):
            continue
        one = np.asarray(values / long, np.float32)
        if all(float(one @ other) < _SAME for other in taken):
            taken.append(one)
    return np.stack(taken) if taken else np.zeros((0, _ROWS * _SIDE), np.float32)
