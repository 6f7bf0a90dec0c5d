"""Jump cuts and wipes within one talk, where nothing but the speaker changes.

What moves changes a place for several pictures, an edit changes it once. So of each place's change only that counts by which it
stands above those of the pictures around it: a spike. At a jump cut many places spike in one picture; along a wipe column after
column (or row after row) does, so that the sums over slanted lines through time stand out. Captions and banners do so, too, but
over few rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.base.arrays import Floats32
from pipeline.media.shots.distances import distances
from pipeline.media.shots.flags import Flags

_NOISE = 5  # levels of RGB: what coding changes is less
_REACH = 3  # pictures before and after above whose changes a spike stands
_WINDOW = 2 * _REACH + 2  # pictures that tell of the spikes in one
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
    """Follows very small pictures, several at once; of each it keeps sums over columns and rows."""

    def __init__(self) -> None:
        self._last: tuple[Floats32, Floats32] | None = (
            None  # levels and changes that those of later pictures are compared with
        )
        self._count = 0
        self._jumps: list[float] = []  # of each picture from the fourth on
        self._spread: list[float] = []
        self._columns: list[Floats32] = []
        self._rows: list[Floats32] = []

    def see(self, levels: Floats32, moved: Floats32) -> None:
        """Look at the next pictures, as many as there are.

        Args:
            levels: (pictures, height, width, 3) made by `gradual.very_small`.
            moved: (pictures, height, width) `distances` of each from the one before; 0 in the first of all.
        """
        self._count += len(levels)
        changes = np.maximum(moved - np.float32(_NOISE), 0)
        if self._last is not None:
            levels, changes = (np.concatenate(pair) for pair in zip(self._last, (levels, changes), strict=True))
        self._last = levels[-_WINDOW + 1 :], changes[-_WINDOW + 1 :]
        if len(levels) >= _WINDOW:
            self._spikes(levels, changes)

    def _spikes(self, levels: Floats32, changes: Floats32) -> None:
        """Note those of the fourth change of every eight in a row; levels and changes: of all pictures that these lie in."""
        count, at = len(levels) - _WINDOW + 1, _REACH

        def from_on(values: Floats32, first: int) -> Floats32:
            return values[first : first + count]

        # By the first picture of each three, and of each two: the greatest of them.
        three = np.maximum(np.maximum(changes[:-2], changes[1:-1]), changes[2:])
        alone = from_on(changes, at) - np.maximum(from_on(three, 0), from_on(three, at + 1))
        alone = np.maximum(alone, 0)
        self._jumps += alone.mean((1, 2)).tolist()
        self._spread += [_spread(rows) for rows in alone.sum(2)]
        pairs = changes[:-1] + changes[1:]  # a wipe's edge takes up to two pictures to cross a place
        two = np.maximum(pairs[:-1], pairs[1:])
        others = np.maximum(from_on(two, at - 3), from_on(two, at + 2))
        lasting = distances(from_on(levels, at - 2), from_on(levels, at + 3))
        most = _BACK * np.maximum(lasting - np.float32(_NOISE), 0)
        crossed = np.clip(from_on(pairs, at) - others, 0, most) / others[0].size
        self._columns += list(crossed.sum(1))
        self._rows += list(crossed.sum(2))

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


def _spread(values: npt.NDArray[np.floating]) -> float:
    """Over what share of the places values lie: 1 where all are alike."""
    squares = float(np.square(values).sum())
    return float(values.sum()) ** 2 / squares / len(values) if squares else 0.0
