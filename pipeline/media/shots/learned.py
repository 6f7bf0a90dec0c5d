"""Cuts that a net adds to those found by rules. It takes none away, and where a rule found something it is not asked."""

from typing import Protocol

import numpy as np

from pipeline.base.arrays import Floats32
from pipeline.media.shots.flags import Flags, Pixels, runs_of

NEAR = 12  # pictures from what a rule found within which a net tells of the same change


class ShotNet(Protocol):
    """A net that looks at a film picture by picture, such as `pipeline.nets.transnet.TransNet`."""

    def see(self, rgb: Pixels) -> None:
        """Look at the next picture, (height, width, 3) uint8."""
        ...

    def finish(self) -> tuple[Floats32, Floats32]:
        """(pictures,) probability that a shot ends with each picture, and that it is of a transition."""
        ...


def added(cut: Floats32, mixed: Floats32, starts: Flags, outside: Flags, threshold: float) -> tuple[Flags, Flags]:
    """(pictures,) shots that begin by a net alone, and the pictures of its gradual transitions.

    Args:
        cut, mixed: (pictures,) what a `ShotNet` found.
        starts, outside: (pictures,) shots that begin, and pictures of no shot, by rules.
        threshold: of both probabilities.
    """
    known = starts | outside
    more_starts, more_outside = np.zeros_like(starts), np.zeros_like(outside)
    for first, end in _transitions(cut >= threshold, mixed >= threshold):
        if known[max(0, first - NEAR) : end + 1 + NEAR].any() or end >= len(starts):
            continue
        more_starts[end] = True
        more_outside[first:end] = end - first > 1  # the last picture of a shot that ends at once is a whole one
    return more_starts, more_outside


def _transitions(cut: Flags, mixed: Flags) -> list[tuple[int, int]]:
    """(first, end) of each stretch of pictures that are mixed or end a shot, where one of them does."""
    return [(first, end) for first, end in runs_of(cut | mixed) if cut[first:end].any()]
