"""Borders inside a picture: letterbox, pillars, a picture in a picture, a slide beside the speaker.

Such a border is straight to the pixel, runs along the rows or columns of the picture, and stays where it is while all else moves.
So steps of grey between neighbouring columns (and rows) are looked at over several pictures, and lines along which nearly every
place keeps its step bound the frames. A wall, a door or a table has such edges too, but a person stands before them, and
perspective tilts them: along the whole picture they come to .56 of a line's places where a border comes to .8.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from pipeline.base.units import Box

Flags2 = npt.NDArray[np.bool_]
Grey = npt.NDArray[np.uint8]

STEP = 6  # grey levels across a border; blurred sides repeat what lies beside them
CLEARER = 1.5  # times the steps 3 px to either side: texture has its like there
STAYS = 0.7  # share of the pictures in which a place must keep its step
MIN_PICTURES = 3
RIM_PX = 4  # lines this near to the picture's edge frame nothing: encoders and scanners leave them
MIN_SIDE = 0.12  # of a frame, share of the picture's
MOST_LINES = 40  # looked at, the longest first: a slide has lines of text
# Share of a line's places that must keep their step.
PAIR, OF_A_PAIR = 0.58, 0.45  # two along all of the picture, mean and least: blurred pillars come to .71, rooms to .43
# ... and what lies beyond them is of one colour or blurred (.00-.01 of its places keep an edge); a room is not (.05 and more).
QUIET = 0.02
SINGLE = 0.85  # one upright line along all of it, with a flat page beside it: .94
CORNERED = 0.9  # a frame with upright and level sides: .97
ENDS = 0.5  # ... whose lines end at its corners, as a table's or a door's do not: share that may go on there
BEYOND_PX = 12  # that far
FLAT = 4.0  # deviation along a column of a page, grey levels: light falls less evenly on a wall


@dataclass(frozen=True)
class Steps:
    """Where neighbouring columns, and rows, of a picture differ; packed, because a film has thousands.

    Attributes:
        shape: (height, width).
        packed: both maps.
        deviation: (width,) of each column, grey levels, 255 at most.
    """

    shape: tuple[int, int]
    packed: bytes
    deviation: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, grey: Grey) -> "Steps":
        """The steps of a small picture (height, width) uint8."""
        both = np.stack([_steps(grey), _steps(grey.T).T])
        packed = zlib.compress(np.packbits(both).tobytes(), 1)
        return cls((grey.shape[0], grey.shape[1]), packed, np.ceil(grey.std(0)).astype(np.uint8))

    def maps(self) -> npt.NDArray[np.uint8]:
        """(2, height, width) 1 where columns differ, and where rows do."""
        bits = np.frombuffer(zlib.decompress(self.packed), np.uint8)
        return np.unpackbits(bits, count=2 * self.shape[0] * self.shape[1]).reshape(2, *self.shape)


def inner_frames(pictures: Sequence[Steps], width: int, height: int) -> list[Box]:
    """The pictures within the picture, (x1, y1, x2, y2) half open; each lies a little inside its border.

    Args:
        pictures: of one clip, spread over it; of fewer than `MIN_PICTURES` nothing is said.
        width, height: of the picture, px, in which the boxes are given.
    """
    if len(pictures) < MIN_PICTURES:
        return []
    maps = np.zeros((2, *pictures[0].shape))
    for steps in pictures:
        maps += steps.maps()
    columns, rows = maps >= STAYS * len(pictures)
    flat = np.median([steps.deviation for steps in pictures], axis=0) <= FLAT
    across, down = width / columns.shape[1], height / columns.shape[0]
    found = [
        (*_inside(span_x, columns.shape[1], across), *_inside(span_y, columns.shape[0], down))
        for span_x, span_y in _frames(columns, rows, flat)
    ]
    return sorted({(x1, y1, x2, y2) for x1, x2, y1, y2 in found})


Span = tuple[int | None, int | None]  # the lines on both sides; None is the picture's edge


def _frames(columns: Flags2, rows: Flags2, flat: Flags2) -> Iterator[tuple[Span, Span]]:
    """Every frame whose lines are there; `flat` (width,) are columns of one colour."""
    height, width = columns.shape
    upright, level = _lines(columns), _lines(rows.T)
    above = {line: [0, *np.cumsum(columns[:, line]).tolist()] for line in upright}  # places of each that lie over a row
    for x in product((None, *upright), (None, *upright)):
        left, right = _ends(x, width)
        if right - left < MIN_SIDE * width:
            continue
        kept = rows[level, left:right].mean(1)
        along = {line: float(share) for line, share in zip(level, kept, strict=True) if share >= OF_A_PAIR}
        for y in product((None, *along), (None, *along)):
            top, bottom = _ends(y, height)
            if bottom - top < MIN_SIDE * height:
                continue
            shares = [(above[line][bottom] - above[line][top]) / (bottom - top) for line in x if line is not None]
            if min(shares, default=1) < OF_A_PAIR:
                continue
            shares += [along[line] for line in y if line is not None]
            if shares and _bounds(x, y, shares, columns, rows, flat):
                yield x, y


def _bounds(x: Span, y: Span, shares: list[float], columns: Flags2, rows: Flags2, flat: Flags2) -> bool:
    """Whether lines that keep these shares of their steps are the border of a frame."""
    height, width = columns.shape
    upright, level = x != (None, None), y != (None, None)
    if upright and level:
        return min(shares) >= CORNERED and _corners_end(x, y, columns) and _corners_end(y, x, rows.T)
    if _centred(*((x, width) if upright else (y, height))):
        beside = _beyond(*((x, columns | rows) if upright else (y, (columns | rows).T)))
        return bool(np.mean(shares) >= PAIR) and float(beside.mean()) <= QUIET
    page = [flat[line - 4 : line - 1].all() or flat[line + 5 : line + 8].all() for line in x if line is not None]
    return upright and min(shares) >= SINGLE and all(page)  # a single level line is a table, a wainscot


def _centred(span: Span, size: int) -> bool:
    """Whether both lines are there, as far from one edge as from the other."""
    low, high = span
    return low is not None and high is not None and abs(low + high + 3 - size) <= RIM_PX


def _beyond(span: Span, edges: Flags2) -> Flags2:
    """What lies on both sides of two lines (columns), but for the lines themselves."""
    low, high = span
    assert low is not None and high is not None
    return np.concatenate([edges[:, : max(1, low - 2)], edges[:, min(high + 6, edges.shape[1] - 1) :]], axis=1)


def _corners_end(lines: Span, ends: Span, columns: Flags2) -> bool:
    """Whether no line (a column) goes on beyond the ends that cross it."""
    low, high = ends
    for line in lines:
        if line is None:
            continue
        before = columns[max(0, low - BEYOND_PX) : max(0, low - 1), line] if low is not None else columns[:0, line]
        after = columns[high + 5 : high + 4 + BEYOND_PX, line] if high is not None else columns[:0, line]
        if any(len(beyond) and beyond.mean() > ENDS for beyond in (before, after)):
            return False
    return True


def _lines(columns: Flags2) -> list[int]:
    """Columns (height, width) that keep their steps along a good part, at most `MOST_LINES`, the longest first."""
    height, width = columns.shape
    totals = columns.sum(0)
    lines: list[int] = []
    for x in range(RIM_PX, width - RIM_PX):
        longest = totals[x] == totals[x - 1 : x + 2].max()
        if longest and totals[x] >= MIN_SIDE * height and not (lines and x - lines[-1] <= 2):
            lines.append(x)
    return sorted(lines, key=lambda x: -int(totals[x]))[:MOST_LINES]


def _ends(span: Span, size: int) -> tuple[int, int]:
    return 0 if span[0] is None else span[0], size if span[1] is None else span[1]


def _inside(span: Span, size: int, scale: float) -> tuple[int, int]:
    """First and last (half open) px of a span in the full picture; a line at p is a border somewhere within p..p + 3."""
    low, high = span
    first = 0 if low is None else int(np.ceil((low + 4) * scale))
    last = round(size * scale) if high is None else int(high * scale)
    return first, last


def _steps(grey: Grey) -> Flags2:
    """(height, width) whether the columns around this one, or the next, differ, and more than those beside them do."""
    levels = grey.astype(np.int16)
    step, beside = np.zeros_like(levels), np.zeros_like(levels)
    step[:, 1:-1] = np.abs(levels[:, 2:] - levels[:, :-2])
    beside[:, 3:-3] = np.maximum(np.abs(levels[:, 2:-4] - levels[:, :-6]), np.abs(levels[:, 6:] - levels[:, 4:-2]))
    found = (step >= STEP) & (step >= CLEARER * beside)
    found[:, :-1] |= found[:, 1:]  # scaling puts a border between two columns, or into one
    return np.asarray(found)
