"""A cache of the last decoded sound track: a video's clips come one after the other, and each needs a piece of it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.media.audio import cut, read_wave
from pipeline.media.reading import Reading


class LastWave:
    """Caches the 16-kHz wave of one file. Private to a worker: not thread-safe."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._wave: NDArray[np.float32] | None = None

    def piece(self, path: Path, first_frame: int, frames: int, reading: Reading) -> NDArray[np.float32] | None:
        """The sound of these grid pictures, (frames x 640,) float32; None when the file has no sound track.

        reading: what a look at the file decided.

        Raises:
            Reject, Failure: as `read_wave` does.
        """
        if path != self._path:
            self._path = self._wave = None  # freed before the next is read, so that two are never in memory
            self._wave = read_wave(path, reading=reading)
            self._path = path
        return None if self._wave is None else cut(self._wave, first_frame, frames)
