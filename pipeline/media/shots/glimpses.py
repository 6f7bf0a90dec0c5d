"""What a clip shows second by second: whether anything moves but the picture as a whole, and what keeps its borders.

A photograph under a zoom, a pan or a roll moves by one similarity transform; taken back, coding and grain are all that is left of
it. Of somebody who speaks more is left: the mouth, the hands. Corners of the whole picture tell the transform, unlike in `motion`,
which asks the room alone how the camera moves.
"""

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.base.units import FPS, Box
from pipeline.media.repeats import BLOCK_PX
from pipeline.media.shots.borders import Steps, inner_frames

Grey = npt.NDArray[np.uint8]

EVERY = FPS  # frames from one glimpse to the next: within a second everybody moves, and few zooms go far
_CORNERS = 150
_CORNER_QUALITY = 0.01  # of the best one's
_CORNER_DISTANCE_PX = 6
_CORNER_BLOCK_PX = 5
_WINDOW_PX = 15
_MIN_POINTS = 8
_INLIER_PX = 0.6
_SOFT_PX = 1.0  # sigma of a blur that takes away what sampling between pixels does to edges
_RIM_PX = 2  # of the moved picture, where that blur reaches beyond it


class Glimpses:
    """Small pictures of a film, one a second, compared with the one before; none is kept.

    Attributes:
        frames: at which they were taken.
        steps: of each, from which borders are told.
        motion: of each, grey levels from the one before, as `change_beyond_similarity`; NaN for the first.
    """

    def __init__(self) -> None:
        self.frames: list[int] = []
        self.steps: list[Steps] = []
        self.motion: list[float] = []
        self._last: Grey | None = None

    def see(self, frame: int, grey: Grey) -> None:
        """Take a glimpse of the picture (height, width) uint8 at this frame. Frames come in order, every `EVERY`."""
        moved = change_beyond_similarity(self._last, grey) if self._last is not None else float("nan")
        self.frames.append(frame)
        self.steps.append(Steps.of(grey))
        self.motion.append(moved)
        self._last = grey

    def picture_motion(self, first: int, end: int) -> float | None:
        """Median over the seconds of [first, end), grey levels; None where there is no whole one."""
        inside = [moved for frame, moved in zip(self.frames, self.motion, strict=True) if first + EVERY <= frame < end]
        return float(np.median(inside)) if inside else None

    def inner_frames(self, first: int, end: int, width: int, height: int) -> list[Box]:
        """The pictures within the picture that stay throughout [first, end), in px of a picture of this size."""
        inside = [steps for frame, steps in zip(self.frames, self.steps, strict=True) if first <= frame < end]
        return inner_frames(inside, width, height)


def change_beyond_similarity(before: Grey, after: Grey) -> float:
    """The largest mean change of luma in any block of 8 x 8 pixels that no similarity transform of the whole picture explains.

    Args:
        before, after: (height, width), with a long side of about 256 px.
    """
    height, width = before.shape
    matrix = _similarity(before, after)
    moved = cv2.warpAffine(before, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    covered = cv2.warpAffine(np.full_like(before, 255), matrix, (width, height), flags=cv2.INTER_NEAREST)
    covered = cv2.erode(covered, np.ones((2 * _RIM_PX + 1, 2 * _RIM_PX + 1), np.uint8))
    soft, other = (cv2.GaussianBlur(picture, (0, 0), _SOFT_PX).astype(np.float32) for picture in (moved, after))
    change = np.where(covered > 0, np.abs(soft - other), np.float32(0))
    return float(cv2.boxFilter(change, cv2.CV_32F, (BLOCK_PX, BLOCK_PX)).max())


def _similarity(before: Grey, after: Grey) -> npt.NDArray[np.float64]:
    """(2, 3) of the earlier picture to the later one; at rest where too little can be followed."""
    rest = np.eye(2, 3)
    points = cv2.goodFeaturesToTrack(before, _CORNERS, _CORNER_QUALITY, _CORNER_DISTANCE_PX, blockSize=_CORNER_BLOCK_PX)
    if points is None or len(points) < _MIN_POINTS:
        return rest
    moved, status, _ = cv2.calcOpticalFlowPyrLK(  # type: ignore[call-overload]  # it may be None
        before, after, points, None, winSize=(_WINDOW_PX, _WINDOW_PX), maxLevel=3
    )
    kept = status.ravel() > 0
    if kept.sum() < _MIN_POINTS:
        return rest
    matrix, _ = cv2.estimateAffinePartial2D(
        points[kept, 0], moved[kept, 0], method=cv2.RANSAC, ransacReprojThreshold=_INLIER_PX, refineIters=5
    )
    return rest if matrix is None else np.asarray(matrix, np.float64)
