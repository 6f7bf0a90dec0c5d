"""What two films have in common by what moves in them: where they may meet, and the windows that are alike there.

A probe of ten seconds is laid along the other film, at five speeds, by Fourier transform; halves and rims of the picture are joined
so that a mirrored film gives the same. Where the two are alike, all cells are compared, mirrored too.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats32, Floats64, Ints
from pipeline.media.shots.motion_print import CELLS
from pipeline.media.twins.comparison import Match, follow
from stages.twins.moving import MOTION, SPEEDS, Moving, likeness

_Spectra = NDArray[np.complexfloating]

_PROBE = 125  # pictures: 10 s
_PROBES = 4  # of a film
_CHANNELS = 4
_BLOCK = 1024  # pictures that are transformed at once
_STEP = _BLOCK - 2 * _PROBE  # from one block to the next: a probe that begins in the first part ends in the block
_MIN_PROBE_LIKENESS = 0.5  # copies have 0.8 and more where they meet
_MEETINGS = 4  # that are looked at, the likest of all probes and speeds
_AROUND = range(-2, 3)  # pictures beside a meeting
_FOLD = np.array(
    [
        [(row // 2, column in (0, 3)) == half for half in ((0, True), (0, False), (1, True), (1, False))]
        for row in range(CELLS)
        for column in range(CELLS)
    ],
    np.float32,
)
_LEAST_ENERGY = 0.05  # of a picture that is compared: what is still is like nothing


@dataclass(frozen=True)
class Meeting:
    """A line on which two films may lie: where `a` is at picture x, `b` is at speed * x + pictures.

    Attributes:
        at: a picture of `a` at which they meet.
    """

    speed: float
    pictures: float
    at: float = 0.0

    @classmethod
    def of(cls, match: Match) -> "Meeting":
        """Where two films meet by their sound."""
        return cls(match.speed, match.offset_seconds / MOTION.step, float(match.spans[0, 0]) / MOTION.step)

    def back(self) -> "Meeting":
        """The same, seen from `b`."""
        return Meeting(1 / self.speed, -self.pictures / self.speed, self.speed * self.at + self.pictures)


@dataclass(frozen=True)
class Shared:
    """What a film shares with another by motion, and whether it is mirrored."""

    match: Match
    mirrored: bool


class Film:
    """A film as it is compared: what moves in it, and its probes.

    Args:
        moving: of its clips.
    """

    def __init__(self, moving: Moving) -> None:
        self.moving = moving
        self._norms: dict[int, Floats32] = {}

    @cached_property
    def mirrored(self) -> Moving:
        return self.moving.mirrored()

    @cached_property
    def probes(self) -> "_Probes":
        return _Probes.of(self.moving, self.folded)

    @cached_property
    def folded(self) -> Floats32:
        """(n, channels) cells joined so that a mirror changes nothing."""
        return _folded(self.moving.values)

    @cached_property
    def blocks(self) -> _Spectra:
        """(frequencies, channels, blocks) of this film, along which probes of others are laid."""
        count = max(1, -(-len(self.folded) // _STEP))
        padded = np.zeros((count * _STEP + _BLOCK, _CHANNELS), np.float32)
        padded[: len(self.folded)] = self.folded
        cut = np.stack([padded[at : at + _BLOCK].T for at in range(0, count * _STEP, _STEP)], 1)
        return np.fft.rfft(cut, axis=2).transpose(2, 0, 1).copy()

    def norm(self, long: int) -> Floats32:
        """(places,) length of `long` folded pictures from each place on as a vector about its mean; none move beyond the end."""
        if long not in self._norms:
            padded = np.concatenate([np.zeros((1, _CHANNELS)), self.folded, np.zeros((long, _CHANNELS))])
            total, squares = np.cumsum(padded, 0), np.cumsum(np.einsum("tc,tc->t", padded, padded))
            inside = total[long:-1] - total[: -long - 1]
            energy = squares[long:-1] - squares[: -long - 1] - np.einsum("tc,tc->t", inside, inside) / long
            self._norms[long] = np.sqrt(np.maximum(energy, _LEAST_ENERGY * long)).astype(np.float32)
        return self._norms[long]


@dataclass(frozen=True)
class _Probes:
    """Pieces of a film, each at every speed.

    Attributes:
        starts: (probes,) where each begins in its film.
        speeds: (probes,) as many times as fast does the film play that it is laid along.
        lengths: (probes,) pictures.
        norms: (probes,) length of the vector that it is.
        spectra: (frequencies, probes, channels).
    """

    starts: Ints
    speeds: Floats64
    lengths: Ints
    norms: Floats64
    spectra: _Spectra

    @classmethod
    def of(cls, moving: Moving, folded: Floats32) -> "_Probes":
        long = max(MOTION.window, min(_PROBE, int(moving.seen.sum()) // 2))
        seen = np.concatenate([[0], np.cumsum(moving.seen)])
        able = np.flatnonzero(moving.moves)  # what repeats itself is left out later, where films meet at all
        able = able[able <= len(moving.values) - long]
        able = able[seen[able + long] - seen[able] == long]
        chosen = np.unique(able[np.linspace(0, len(able) - 1, _PROBES).round().astype(np.int64)]) if len(able) else able
        cut = [(int(start), speed, _piece(folded, int(start), long, speed)) for start in chosen for speed in SPEEDS]
        padded = np.zeros((len(cut), _CHANNELS, _BLOCK), np.float32)
        for at, (_, _, piece) in enumerate(cut):
            padded[at, :, : len(piece)] = piece.T
        return cls(
            np.array([start for start, _, _ in cut], np.int64),
            np.array([speed for _, speed, _ in cut], np.float64),
            np.array([len(piece) for _, _, piece in cut], np.int64),
            np.sqrt(np.einsum("pct,pct->p", padded, padded, dtype=np.float64)),
            np.fft.rfft(padded, axis=2).conj().transpose(2, 0, 1).copy(),
        )


def shared(a: Film, b: Film, meetings: Iterable[Meeting], max_error: float) -> tuple[Shared, Shared] | None:
    """What two films share, as each of them sees it; None where either sees nothing.

    Args:
        a, b: the films.
        meetings: where to look.
        max_error: 1 less the likeness of a window that matches.
    """
    found: tuple[Shared, Shared] | None = None
    for meeting in meetings:
        for mirrored in (False, True):
            here = _match(a.moving, b.mirrored if mirrored else b.moving, meeting, max_error)
            if here is None or (found and _worth(here) <= _worth(found[0].match)):
                continue
            there = _match(b.moving, a.mirrored if mirrored else a.moving, meeting.back(), max_error)
            if there:
                found = Shared(here, mirrored), Shared(there, mirrored)
    return found


def _worth(match: Match) -> float:
    """By which one match is better than another."""
    return match.seconds * (1 - match.error)


def _match(a: Moving, b: Moving, meeting: Meeting, max_error: float) -> Match | None:
    """The match along one line. A film at another speed is brought to the nearest of `SPEEDS`, and what is left drifts."""
    if len(a.values) < MOTION.window:
        return None
    speed = min(SPEEDS, key=lambda one: abs(one - meeting.speed))
    other = b.at_speed(speed)
    middle = round(meeting.pictures / speed + (meeting.speed / speed - 1) * meeting.at)

    def errors_at(offset: int) -> tuple[int, Floats64]:
        first, alike = likeness(a, other, offset)
        return first, 1 - alike

    found = follow(a.evidence, [middle + step for step in _AROUND], errors_at, max_error, MOTION)
    return found and replace(found, speed=found.speed * speed, offset_seconds=found.offset_seconds * speed)


def meetings(a: Film, b: Film) -> list[Meeting]:
    """Where `a` may meet `b`: where a probe of the shorter one is like the longer one, the likest first."""
    if a.moving.seen.sum() > b.moving.seen.sum():
        return [meeting.back() for meeting in meetings(b, a)]
    probes = a.probes
    if not len(probes.starts) or len(b.moving.values) < MOTION.window:
        return []
    found: list[tuple[float, Meeting]] = []
    for at, alike in enumerate(_along(probes, b)):
        where = int(alike.argmax())
        if alike[where] >= _MIN_PROBE_LIKENESS:
            speed, start = float(probes.speeds[at]), int(probes.starts[at])
            found.append((float(alike[where]), Meeting(speed, where - speed * start, start)))
    found.sort(key=lambda one: -one[0])
    return [meeting for _, meeting in found[:_MEETINGS]]


def _along(probes: _Probes, b: Film) -> Iterator[Floats32]:
    """(places,) correlation of each probe with `b` from each place on."""
    product = np.fft.irfft(probes.spectra @ b.blocks, _BLOCK, axis=0)[:_STEP]
    for at, long in enumerate(probes.lengths.tolist()):
        norm = b.norm(long)
        yield product[:, at].T.ravel()[: len(norm)] / (np.float32(probes.norms[at]) * norm)


def _folded(values: Floats32) -> Floats32:
    """(n, 4) of (n, 16) cells: top and bottom halves, each in the middle and at the rims, so that a mirror changes nothing."""
    return values @ _FOLD


def _piece(folded: Floats32, start: int, long: int, speed: float) -> Floats32:
    """(pictures, 4) of a film from `start` on, without its mean, as a film shows it that plays so many times as fast."""
    time = start + np.arange(int(long * speed)) / speed
    at = np.clip(time.astype(np.int64), 0, len(folded) - 2)
    part = np.clip(time - at, 0, 1).astype(np.float32)[:, None]
    piece = (1 - part) * folded[at] + part * folded[at + 1]
    return np.asarray(piece - piece.mean(0), np.float32)
