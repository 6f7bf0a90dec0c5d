"""Which rows of a shard stand in one row group: decided by hashes of ids, so that one row more or less moves few others.

Row groups cut every so many rows would all move when a row comes or goes. A group is a leaf of a binary tree over the hashes
instead, in which a node with more than `ROWS_A_GROUP` rows is split by its next bit (extendible hashing, Fagin et al. 1979): the
same rows make the same groups, whatever was there before. The first half of a hash is the video's, so its people stay together.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.shards.format import ROWS_A_GROUP
from pipeline.tables.hashing import Hashes, flat, string_hashes

_BITS = 64
_HALF = np.uint64(32)


def groups_of(videos: pa.ChunkedArray, people: pa.ChunkedArray) -> list[npt.NDArray[np.int64]]:
    """Row numbers of each group, in the order of the file; at most `ROWS_A_GROUP` rows each.

    Args:
        videos: (rows,) ids.
        people: (rows,) ids, sorted.
    """
    keys = (string_hashes(flat(videos)) >> _HALF << _HALF) | (string_hashes(flat(people)) >> _HALF)
    order = np.argsort(keys, kind="stable")
    return [order[first:last] for first, last in _leaves(keys[order], 0, len(order), _BITS)]


def _leaves(keys: Hashes, first: int, last: int, bits: int) -> Iterator[tuple[int, int]]:
    """(first, last) of the leaves below a node, whose keys agree in all but their last `bits` bits."""
    if last - first <= ROWS_A_GROUP or not bits:
        yield from ((at, min(last, at + ROWS_A_GROUP)) for at in range(first, last, ROWS_A_GROUP))
        return
    bit = np.uint64(bits - 1)
    middle = first + int(np.searchsorted((keys[first:last] >> bit) & np.uint64(1), 1))
    yield from _leaves(keys, first, middle, bits - 1)
    yield from _leaves(keys, middle, last, bits - 1)
