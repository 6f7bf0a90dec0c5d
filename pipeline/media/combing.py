"""Combed pictures, found by looking: rows that belong to two moments, whatever a file says of itself.

A picture is combed where something moves, rows zigzag more than the detail of each field explains, and the fields lie apart in time
by an order: rows of one parity fit those of the picture before and of the other parity those of the picture after, or the other
way round. Fine stripes zigzag too, also where they move, but fit before and after alike. As ffmpeg's idet does, block by block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.base.arrays import Floats

TOP_FIRST, BOTTOM_FIRST = "tff", "bff"
PROGRESSIVE = "none"
PARTLY = " partly"

_BLOCK_ROWS, _BLOCK_COLUMNS = 16, 4  # of thinned pictures
_MOVES = 3.0  # grey levels between neighbours in time, the mean of a block
_ZIGZAG, _ZIGZAG_LEVELS = 1.5, 4.0  # by which neighbouring rows differ more than every second one
_LEAST_BLOCKS = 2  # that make a picture combed, where that is not yet known of its film
_ORDERED = 0.77  # at most, of the two orders' misfits: true ones have 0.15-0.6, progressive stripes 1.0
_LEAST_PICTURES = 2  # that make a film combed
_AGREE = 0.8  # share of them with one order
_MANY_CLEAN = 0.5  # of pictures with as much motion are not combed: the film is combed in parts
# Telecine has fields that fit a neighbour better than their own picture, by 2.4-6.6; a camera's have 0.7-0.95.
_WHOLE_FIELDS = 1.5
_MOVING_BLOCKS = 4
_ENOUGH_CLEAN = 3  # moving pictures that prove a flag wrong
_COLUMNS = 128  # of wide pictures every n-th column is looked at, so many at least
_SECOND = np.array([1, -2, 1], np.float32)
_SECOND_IN_FIELD = np.array([1, 0, -2, 0, 1], np.float32)
_ALONE = np.ones(1, np.float32)

Luma = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Comb:
    """What was seen of one picture.

    Attributes:
        moving: blocks of 16 rows in which something moves.
        combed: those in which rows zigzag.
        own, top, bottom: how badly the rows of combed blocks fit: as they stand, in pairs of fields with the top one first,
            with the bottom one first; grey levels, summed.
        flagged: the picture says that it is interlaced.
    """

    moving: int
    combed: int = 0
    own: float = 0.0
    top: float = 0.0
    bottom: float = 0.0
    flagged: bool = False

    @property
    def order(self) -> str | None:
        """Which field comes first; None where the picture is not combed."""
        if self.combed < _LEAST_BLOCKS or min(self.top, self.bottom) > _ORDERED * max(self.top, self.bottom):
            return None
        return None if self.top == self.bottom else TOP_FIRST if self.top < self.bottom else BOTTOM_FIRST


@dataclass(frozen=True)
class Combing:
    """What was decided about a film.

    Attributes:
        rule: how its pictures are read: None as their flags say; `tff` or `bff`: all are deinterlaced, by this order; `tff partly`:
            those that are combed; `none`: none.
        share: of the moving pictures looked at that are combed; None where nothing moves.
    """

    rule: str | None = None
    share: float | None = None


def thin_luma(frame: Any) -> Luma:
    """(H, columns) rows of a decoded frame as they are coded, 8 bits; of wide ones some columns, as many for all of one size."""
    layout = frame.format
    if layout.is_rgb or not layout.is_planar or layout.components[0].bits != 8:
        pixels: Luma = frame.reformat(format="gray").to_ndarray()
    else:
        plane = frame.planes[0]
        pixels = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
    return np.ascontiguousarray(pixels[:, :: max(1, frame.width // _COLUMNS)])


def comb_of(before: Luma, picture: Luma, after: Luma, *, flagged: bool = False) -> Comb:
    """Look at one picture, between its neighbours; all as `thin_luma`."""
    moving = _moving(before, picture, after)
    if not moving.any():
        return Comb(0, flagged=flagged)
    own, combed = _zigzag(picture, moving)
    if not combed.any():
        return Comb(int(moving.sum()), flagged=flagged)
    top, bottom = (float(_misfit(picture, *pair)[combed].sum()) for pair in ((before, after), (after, before)))
    return Comb(int(moving.sum()), int(combed.sum()), float(own[combed].sum()), top, bottom, flagged)


def looks_combed(before: Luma, picture: Luma, after: Luma) -> bool:
    """Whether some of a picture is combed, in a film in which combed pictures were found."""
    moving = _moving(before, picture, after)
    return bool(moving.any() and _zigzag(picture, moving)[1].any())


def combing_of(pictures: Sequence[Comb]) -> Combing:
    """Decide how a film is read, by what was seen of some of its pictures."""
    found = [p for p in pictures if p.order]
    moving = sorted(p.moving for p in found)
    alike = moving[len(moving) // 2] if found else _MOVING_BLOCKS
    clean = [p for p in pictures if not p.combed and p.moving >= max(1, alike)]
    share = round(len(found) / (len(found) + len(clean)), 2) if found or clean else None
    orders = [sum(p.order == order for p in found) for order in (TOP_FIRST, BOTTOM_FIRST)]
    if len(found) < _LEAST_PICTURES or max(orders) < _AGREE * len(found):
        wrong = any(p.flagged for p in clean) and not any(p.combed for p in pictures) and len(clean) >= _ENOUGH_CLEAN
        return Combing(PROGRESSIVE if wrong else None, share)
    order = TOP_FIRST if orders[0] > orders[1] else BOTTOM_FIRST
    whole = _whole_fields(found)
    if all(p.flagged for p in found) and not (whole and any(p.flagged for p in clean)):
        return Combing(None, share)
    partly = whole or len(clean) > _MANY_CLEAN * (len(found) + len(clean))
    return Combing(order + PARTLY * partly, share)


def _whole_fields(found: Sequence[Comb]) -> bool:
    """Whether fields are those of whole pictures, wrongly paired, as telecine makes them."""
    return sum(p.own for p in found) > _WHOLE_FIELDS * sum(min(p.top, p.bottom) for p in found)


def _moving(before: Luma, picture: Luma, after: Luma) -> npt.NDArray[np.bool_]:
    if not before.shape == picture.shape == after.shape or picture.size == 0:
        return np.zeros((0, 0), bool)
    changes = cv2.max(cv2.absdiff(picture, before), cv2.absdiff(picture, after))
    return _blocks(changes) > _MOVES


def _zigzag(picture: Luma, moving: npt.NDArray[np.bool_]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """(blocks) how much neighbouring rows differ, and whether that is combing."""
    own, field = (
        _blocks(np.abs(cv2.sepFilter2D(picture, cv2.CV_16S, _ALONE, kernel))) for kernel in (_SECOND, _SECOND_IN_FIELD)
    )
    return own, moving & (own > _ZIGZAG * field + _ZIGZAG_LEVELS)


def _misfit(picture: Luma, odd: Luma, even: Luma) -> Floats:
    """(blocks) how badly rows of others fit between those of a picture: odd rows of the one, even rows of the other."""
    woven = odd.astype(np.int16)
    woven[::2] = even[::2]
    misfit = np.zeros(picture.shape, np.int16)
    rows = picture.astype(np.int16)
    np.abs(rows[:-2] + rows[2:] - 2 * woven[1:-1], out=misfit[1:-1])
    return _blocks(misfit)


def _blocks(values: npt.NDArray[Any]) -> Floats:
    """(rows, columns) mean of each block; what is left over at the edges does not count."""
    tall, wide = values.shape[0] // _BLOCK_ROWS, values.shape[1] // _BLOCK_COLUMNS
    kept = values[: tall * _BLOCK_ROWS, : wide * _BLOCK_COLUMNS].reshape(tall, _BLOCK_ROWS, wide * _BLOCK_COLUMNS)
    columns = kept.sum(axis=1, dtype=np.int32).reshape(tall, wide, _BLOCK_COLUMNS)
    means: Floats = columns.sum(axis=2) / float(_BLOCK_ROWS * _BLOCK_COLUMNS)
    return means
