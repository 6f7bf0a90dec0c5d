"""Dissolves within one talk: two poses are seen through each other.

Two things tell that from motion. The edges of a place that only one of two mixed pictures has are there with their share alone,
and energy goes by its square: where the pictures before and after differ, the energy of the gradients follows a parabola, down
to the middle of the dissolve and up again, everywhere at once (the variance does, in Alattar 1993, "Detecting and compressing
dissolve regions in video sequences"). And many places have gone the share of their way that time has; what moves lies before or
behind the wall, and hardly ever between.
"""

from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.base.arrays import Floats32
from pipeline.media.shots.flags import Flags, Pixels, Values

_LENGTHS = (12, 16, 21, 28, 38, 50)  # pictures; each fits those around it
_STRIDES = 6  # a window begins so many times in its own length
_EDGE = 5  # pictures before and after that tell what contrast is without a dissolve
_SIDE_PX = 128  # long side of what is looked at
_CELL_PX = 8  # side of the cells that have to agree
_BLOCK_PX, _BLOCK_CHANGED = 4, 5  # of a first look; levels of grey
_CHANGED = 15  # levels of grey from which a place differs between the ends
_LEAST = 60  # such places
_WORTH = 0.12  # share of the energy that must be missing in the middle for the fit to be tried
_DEPTH = 0.18  # least of the parabola, share of the energy
_CLEAR = 3.5  # least times that it is deeper than what it leaves unexplained
_AGREEING = 0.5  # least share of the energy in cells that dip at least half as deep
_AGAINST = 0.3  # most share of the energy in cells that rise instead
_ON_THE_WAY = 0.25  # least share of the places that have gone as far as time has; people before a wall come to .08
_WAYS, _NEAR_THE_WAY = (0.25, 0.5, 0.75), 0.25  # when that is asked, and how far off is near
_SURE = 1.6  # least product of clearness and of the share on the way; dissolves come to 1.8-5, uncut clips to 1.1
_LOOK_BACK = 12  # pictures before, for motion cannot always be told within
_MOVING = 0.001  # picture widths: a wall that a camera moves over or towards changes contrast, too
_NOISE = 0.02  # of the unexplained, that is never less


@dataclass(frozen=True)
class Dissolve:
    """The pictures [first, end) are of two poses; `sure` says how well they look it."""

    first: int
    end: int
    sure: float


