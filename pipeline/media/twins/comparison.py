"""What two fingerprints have in common: the spans, the speed and the offset, and how many bits differ."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats64, Ints
from pipeline.media.chromaprint import ITEM_SECONDS, ITEM_SPAN_SECONDS, Items

WINDOW = 20  # items: 5.1 s of sound, in which 4 % of speed slip by less than an item
# A window that is as like itself a little later is silence, hum or a loop. Real talk differs from itself in 0.39 and more.
MIN_SELF_ERROR = 0.3
_SHIFTS = (8, 16, 24)  # items by which a window is compared with itself
_REACH = 3  # items beyond an offset at which something matched that are looked at as well: the offset drifts with speed
_MOST_OFFSETS = 4096
_MOST_SPEED = 0.05  # what a fitted speed may differ from 1
_BITS = 32


@dataclass(frozen=True)
class Scale:
    """The places at which two films are compared: items of sound, or pictures.

    Attributes:
        step: s from one place to the next.
        span: s that one place looks at.
        window: places that are compared at once.
    """

    step: float
    span: float
    window: int

    def lengths(self, windows: Ints) -> float:
        """Seconds that sorted windows cover."""
        spans = self.spans(windows)
        return float((spans[:, 1] - spans[:, 0]).sum())

    def spans(self, windows: Ints) -> Floats64:
        """(n, 2) seconds that sorted windows cover; neighbours that touch are one span."""
        if not len(windows):
            return np.zeros((0, 2))
        begin = windows * self.step
        end = (windows + self.window - 1) * self.step + self.span
        cut = np.flatnonzero(begin[1:] > end[:-1])
        return np.stack([begin[[0, *(cut + 1)]], end[[*cut, len(end) - 1]]], 1)


SOUND = Scale(ITEM_SECONDS, ITEM_SPAN_SECONDS, WINDOW)


@dataclass(frozen=True)
class Match:
    """What a film `a` shares with `b`, by sound or by motion.

    Attributes:
        spans: (n, 2) from, to in seconds of `a`, in order, apart from each other.
        seconds: of `a` in common; of `b`, where that is less, as with a loop.
        speed: how much faster `a` plays.
        offset_seconds: time of `b` at the beginning of `a`.
        error: mean over matched windows: share of the bits that differ, or 1 less the likeness.
    """

    spans: Floats64
    seconds: float
    speed: float
    offset_seconds: float
    error: float


def compare(a: Items, b: Items, offsets: Iterable[int], max_error: float) -> Match | None:
    """Compare two fingerprints window by window; None where no window matches.

    Args:
        a, b: items of the two.
        offsets: place in `b` less place in `a`, where to look; what matches there is followed to where its offset drifts.
        max_error: share of a window's bits that may differ.
    """
    if len(a) < WINDOW or len(b) < WINDOW:
        return None
    evidence = self_error(a) >= MIN_SELF_ERROR
    return follow(evidence, offsets, lambda offset: _errors(a, b, offset), max_error, SOUND)


def follow(
    evidence: NDArray[np.bool_],
    offsets: Iterable[int],
    errors_at: Callable[[int], tuple[int, Floats64]],
    max_error: float,
    scale: Scale,
) -> Match | None:
    """What matches at these offsets and where it drifts to from there; None where nothing does.

    Args:
        evidence: (windows of `a`,) whether one says anything.
        offsets: where to look.
        errors_at: the first window at an offset, and the errors of it and those that follow.
        max_error: of a window that matches.
        scale: of places and windows.
    """
    error, where = np.full(len(evidence), np.inf), np.zeros(len(evidence), np.int64)
    todo, seen = set(offsets), set[int]()
    while todo and len(seen) < _MOST_OFFSETS:
        offset = todo.pop()
        seen.add(offset)
        first, errors = errors_at(offset)
        here = slice(first, first + len(errors))
        better = errors < error[here]
        error[here][better], where[here][better] = errors[better], offset
        if (errors[evidence[here]] <= max_error).any():
            todo |= {offset + step for step in range(-_REACH, _REACH + 1)} - seen
    matched = np.flatnonzero(evidence & (error <= max_error))
    return _match(matched, where[matched], error[matched], scale) if len(matched) else None


def _errors(a: Items, b: Items, offset: int) -> tuple[int, Floats64]:
    """The first window of `a` that lies in `b` at this offset, and of it and those that follow the share of bits that differ."""
    first, end = max(0, -offset), min(len(a), len(b) - offset)
    if end - first < WINDOW:
        return 0, np.zeros(0)
    bits = np.bitwise_count(a[first:end] ^ b[first + offset : end + offset])
    return first, _window_means(bits) / _BITS


def _window_means(values: NDArray[np.generic]) -> Floats64:
    """(n - WINDOW + 1,) means of (n,) values."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return np.asarray((sums[WINDOW:] - sums[:-WINDOW]) / WINDOW)


def self_error(items: Items) -> Floats64:
    """(items - WINDOW + 1,) share of bits in which each window differs from what is heard one to three seconds before and after."""
    total, count = np.zeros(len(items)), np.zeros(len(items))
    for shift in _SHIFTS:
        if shift < len(items):
            bits = np.bitwise_count(items[shift:] ^ items[:-shift]) / _BITS
            for side in (slice(shift, None), slice(None, -shift)):
                total[side] += bits
                count[side] += 1
    return _window_means(total / np.maximum(count, 1)) if len(items) >= WINDOW else np.zeros(0)


def sounding_seconds(items: Items) -> float:
    """How much of a fingerprint's sound can be evidence, by which a share of it is told; at least half of its length."""
    if len(items) < WINDOW:
        return 0.0
    heard = SOUND.lengths(np.flatnonzero(self_error(items) >= MIN_SELF_ERROR))
    return max(heard, ((len(items) - 1) * ITEM_SECONDS + ITEM_SPAN_SECONDS) / 2)


def _match(at: Ints, offset: Ints, error: Floats64, scale: Scale) -> Match:
    """The match of windows that begin `at` places of `a` and lie `offset` places further on in `b`."""
    slope, begins = _line(at.astype(np.float64), offset.astype(np.float64), scale.window)
    seconds = min(scale.lengths(at), scale.lengths(np.unique(at + offset)))
    return Match(scale.spans(at), seconds, 1 + slope, begins * scale.step, float(error.mean()))


def _line(at: Floats64, offset: Floats64, window: int) -> tuple[float, float]:
    """Slope and value at 0 of the line that most windows lie on; slope 0 where it does not show.

    Other copies of a piece, as in a film that shows it twice, lie on lines of their own: the middle of the offsets leads.
    """
    use = np.abs(offset - np.median(offset)) <= max(2.0, _MOST_SPEED * np.ptp(at))
    for _ in range(3):
        x, y = at[use], offset[use]
        slope = float(np.polyfit(x - x.mean(), y, 1)[0]) if np.ptp(x) else 0.0
        if abs(slope) > _MOST_SPEED or abs(slope) * (np.ptp(x) + window) < 1:
            slope = 0.0
        begins = float((y - slope * x).mean())
        near = np.abs(offset - slope * at - begins) <= 2
        if not near.any() or (near == use).all():
            break
        use = near
    return slope, begins
