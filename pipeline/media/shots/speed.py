"""Speed of the camera over a film, the jumps in it, and pictures that the source holds."""

import numpy as np
import numpy.typing as npt

from pipeline.base.units import FPS
from pipeline.media.shots.flags import Flags, Values, runs_of

_IDENTICAL = 0.02  # score under which two pictures are one
_STIRRED = 0.5  # score above which something moves
_HELD = 0.01  # share of a neighbour's score under which a picture is held: coding it twice leaves a trace
_LONE_RATIO = 8  # a step this much faster than both its neighbours is an edit; a shaken camera comes to 6


def held_pictures(raw: Values) -> Flags:
    """(pictures,) the source shows the picture before once more, while things move before or after."""
    held = np.zeros(len(raw), dtype=bool)
    if len(raw) > 2:
        stir = np.maximum(raw[:-2], raw[2:])
        held[1:-1] = (stir > _STIRRED) & (raw[1:-1] < np.maximum(_IDENTICAL, _HELD * stir))
    held[:2] = False  # the first picture follows nothing
    return held


def speeds(frame: npt.NDArray[np.int64], widths: Values, held: Flags) -> Values:
    """(pictures,) picture widths/s since the last picture that was new; NaN where unknown."""
    speed = np.zeros(len(frame))
    new = np.flatnonzero(~held)
    speed[new[1:]] = widths[new[1:]] * FPS / np.diff(frame[new])
    following = np.searchsorted(new, np.flatnonzero(held))
    speed[held] = np.append(speed[new], 0.0)[following]
    return speed


def filled_in(speed: Values) -> Values:
    """Unknown speeds from the known ones around them; all 0 when none is known."""
    known = np.flatnonzero(np.isfinite(speed))
    return np.interp(np.arange(len(speed)), known, speed[known]) if len(known) else np.zeros(len(speed))


def find_jumps(speed: Values, limit: float) -> tuple[Flags, Flags]:
    """(pictures,) shots that begin after a jump of camera motion, and the pictures inside a whip.

    A step between two pictures counts when its neighbours are as fast (a whip), or when both are known to be slow (a punch-in):
    there half the speed is enough.
    """
    count = len(speed)
    if count < 3:
        return np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    padded = np.pad(speed, 1, mode="edge")
    around = np.nan_to_num(np.stack([padded[:-2], speed, padded[2:]]))
    whip = (around[1] >= limit) & (around.mean(axis=0) >= limit)
    neighbours = np.maximum(padded[:-2], padded[2:])
    lone = (speed >= limit / 2) & (speed >= _LONE_RATIO * neighbours)  # false where a neighbour is unknown
    fast = whip | lone
    fast[0] = False
    starts, inside = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    for first, end in runs_of(fast):
        inside[first : end - 1] = True  # the last step of a whip lands on the first picture of what follows
        starts[end - 1] = True
    return starts, inside
