"""Jump cuts and wipes within one talk, where nothing but the speaker changes.

What moves changes a place for several pictures, an edit changes it once. So of each place's change only that counts by which it
stands above those of the pictures around it: a spike. At a jump cut many places spike in one picture; along a wipe column after
column (or row after row) does, so that the sums over slanted lines through time stand out. Captions and banners do so, too, but
over few rows.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import islice

import numpy as np
import numpy.typing as npt

from pipeline.base.arrays import Floats32
from pipeline.media.shots.distances import distances
from pipeline.media.shots.flags import Flags

_NOISE = 5  # levels of RGB: what coding changes is less
_REACH = 3  # pictures before and after above whose changes a spike stands
_AROUND = 5  # pictures before and after with whose spikes those of one are compared
_BACK = 2  # times the change that is left two pictures later by which a wipe's places may spike: an arm that passes leaves none
# The largest ratios in uncut clips: 7.8 of one picture, 3.3 along a line; jump cuts come to 13-54, wipes to 5.5-43.
_JUMP, _JUMP_RATIO = 1.0, 10.0  # least mean spike, levels; over the largest around
_WIPE, _WIPE_RATIO = 2.5, 4.8
_JUMP_AT_REST, _WIPE_AT_REST = 0.05, 0.15  # levels
_SPREAD = 0.25  # share of the picture's height (or width) over which spikes lie at least; a banner comes to .15
_CAPTION = 0.2  # below that nothing but writing came: a line of it comes to .13
_SWEPT = 0.3  # and of a line through time; a head and then a hand that jerk come to .14, speakers to .34 and more
_DURATIONS = 8 * 1.12 ** np.arange(17)  # pictures that a wipe takes: 8 to 49
NEAR = 12  # pictures from what other rules found in which the same change may spike
_PHASES = (0.0, 0.33, 0.67)  # of a picture, at which it begins


@dataclass(frozen=True)
class Sweep:
    """A wipe: the pictures [first, end) are of two shots; `ratio` says how far it stands out."""

    first: int
    end: int
    ratio: float


class SuddenWatch:
    """Follows very small pictures; of each it keeps sums over columns and rows."""

    def __init__(self) -> None:
        self._pictures: deque[Floats32] = deque(maxlen=2 * _REACH + 2)
        self._changes: deque[Floats32] = deque(maxlen=2 * _REACH + 2)
        # Each change and the next: a wipe's edge takes up to two pictures to cross a place.
        self._pairs: deque[Floats32] = deque(maxlen=2 * _REACH + 1)
        self._count = 0
        self._jumps: list[float] = []  # of each picture from the fourth on
        self._spread: list[float] = []
        self._columns: list[Floats32] = []
        self._rows: list[Floats32] = []

    def see(self, levels: Floats32, moved: Floats32) -> None:
        """Look at the next picture.

        Args:
            levels: (height, width, 3) made by `gradual.very_small`.
            moved: (height, width) its `distances` from the one before; 0 in the first.
        """
        change = _beyond_noise(moved)
        if self._changes:
            self._pairs.append(self._changes[-1] + change)
        self._changes.append(change)
        self._pictures.append(levels)
        self._count += 1
        if len(self._pictures) == 2 * _REACH + 2:
            self._spikes(_beyond_noise(distances(self._pictures[_REACH - 2], self._pictures[_REACH + 3])))

    def _spikes(self, lasting: Floats32) -> None:
        """Note those of the fourth of the last eight changes.

        Args:
            lasting: (height, width) change from two pictures before the fourth to three after it.
        """
        at, changes, pairs = _REACH, self._changes, self._pairs
        alone = np.maximum(changes[at] - _most([*islice(changes, at), *islice(changes, at + 1, 2 * at + 1)]), 0)
        self._jumps.append(float(alone.mean()))
        self._spread.append(_spread(alone.sum(1)))
        others = _most([*islice(pairs, at - 1), *islice(pairs, at + 2, None)])
        crossed = np.clip(pairs[at] - others, 0, _BACK * lasting) / others.size
        self._columns.append(crossed.sum(0))
        self._rows.append(crossed.sum(1))

    def beyond(self, starts: Flags, outside: Flags, not_cuts: Flags) -> tuple[Flags, Flags]:
        """(pictures,) shots that begin beside those that are known, and pictures of wipes between two shots.

        Args:
            starts, outside: (pictures,) shots that begin, and pictures of no shot, by other rules; near them none is added.
            not_cuts: (pictures,) no jump in time is believed here.
        """
        known, more_starts, more_outside = starts | outside, np.zeros_like(starts), np.zeros_like(outside)
        for k in self._jump_cuts():
            if not not_cuts[k] and not _near(known, k, k + 1):
                more_starts[k] = True
        known = known | more_starts
        for sweep in self._sweeps():
            if not _near(known, sweep.first, sweep.end):
                more_outside[sweep.first : sweep.end] = True
        return more_starts, more_outside

    def narrow(self) -> Flags:
        """(pictures,) what changes at once lies over few rows, as a caption or a banner does."""
        flags = np.zeros(self._count, dtype=bool)
        seen = (np.array(self._jumps) >= _JUMP) & (np.array(self._spread) < _CAPTION)
        flags[_REACH : _REACH + len(seen)] = seen
        return flags

    def _jump_cuts(self) -> list[int]:
        """Pictures that come after a jump in time."""
        strong = _strong(np.array(self._jumps), _JUMP, _JUMP_RATIO, _JUMP_AT_REST, apart=1)
        return [k + _REACH for k in strong if self._spread[k] >= _SPREAD]

    def _sweeps(self) -> list[Sweep]:
        """The wipes; of those that overlap the one that stands out most."""
        if not self._columns:
            return []
        columns, rows = np.stack(self._columns), np.stack(self._rows)
        best: list[Sweep] = []
        for sweep in sorted([*_along(columns, rows), *_along(rows, columns)], key=lambda found: -found.ratio):
            if not any(sweep.first < other.end and other.first < sweep.end for other in best):
                best.append(sweep)
        return best


def _beyond_noise(moved: Floats32) -> Floats32:
    """(height, width) by how many levels more than noise places lie apart."""
    return np.asarray(np.maximum(moved - np.float32(_NOISE), 0), np.float32)


def _near(known: Flags, first: int, end: int) -> bool:
    return bool(known[max(0, first - NEAR) : end + NEAR].any())


def _along(sums: Floats32, across: Floats32) -> Iterator[Sweep]:
    """Wipes in either direction along an axis.

    Args:
        sums: (pictures, n) spikes by the place along it.
        across: (pictures, m) by the place on the other axis.
    """
    count, places = sums.shape
    by_place = np.ascontiguousarray(sums.T, np.float64)
    way = (np.arange(places) + 0.5) / places
    for share in (way, 1 - way):
        for duration in _DURATIONS:
            for phase in _PHASES:
                turned = np.floor(duration * share + phase).astype(int)
                last = int(turned.max())
                if count - last <= 2 * _AROUND:
                    continue
                lines = np.zeros(count - last)
                for place, late in enumerate(turned):
                    lines += by_place[place, late : late + len(lines)]
                for k, ratio in _strong(lines, _WIPE, _WIPE_RATIO, _WIPE_AT_REST, apart=2).items():
                    swept = sums[k + turned, np.arange(places)]
                    if _spread(swept) >= _SWEPT and _spread(across[k : k + last + 2].sum(0)) >= _SPREAD:
                        yield Sweep(k + _REACH, k + last + 2 + _REACH, ratio)


def _strong(
    values: npt.NDArray[np.floating], least: float, ratio: float, at_rest: float, apart: int
) -> dict[int, float]:
    """Where values reach `least` and `ratio` times the largest around that is `apart` or more away; that ratio of each."""
    inner = values[_AROUND : len(values) - _AROUND]
    at = _AROUND + np.flatnonzero(inner >= least)
    if not len(at):
        return {}
    beside = np.r_[-_AROUND : 1 - apart, apart : _AROUND + 1]
    over = values[at] / (values[at[:, None] + beside].max(1) + at_rest)
    return {int(k): float(times) for k, times in zip(at, over, strict=True) if times >= ratio}


def _most(changes: list[Floats32]) -> Floats32:
    """The greatest of each place; quicker than over a stack of them."""
    return reduce(np.maximum, changes)


def _spread(values: npt.NDArray[np.floating]) -> float:
    """Over what share of the places values lie: 1 where all are alike."""
    squares = float(np.square(values).sum())
    return float(values.sum()) ** 2 / squares / len(values) if squares else 0.0
