"""Which films were made in one studio, as small thumbnails of their clips tell: only those are compared by motion.

Of a thumbnail the upper three quarters count: captions and banners lie below. Mirrored ones count as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.base.arrays import Floats32, Ints

_SIDE = 8  # of a thumbnail
_ROWS = 6  # of them that count
_OF_A_FILM = 2  # different scenes at most: the camera on the speaker, and another one
_SAME = 0.95  # correlation of two scenes of a film that are one
_ALIKE = np.float32(
    0.85
)  # of two films' scenes; a film has 0.98 and more with its re-encoded, cropped or mirrored copy
_ONE_PICTURE = np.float32(0.999)  # nothing is liker than this but by how it was coded
_LEAST_CONTRAST = 2.0  # grey levels: of less nothing can be told
_AT_ONCE = 1024  # films that are compared with as many others


@dataclass(frozen=True)
class Paired:
    """Films that are to be compared.

    Attributes:
        pairs: their places (a, b), a < b, in order.
        beyond_films: pairs that are alike and left out since `a` has enough others; at least so many, as a film that has enough
            others of the very same picture is looked at no further.
        beyond_pairs: those left out since there are enough in all.
    """

    pairs: list[tuple[int, int]]
    beyond_films: int = 0
    beyond_pairs: int = 0


def paired(films: Sequence[Sequence[bytes]], most_films: int, most_pairs: int) -> Paired:
    """The films that share a studio.

    Args:
        films: thumbnails of the clips of each, the longest clip first.
        most_films: others that each is paired with, the likest ones; those that come after it count.
        most_pairs: of all, the likest ones.
    """
    scenes = _Scenes.of(films)
    found, beyond_films = [], 0
    for first in range(0, len(scenes.film), _AT_ONCE):
        likest = _Likest(np.arange(first, min(first + _AT_ONCE, len(scenes.film))), most_films)
        for begin in range(first, len(scenes.film), _AT_ONCE):
            if not len(rows := likest.wanting()):
                break
            others = np.arange(begin, min(begin + _AT_ONCE, len(scenes.film)))
            likest.see(rows, others, scenes.alike(likest.films[rows], others))
        found.append(likest.pairs())
        beyond_films += likest.left_out
    if not found:
        return Paired([])
    a, b, value = (np.concatenate(columns) for columns in zip(*found, strict=True))
    # of equally alike ones each film gets some, not the first films all of theirs
    chosen = np.lexsort((a, b - a, -np.round(value, 4)))[:most_pairs]
    pairs = zip(scenes.film[a[chosen]].tolist(), scenes.film[b[chosen]].tolist(), strict=True)
    return Paired(sorted(pairs), beyond_films, len(a) - len(chosen))


class _Likest:
    """The films that are likest to some, of those seen so far.

    Args:
        films: whose likest are looked for.
        most: of each.

    Attributes:
        left_out: pairs that are alike and no longer among the likest.
    """

    def __init__(self, films: Ints, most: int) -> None:
        self.films, self._most, self.left_out = films, most, 0
        self._row, self._other = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._value = np.zeros(0, np.float32)
        self._floor = np.full(len(films), np.nextafter(_ALIKE, np.float32(0)))  # what another has to be above

    def wanting(self) -> Ints:
        """The films, by their places, that a liker one may come for."""
        return np.flatnonzero(self._floor < _ONE_PICTURE)

    def see(self, rows: Ints, others: Ints, alike: Floats32) -> None:
        """Take in how much the films at these places are like others, (rows, others), which come after all before."""
        if others[0] <= self.films[-1]:
            alike = np.where(others > self.films[rows][:, None], alike, np.float32(-1))
        self.left_out += int(np.count_nonzero(alike >= _ALIKE))
        at, column = np.nonzero(alike > self._floor[rows][:, None])
        if not len(at):
            return
        before = len(self._row)
        row = np.concatenate([self._row, rows[at]])
        other = np.concatenate([self._other, others[column]])
        value = np.concatenate([self._value, alike[at, column]])
        order = np.lexsort((other, -value, row))
        counts = np.bincount(row, minlength=len(self.films))
        rank = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = order[rank < self._most]
        last = order[rank == self._most - 1]
        self._row, self._other, self._value = row[kept], other[kept], value[kept]
        self._floor[row[last]] = value[last]
        self.left_out -= len(kept) - before

    def pairs(self) -> tuple[Ints, Ints, Floats32]:
        """Each film, one of its likest, and how much they are alike."""
        return self.films[self._row], self._other, self._value


@dataclass(frozen=True)
class _Scenes:
    """The scenes of all films that have any.

    Attributes:
        film: (n,) place of each among all films.
        first: (n, 48) unit vectors.
        second: (m, 48) those of films that have another scene.
        second_of: (n,) which of them is a film's; -1: none.
    """

    film: Ints
    first: Floats32
    second: Floats32
    second_of: Ints

    @classmethod
    def of(cls, films: Sequence[Sequence[bytes]]) -> "_Scenes":
        found = [(at, scenes) for at, film in enumerate(films) if (scenes := list(_distinct(film)))]
        two = np.array([len(scenes) > 1 for _, scenes in found], bool)
        return cls(
            np.array([at for at, _ in found], np.int64),
            _stacked([scenes[0] for _, scenes in found]),
            _stacked([scenes[1] for _, scenes in found if len(scenes) > 1]),
            np.where(two, np.cumsum(two) - 1, -1),
        )

    def alike(self, rows: Ints, columns: Ints) -> Floats32:
        """(rows, columns) correlation of the likest scenes of each two films, mirrored or not."""
        (mine, my_second), (others, their_second) = self._vectors(rows), self._vectors(columns)
        mirrored = np.ascontiguousarray(mine.reshape(-1, _ROWS, _SIDE)[:, :, ::-1]).reshape(len(mine), -1)
        alike: Floats32 = np.maximum(mine @ others.T, mirrored @ others.T)
        if len(my_second):
            alike[my_second] = np.maximum(alike[my_second], alike[len(rows) :])
        if len(their_second):
            alike[:, their_second] = np.maximum(alike[:, their_second], alike[:, len(columns) :])
        return alike[: len(rows), : len(columns)]

    def _vectors(self, places: Ints) -> tuple[Floats32, Ints]:
        """The first scenes of these films and then the second ones, and whose of them these are."""
        second = self.second_of[places]
        having = np.flatnonzero(second >= 0)
        return np.concatenate([self.first[places], self.second[second[having]]]), having


def _distinct(thumbnails: Sequence[bytes]) -> Iterator[Floats32]:
    """(48,) unit vectors of the first different scenes."""
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
            yield one


def _stacked(vectors: Sequence[Floats32]) -> Floats32:
    return np.stack(vectors) if vectors else np.zeros((0, _ROWS * _SIDE), np.float32)
