"""Measures as 16-bit columns in script files, coded so that a comparison with a threshold on the page is judge's comparison."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

NULL = 65_535  # not measured
NOT_ASKED = 65_534  # a measure of sound, in a clip without sound: judge does not look at it
MOST = 65_534  # codes of values, so that the two above stay free
# Of a column with more distinct values than codes: so many edges are round numbers, and so many part people evenly.
_ROUND, _RANKS = 10_000, 10_000


@dataclass(frozen=True)
class Column:
    """The values of everybody in one measure.

    Attributes:
        codes: (people,) places among the levels, or NULL, or NOT_ASKED.
        levels: (levels,) sorted. With `exact` they are the distinct values, and a code is the place of its own. Else they are
            edges: a code is the number of edges at or below the value ("min") or below it ("max"), so that a threshold on an edge
            drops the same people as among the values themselves.
        exact: whether any threshold can be compared, and not the edges alone.
    """

    codes: npt.NDArray[np.uint16]
    levels: Numbers
    exact: bool


def coded(
    values: Numbers, side: Literal["min", "max"], asked: npt.NDArray[np.bool_], edges: Iterable[float] = ()
) -> Column:
    """Code a column of floats; NaN is NULL.

    Args:
        values: (people,) of the measure.
        side: the one of its threshold.
        asked: (people,) whether judge looks at the measure.
        edges: thresholds that have to be exact where not all values can be told apart: today's.
    """
    known = ~np.isnan(values)
    levels, codes = np.unique(values[known], return_inverse=True)
    exact = len(levels) <= MOST
    if not exact:
        levels = _edges(values[known], levels, edges)
        codes = np.searchsorted(levels, values[known], "right" if side == "min" else "left")
    column = np.full(len(values), NULL, np.uint16)
    column[known] = codes
    column[~asked] = NOT_ASKED
    return Column(column, levels, exact)


def _edges(values: Numbers, distinct: Numbers, wanted: Iterable[float]) -> Numbers:
    """Fewer edges than codes: those wanted, round numbers over the middle of the values, and evenly many people between two."""
    low, high = np.percentile(values, [0.1, 99.9])
    step = round_step((high - low) / _ROUND)
    grid = np.round(np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step, decimals_of(step))
    ranks = np.sort(values)[np.linspace(0, len(values) - 1, _RANKS).astype(int)]
    return np.unique(np.concatenate([grid, ranks, distinct[[0, -1]], np.fromiter(wanted, float)]))


def round_step(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is at least so large; 1 for a range that is none."""
    if not least > 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(least))
    return next(float(f"{factor * power:.3g}") for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def decimals_of(step: float) -> int:
    """The digits behind the point of a round step."""
    return max(0, -int(np.floor(np.log10(step) + 1e-9)))


def packed(values: npt.ArrayLike) -> list[str]:
    """An array as the page unpacks it: its type (u1, u2, u4, f4 or f8) and base64 of its little-endian bytes."""
    array = np.asarray(values)
    if array.dtype.kind == "f":
        narrow = array.astype("<f4")
        array = narrow if np.array_equal(narrow.astype("<f8"), array) else array.astype("<f8")
    else:
        largest = int(array.max(initial=0))
        array = array.astype("<u1" if largest < 256 else "<u2" if largest < 65_536 else "<u4")
    return [array.dtype.str[1:], base64.b64encode(array.tobytes()).decode("ascii")]


def script_of(name: str, column: Column) -> list[Any]:
    """What the script file of a column holds, after its name."""
    return [packed(column.codes), packed(column.levels), column.exact]