class DoubledWatch:
    """Follows grey pictures and notes dissolves between poses; keeps the last sixty."""

    def __init__(self) -> None:
        most = max(_LENGTHS) + 2 * _EDGE + 1
        self._greys: deque[Floats32] = deque(maxlen=most)
        self._energies: deque[Floats32] = deque(maxlen=most)
        self._coarse: deque[tuple[Floats32, Floats32]] = deque(maxlen=most)  # both by blocks, to be quick
        self._count = 0
        self._found: list[Dissolve] = []

    def see(self, grey: Pixels, sudden: bool = False) -> None:
        """Look at the next picture (height, width) uint8.

        Args:
            grey: of one size.
            sudden: a hard cut lies before it, so that no dissolve reaches across.
        """
        if sudden:
            self._greys.clear()
            self._energies.clear()
            self._coarse.clear()
        scale = min(1.0, _SIDE_PX / max(grey.shape))
        small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)
        across, down = cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1)
        energy = np.asarray(cv2.add(cv2.multiply(across, across), cv2.multiply(down, down)), np.float32)
        self._greys.append(small)
        self._energies.append(energy)
        self._coarse.append((_blocks(small), _blocks(energy)))
        self._count += 1
        for length in _LENGTHS:
            if self._count % (length // _STRIDES) == 0 and len(self._greys) >= length + 2 * _EDGE + 1:
                self._try(length)

    def beyond(self, known: Flags, near: int, widths: Values) -> Flags:
        """(pictures,) of dissolves.

        Args:
            known: (pictures,) what other rules found; within `near` pictures of it there is none.
            near: see there.
            widths: (pictures,) camera motion since the picture before, picture widths, NaN where unknown; where it moves
                there is none.
        """
        inside = np.zeros(self._count, dtype=bool)
        taken = known.copy()
        for found in sorted(self._found, key=lambda found: -found.sure):
            margin = max(2, (found.end - found.first) // 10)
            first, end = max(0, found.first - margin), found.end + margin
            moved = widths[max(0, first - _LOOK_BACK) : end]
            moving = float(np.mean(moved[np.isfinite(moved)] > _MOVING)) > 0.5 if np.isfinite(moved).any() else False
            if not moving and not taken[max(0, first - near) : end + near].any():
                inside[first:end] = taken[first:end] = True
        return inside

    def _try(self, length: int) -> None:
        at = len(self._greys) - _EDGE - 1 - length
        if not _dips(self._coarse[at], self._coarse[at + length // 2], self._coarse[at + length]):
            return
        changed = cv2.absdiff(self._greys[at + length], self._greys[at]) > _CHANGED
        if np.count_nonzero(changed) < _LEAST:
            return
        on_the_way = self._on_the_way(at, length, changed)
        if on_the_way < _ON_THE_WAY:
            return
        wide = cv2.dilate(changed.astype(np.uint8), np.ones((3, 3), np.uint8))
        energies = list(islice(self._energies, at - _EDGE, None))
        weights = wide.astype(np.float32)
        dip = _dip(np.array([np.vdot(energy, weights) for energy in energies], np.float64), length)
        if dip is None or dip.clear * on_the_way < _SURE:
            return
        places, cells = _by_cell(wide > 0)
        if _agree(np.stack([energy.take(places) for energy in energies]), cells, length, dip.depth):
            start = self._count - _EDGE - 1 - length
            self._found.append(Dissolve(start, start + length, dip.clear * on_the_way))

    def _on_the_way(self, at: int, length: int, changed: Flags) -> float:
        """Share of the changed places that have gone as far from the one pose to the other as time has."""
        places = np.flatnonzero(changed)
        before = self._greys[at].take(places)
        apart = self._greys[at + length].take(places) - before
        found = []
        for way in _WAYS:
            gone = (self._greys[at + round(way * length)].take(places) - before) / apart
            found.append(float((np.abs(gone - way) < _NEAR_THE_WAY).mean()))
        return float(np.mean(found))


def _blocks(values: Floats32) -> Floats32:
    """Means over blocks of 4 x 4."""
    height, width = values.shape
    size = (max(1, width // _BLOCK_PX), max(1, height // _BLOCK_PX))
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)


def _dips(
    before: tuple[Floats32, Floats32], middle: tuple[Floats32, Floats32], after: tuple[Floats32, Floats32]
) -> bool:
    """Whether blocks (grey, energy) that change have less energy in the middle."""
    changed = (cv2.absdiff(before[0], after[0]) > _BLOCK_CHANGED).astype(np.float32)
    ends = float(np.vdot(before[1], changed) + np.vdot(after[1], changed)) / 2
    return float(np.vdot(middle[1], changed)) < (1 - _WORTH) * ends


@dataclass(frozen=True)
class _Dip:
    """A dissolve's parabola in the energy: how deep it is, share of the energy, and how clear."""

    depth: float
    clear: float


def _dip(energy: Values, length: int) -> _Dip | None:
    """The parabola that energy follows; None where it follows none.

    Args:
        energy: (pictures,) of a window and `_EDGE` pictures before and after.
        length: of the window, pictures.
    """
    along, shape = _parabola(len(energy), length)
    missing = 1 - energy / np.maximum(_without(energy[:, None], along)[:, 0], 1e-3)
    depth = float(missing @ shape) / float(shape @ shape)
    clear = depth / (float(np.sqrt(np.square(missing - depth * shape).mean())) + _NOISE)
    return None if depth < _DEPTH or clear < _CLEAR else _Dip(depth, clear)


def _agree(energy: Floats32, cells: npt.NDArray[np.int64], length: int, depth: float) -> bool:
    """Whether cells dip as all of the picture does.

    Args:
        energy: (pictures, places) as in `_dip`.
        cells: (places,) number of the cell of each, ascending.
        length: of the window, pictures.
        depth: of all cells together.
    """
    along, shape = _parabola(len(energy), length)
    parts = np.add.reduceat(energy, np.flatnonzero(np.diff(cells, prepend=-1)), axis=1)
    full = _without(parts, along)
    weights = full[shape > 0].mean(0)
    depths = shape @ (full - parts) / float(shape @ shape) / np.maximum(weights, 1e-3)
    agreeing, against = (float(weights[some].sum() / weights.sum()) for some in (depths > depth / 2, depths < 0))
    return agreeing >= _AGREEING and against <= _AGAINST


@lru_cache(maxsize=len(_LENGTHS))
def _parabola(count: int, length: int) -> tuple[Values, Values]:
    """(pictures,) how far along a window each picture of it lies, 0..1, and what a dissolve of two poses takes there, at most 1."""
    along = (np.arange(count) - _EDGE) / length
    return along, np.where((along > 0) & (along < 1), 4 * along * (1 - along), 0)


def _without(energy: Floats32 | Values, along: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(pictures, n) the energy that there would be without a dissolve: straight from before it to after it."""
    before, after = energy[: _EDGE + 1].mean(0), energy[-_EDGE - 1 :].mean(0)
    return np.asarray(np.maximum(before * (1 - along)[:, None] + after * along[:, None], 0), np.float64)


def _by_cell(changed: Flags) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(places,) where (height, width) flags are true, cell by cell; and the cell of each."""
    places = np.flatnonzero(changed)
    rows, columns = np.divmod(places, changed.shape[1])
    cells = (rows // _CELL_PX) * (changed.shape[1] // _CELL_PX + 1) + columns // _CELL_PX
    order = np.argsort(cells, kind="stable")
    return places[order], cells[order]
