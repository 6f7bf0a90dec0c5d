"""What one pass over a film found: cuts, shots, camera motion and repeated pictures."""

from dataclasses import dataclass

import numpy as np

from pipeline.media.shots.flags import Flags, Values
from pipeline.media.shots.glimpses import Glimpses
from pipeline.media.shots.motion_print import MotionPrint

_STEADIED = 5  # pictures over which speed is averaged: odd rates on the grid move in uneven steps


@dataclass(frozen=True)
class Footage:
    """What one pass found; frames are pictures of the 25-fps grid.

    Attributes:
        frames: pictures in all.
        cuts: first picture of each new shot, ascending; a fade or whip counts once, where the next shot begins.
        shots: (first, end) half open, in order; flat pictures, fades and whips lie between them.
        speed: (frames,) camera motion, picture widths/s.
        repeated: (frames,) the reader showed the picture before once more.
        stutters: (frames,) the source itself holds the picture before, coded once more.
        flat_share: share of pictures without content.
        glimpses: of each second.
        print: what moves where, by which the film is known again.
    """

    frames: int
    cuts: list[int]
    shots: list[tuple[int, int]]
    speed: Values
    repeated: Flags
    stutters: Flags
    flat_share: float
    glimpses: Glimpses
    print: MotionPrint

    def camera_motion(self, first: int, end: int) -> float:
        """95th percentile of the steadied camera speed within [first, end), picture widths/s."""
        speed = self.speed[first + 1 : end]
        if not len(speed):
            return 0.0
        width = min(_STEADIED, len(speed))
        steady = np.convolve(speed, np.ones(width) / width, mode="valid")
        return float(np.percentile(steady, 95))

    def repeated_share(self, first: int, end: int) -> float:
        """Share of the pictures in [first, end) that repeat the one before, whatever the nominal rate: 1 for a still."""
        again = self.repeated[first + 1 : end] | self.stutters[first + 1 : end]
        return float(again.mean()) if len(again) else 0.0

    def coded_again(self, first: int, end: int) -> list[int]:
        """Pictures of [first, end), from 0, that repeat the one before though the source has a frame for each."""
        return [int(n) + 1 for n in np.flatnonzero(self.stutters[first + 1 : end])]
