"""A gradual transition as a model: each place of the picture goes from its earlier to its later colour, once.

A dissolve lets all places go at once and slowly, a wipe one after the other and suddenly, an iris something of both. So
the time at which a place turns is a linear function of (1), (1, x, y) or (1, radius), and one width says how long it takes.
People and cameras that move leave that model: what lies between two of their poses is no blend of the two. Dissolves as
blends are in Lienhart 1999, "Comparison of automatic shot boundary detection algorithms".
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.media.shots.flags import Pixels

Values32 = npt.NDArray[np.float32]

CHANGED = 30.0  # distance in RGB from which a place counts as changed, levels
_WIDTHS = np.array([1, 4, 8, 12, 16, 20, 25, 30, 36, 43, 50, 62, 75])  # pictures in which one place turns
_MOST_PLACES = 160  # looked at; more say the same
_MODELS = ((0,), (0, 1, 2), (0, 3))  # columns of the basis: dissolve, wipe, iris
_DEARER = 0.93  # a model of more parameters has to explain this much better
_ROUNDS = 4  # of reweighting


@dataclass(frozen=True)
class Blend:
    """The model that explains a stretch of pictures best.

    Attributes:
        unexplained: share of the change's energy that it leaves, over the pictures of the transition.
        first, end: of the transition, in pictures of the stretch; half open, not rounded.
        changed: share of the picture's places that change, 0..1.
        change: mean difference of the ends, levels.
    """

    unexplained: float
    first: float
    end: float
    changed: float
    change: float


@lru_cache(maxsize=8)
def _basis(width: int, height: int) -> Values32:
    """(places, 4) 1, x, y and distance from the centre (1 in the corners) of each place."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = (x + 0.5) / width - 0.5, (y + 0.5) / height - 0.5
    radius = np.hypot(x * width, y * height) / np.hypot(width / 2, height / 2)
    return np.stack([np.ones_like(x), x, y, radius], -1).reshape(-1, 4)


def ends_differ(before: Pixels, after: Pixels, changed: float, change: float) -> bool:
    """Whether two pictures (h, w, 3) differ in this share of places and by this mean of levels."""
    if cv2.norm(before, after, cv2.NORM_L1) < change * before.size:
        return False
    apart = after.astype(np.float32) - before
    return bool((np.square(apart).sum(-1) > CHANGED**2).mean() >= changed)


def off_the_way(before: Pixels, after: Pixels, between: list[Pixels]) -> float:
    """Share of the change's energy by which pictures between lie beside the straight way of each place; no blend leaves less."""
    start = before.astype(np.float32)
    apart = after - start
    energy = np.square(apart).sum(-1)
    energy[energy <= CHANGED**2] = 0
    moved = np.stack(between) - start
    share = np.clip((moved * apart).sum(-1) / np.maximum(energy, 1), 0, 1)[..., None]
    left = np.square(moved - share * apart).sum(-1)
    return float(left[:, energy > 0].sum() / (len(between) * energy.sum() + 1e-6))


def fit_blend(pictures: Pixels) -> Blend | None:
    """Explain (T, h, w, 3) pictures by one transition between first and last; None where these are alike."""
    count, height, width = pictures.shape[:3]
    flat = pictures.reshape(count, -1, 3)
    before, after = _mean(*flat[:2]), _mean(*flat[-2:])
    apart = after - before
    energy = np.square(apart).sum(-1)
    places = np.flatnonzero(energy > CHANGED**2)
    changed = len(places) / len(energy)
    if len(places) < 16:
        return None
    places = places[:: max(1, len(places) // _MOST_PLACES)]
    moved = flat[:, places] - before[places]
    along = np.einsum("tpc,pc->tp", moved, apart[places])
    whole = np.einsum("tpc,tpc->tp", moved, moved)
    energy = energy[places]
    turned = (count - np.clip(along / energy, 0, 1).sum(0)).astype(np.float32)
    best = None
    for columns in _MODELS:
        times = _times(_basis(width, height)[:, columns], places, turned)
        if columns == (0,):  # all places turn at once: they are summed
            tried = _tried(times, places[:1], along.sum(1, keepdims=True), whole, energy.sum(keepdims=True))
        else:
            tried = _tried(times, places, along, whole, energy)
        for found in tried:
            bound = np.inf if best is None else best[1] * (_DEARER if best[0] != columns else 1)
            if found[0] < bound:
                best = (columns, *found)
    assert best is not None
    _, _, unexplained, first, end = best
    return Blend(unexplained, first, end, changed, float(np.abs(apart).mean()))


def _times(basis: Values32, places: npt.NDArray[np.int64], turned: Values32) -> Values32:
    """(all places,) when each turns, fitted to when the changed ones did; outliers count less (Huber)."""
    weights = np.ones(len(places), np.float32)
    mine = basis[places]
    for _ in range(_ROUNDS):
        solved = np.linalg.lstsq(mine * weights[:, None], turned * weights, rcond=None)[0]
        off = np.abs(turned - mine @ solved)
        scale = 2 * (_median(off) + np.float32(0.3))
        weights = np.sqrt(1 / np.maximum(1, off / scale))
    return np.asarray(basis @ solved, np.float32)


def _median(values: Values32) -> np.float32:
    """`np.median` of (n,) finite values, without its checks, which cost more than it does."""
    middle = len(values) // 2
    if len(values) % 2:
        return np.float32(np.partition(values, middle)[middle])
    return np.float32(np.partition(values, (middle - 1, middle))[middle - 1 : middle + 1].mean())


def _tried(
    times: Values32, places: npt.NDArray[np.int64], along: Values32, whole: Values32, energy: Values32
) -> list[tuple[float, float, float, float]]:
    """For each width: what is left of all pictures, what of those of the transition, and first and end of that."""
    count = len(along)
    spans = _WIDTHS[count >= _WIDTHS + 4].astype(np.float32)
    clock = np.arange(count, dtype=np.float32)[:, None] + 0.5
    share = np.multiply.outer(1 / spans, clock - times[places])  # worked on in place: it is large
    share += np.float32(0.5)
    np.clip(share, 0, 1, out=share)
    change = share * energy
    change -= 2 * along
    left = np.einsum("stp,stp->st", share, change) + whole.sum(1)
    left /= energy.sum()
    found = []
    for span, rest in zip(spans, left, strict=True):
        first, end = float(times.min() - span / 2), float(times.max() + span / 2)
        inside = rest[max(0, int(first) - 1) : max(0, min(count, int(end) + 2))]
        found.append((float(rest.sum()), float(inside.mean()) if len(inside) else 1.0, first, end))
    return found


def likeness(before: tuple[Pixels, Pixels], after: tuple[Pixels, Pixels]) -> float:
    """Correlation of two pictures before and two after, (h, w, 3) each; near 1 the light changes, not the shot."""
    one, other = (values - values.mean((0, 1)) for values in (_mean(*before), _mean(*after)))
    return float((one * other).sum() / np.sqrt(np.square(one).sum() * np.square(other).sum() + 1e-6))


def _mean(one: Pixels, other: Pixels) -> Values32:
    return (one.astype(np.float32) + other) / np.float32(2)
