"""What one pass over a film found: cuts, shots, camera motion and repeated pictures."""

from dataclasses import dataclass

import numpy as np

from pipeline.base.units import FPS
from pipeline.media.shots.flags import Flags, Values

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
        stutters: (frames,) the source itself holds the picture twice while things move.
        flat_share: share of pictures without content.
    """

    frames: int
    cuts: list[int]
    shots: list[tuple[int, int]]
    speed: Values
    repeated: Flags
    stutters: Flags
    flat_share: float

    def camera_motion(self, first: int, end: int) -> float:
        """95th percentile of the steadied camera speed within [first, end), picture widths/s."""
        speed = self.speed[first + 1 : end]
        if not len(speed):
            return 0.0
        width = min(_STEADIED, len(speed))
        steady = np.convolve(speed, np.ones(width) / width, mode="valid")
        return float(np.percentile(steady, 95))

    def repeated_share(self, first: int, end: int, source_fps: float) -> float:
        """Share of [first, end) that repeats the picture before beyond what a source of this rate must."""
        explained = max(0.0, 1.0 - source_fps / FPS) if source_fps > 0 else 0.0
        count = int(np.count_nonzero(self.repeated[first + 1 : end] | self.stutters[first + 1 : end]))
        return max(0.0, count / max(1, end - first) - explained)
