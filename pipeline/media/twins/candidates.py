"""Pairs of fingerprints that may hold the same sound: equal items at about one offset, by sorting all items of all videos.

Every item is looked at once. One that as many videos have as a station's jingle would make a pair of each two of them: an item
is paired with the next few that equal it, in the order of the videos, which still chains all copies of one film together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Ints
from pipeline.media.chromaprint import Items

BIN = 8  # items: offsets are counted so coarsely, since those of a film at another speed drift
MIN_VOTES = 2  # equal items in two neighbouring bins; none of 325 pairs of real talks has one
_NEXT = 8  # equal items that each is paired with
_AT_ONCE = 1 << 25  # items that are sorted at once


@dataclass(frozen=True)
class Candidate:
    """Two videos, by their places in the list, and where their items meet.

    Attributes:
        offsets: (n,) items: place in `b` less place in `a`, the first of `BIN` of them each.
        votes: (n,) equal items there.
    """

    a: int
    b: int
    offsets: Ints
    votes: Ints


def candidates(prints: Sequence[Items], at_once: int = _AT_ONCE) -> Iterator[Candidate]:
    """Yield the pairs worth comparing, by (a, b).

    Args:
        prints: of each video; may be empty.
        at_once: items that are sorted at once; bounds memory and changes nothing else.

    Raises:
        ValueError: more than 2**32 items, which are 16 years of sound.
    """
    starts = np.cumsum([0, *map(len, prints)])
    if starts[-1] >= 1 << 32:
        raise ValueError(f"{starts[-1]} items are more than can be compared in one run")
    if len(prints) < 2 or not starts[-1]:
        return
    values = np.concatenate(prints)
    heard = _changing(values, starts)
    bias = int(max(map(len, prints))) // BIN + 1
    keys, votes = _votes(values, heard, starts, bias, at_once)
    if not len(keys):
        return
    codes, bins = np.divmod(keys, 2 * bias + 1)
    edges = np.flatnonzero(np.diff(codes, prepend=-1))
    for first, last in zip(edges, [*edges[1:], len(codes)], strict=True):
        a, b = divmod(int(codes[first]), len(prints))
        wanted = _supported(bins[first:last], votes[first:last])
        if wanted.any():
            yield Candidate(a, b, (bins[first:last][wanted] - bias) * BIN, votes[first:last][wanted])


def _changing(values: Items, starts: Ints) -> NDArray[np.bool_]:
    """(items,) whether an item differs from those beside it in its video: silence and steady tones do not."""
    differs = np.ones(len(values) + 1, bool)
    differs[1:-1] = values[1:] != values[:-1]
    differs[starts] = True
    return np.asarray(differs[1:] & differs[:-1])


def _votes(values: Items, heard: NDArray[np.bool_], starts: Ints, bias: int, at_once: int) -> tuple[Ints, Ints]:
    """Sorted keys of (pair, bin of offset), and how many equal items each has."""
    passes = -(-len(values) // at_once)
    keys, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
    for turn in range(passes):
        chosen = np.flatnonzero(heard & (values % np.uint32(passes) == turn)).astype(np.uint64)
        joined = (values[chosen].astype(np.uint64) << np.uint64(32)) | chosen
        joined.sort()
        found = np.concatenate([keys, *_keys(joined, starts, bias)])
        weights = np.concatenate([counts, np.ones(len(found) - len(keys), np.int64)])
        keys, inverse = np.unique(found, return_inverse=True)
        counts = np.bincount(inverse, weights, len(keys)).astype(np.int64)
    return keys, counts


def _keys(joined: NDArray[np.uint64], starts: Ints, bias: int) -> Iterator[Ints]:
    """Of each two equal items of different videos, among those near in order, the key of their pair and offset."""
    value, place = joined >> np.uint64(32), (joined & np.uint64(0xFFFFFFFF)).astype(np.int64)
    videos = len(starts) - 1
    for step in range(1, _NEXT + 1):
        same = np.flatnonzero(value[step:] == value[:-step])
        if not len(same):
            return
        first, second = place[same], place[same + step]
        a = np.searchsorted(starts, first, side="right") - 1
        b = np.searchsorted(starts, second, side="right") - 1
        other = a != b
        first, second, a, b = first[other], second[other], a[other], b[other]
        offset = (second - starts[b]) - (first - starts[a])
        yield (a * videos + b) * (2 * bias + 1) + offset // BIN + bias


def _supported(bins: Ints, votes: Ints) -> NDArray[np.bool_]:
    """(n,) of sorted bins: whether one has enough votes, with either of its neighbours."""
    beside = np.zeros(len(bins), np.int64)
    adjacent = np.flatnonzero(np.diff(bins) == 1)
    beside[adjacent] = votes[adjacent + 1]
    beside[adjacent + 1] = np.maximum(beside[adjacent + 1], votes[adjacent])
    return np.asarray(votes + beside >= MIN_VOTES)
