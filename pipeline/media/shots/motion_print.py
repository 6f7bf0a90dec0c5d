"""What moves where in a film, and what it looks like: by that it is known again when its sound is another.

Of small pictures, 12.5 a second, each of 4 x 4 cells has the root of the mean absolute difference of luma from the picture before.
A speaker's gestures are a series that nobody else has, and that scaling, coding and cropping hardly change. A thumbnail of 8 x 8
tells the studio: another moment of one talk looks nearly the same.
"""

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.base.arrays import Floats32
from pipeline.base.units import FPS

Grey = npt.NDArray[np.uint8]

CELLS = 4  # each way
EVERY = 2  # frames from one picture to the next
PRINT_RATE = FPS / EVERY  # Hz
_STEPS = 32  # to one root of a grey level: finer than what coding does
_SCENE_EVERY = FPS
_SCENE = 8  # cells of a thumbnail, each way


class MotionPrint:
    """Takes small pictures of a film in order; keeps 16 bytes of each second picture, and 64 of each second."""

    def __init__(self) -> None:
        self._moved: list[npt.NDArray[np.uint8]] = []
        self._scenes: list[npt.NDArray[np.uint8]] = []
        self._last: Grey | None = None

    def see(self, frame: int, grey: Grey) -> None:
        """Look at a picture (height, width) uint8. Frames are consecutive from 0; odd ones need not be shown."""
        if frame % _SCENE_EVERY == 0:
            self._scenes.append(np.rint(_means(grey, _SCENE)).astype(np.uint8))
        if frame % EVERY:
            return
        moved = np.zeros(CELLS**2) if self._last is None else np.sqrt(_means(_difference(self._last, grey), CELLS))
        self._moved.append(np.minimum(np.rint(_STEPS * moved), 255).astype(np.uint8))
        self._last = grey

    def motion(self, first: int, end: int, shot_first: int) -> bytes:
        """What moves in [first, end) of a shot, for `series`: (pictures, 16) uint8, without what differs across its beginning."""
        begin = -(-max(first, shot_first + EVERY) // EVERY)
        return b"".join(row.tobytes() for row in self._moved[begin : -(-end // EVERY)])

    def scene(self, first: int, end: int) -> bytes:
        """The median thumbnail of the seconds in [first, end), or of that before where there is none: (8, 8) uint8."""
        inside = self._scenes[-(-first // _SCENE_EVERY) : -(-end // _SCENE_EVERY)]
        found = np.median(inside or [self._scenes[first // _SCENE_EVERY]], axis=0)
        return bytes(np.asarray(found, np.uint8).tobytes())


def _difference(before: Grey, after: Grey) -> Grey:
    return np.asarray(cv2.absdiff(before, after), np.uint8)


def _means(picture: Grey, cells: int) -> npt.NDArray[np.float64]:
    """(cells * cells,) mean of each cell."""
    small = cv2.resize(picture.astype(np.float32), (cells, cells), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float64).ravel()


def series(motion: bytes) -> Floats32:
    """(pictures, 16) roots of grey levels: what `MotionPrint.motion` made; what is broken off in the last picture is left out."""
    cells = CELLS**2
    values = np.frombuffer(motion, np.uint8, len(motion) // cells * cells).reshape(-1, cells).astype(np.float32)
    return np.asarray(values / np.float32(_STEPS), np.float32)
