"""Camera motion between two small grey pictures, by what the picture's borders do.

A speaker stands in the middle and at the bottom; the left, right and top bands show the room. Corners there (Shi and
Tomasi 1994) are followed by pyramidal Lucas-Kanade, and a similarity transform (shift, zoom, roll) is fitted by RANSAC,
so that arms which reach into the bands are outvoted. Where too little can be followed (a blurred whip, a flat wall),
phase correlation of the whole picture is the second opinion.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.base.arrays import Floats32

Grey = npt.NDArray[np.uint8]

SIDE_BANDS = 0.22  # of the width, left and right
TOP_BAND = 0.25  # of the height
_CORNERS = 80
_CORNER_QUALITY = 0.01  # of the best one's
_CORNER_DISTANCE_PX = 8  # so that one poster does not speak for the room
_CORNER_BLOCK_PX = 5
_CORNERS_LAST = 5  # pictures, then new ones are looked for
_AGE_AT_REST = 0.5  # pictures: corners that stay where they are last longer
_WINDOW_PX = 11
_LEVELS = 3
_MIN_POINTS = 10
_MIN_CONSENSUS = 0.5  # share of the followed points that must agree
_INLIER_PX = 0.6
_STILL_PX = 0.06  # followed points jump by less when nothing moves
_STILL_SHARE = 0.35  # so many points at rest cannot happen under a moving camera
_MIN_RESPONSE = 0.08  # peak of a phase correlation worth believing


@dataclass(frozen=True)
class Motion:
    """How the picture moved.

    Attributes:
        matrix: (2, 3) similarity transform, pixels of the earlier picture to pixels of the later one.
        widths: root mean square displacement over the picture, in picture widths.
    """

    matrix: npt.NDArray[np.float64]
    widths: float


class MotionMeter:
    """Measures camera motion between pictures of one size.

    Args:
        width, height: of the pictures, px (a long side of about 256 is right).
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._bands = _bands(width, height)
        self._points: Any = None  # (corners, 1, 2) float32
        self._age: float = _CORNERS_LAST
        self._rests = False
        self._corners = np.array([[x, y] for x in (0, width) for y in (0, height)], dtype=np.float64)
        self._hann = cv2.createHanningWindow((width, height), cv2.CV_32F)

    def follow(self, before: Grey, after: Grey) -> Motion | None:
        """Motion by the corners in the bands; None when too few can be followed or they disagree.

        Pictures come in order: corners are kept for a few of them.

        Args:
            before, after: (height, width) uint8.
        """
        if self._age >= _CORNERS_LAST:
            self._points, self._age = self._corners_of(before), 0
        motion = self._followed(before, after)
        self._rests = motion is not None and motion.widths == 0
        self._age += _AGE_AT_REST if self._rests else 1
        if motion is None:
            self._age = _CORNERS_LAST  # what they were corners of may be gone
        return motion

    def _corners_of(self, grey: Grey) -> Any:
        return cv2.goodFeaturesToTrack(
            grey, _CORNERS, _CORNER_QUALITY, _CORNER_DISTANCE_PX, mask=self._bands, blockSize=_CORNER_BLOCK_PX
        )

    def _followed(self, before: Grey, after: Grey) -> Motion | None:
        if self._points is None or len(self._points) < _MIN_POINTS:
            return None
        # Where nothing moved the last time, a look at the finest level, which follows next to nothing else, says most often that
        # nothing moves now, at a seventh of the price.
        if self._rests and _at_rest(*self._flow(before, after, 0)):
            return Motion(np.eye(2, 3), 0.0)
        start, end = self._flow(before, after, _LEVELS)
        count = len(start)
        if count < _MIN_POINTS:
            return None
        if _at_rest(start, end):
            return Motion(np.eye(2, 3), 0.0)
        matrix, inliers = cv2.estimateAffinePartial2D(
            start, end, method=cv2.RANSAC, ransacReprojThreshold=_INLIER_PX, maxIters=100, refineIters=2
        )
        if matrix is None or inliers.sum() < max(_MIN_POINTS, _MIN_CONSENSUS * count):
            return None
        return self._motion(matrix)

    def _flow(self, before: Grey, after: Grey, levels: int) -> tuple[Floats32, Floats32]:
        """(corners, 2) each, px: where those that could be followed were, and where they are."""
        moved, status, _ = cv2.calcOpticalFlowPyrLK(  # type: ignore[call-overload]  # it may be None
            before,
            after,
            self._points,
            None,
            winSize=(_WINDOW_PX, _WINDOW_PX),
            maxLevel=levels,
            criteria=(cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 8, 0.03),
        )
        kept = status.ravel() > 0
        return self._points[kept, 0], moved[kept, 0]

    def correlate(self, before: Grey, after: Grey) -> Motion | None:
        """A plain shift by phase correlation of the whole pictures; None when there is no clear peak."""
        (dx, dy), response = cv2.phaseCorrelate(before.astype(np.float32), after.astype(np.float32), self._hann)
        if response < _MIN_RESPONSE:
            return None
        return self._motion(np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]]))

    def _motion(self, matrix: Any) -> Motion:
        moved = self._corners @ matrix[:, :2].T + matrix[:, 2]
        # Mean square over the rectangle is a third of the corners' for the linear part, and all of it for the shift.
        offset = moved - self._corners
        shift = offset.mean(axis=0)
        spread = ((offset - shift) ** 2).sum(axis=1).mean() / 3
        return Motion(np.asarray(matrix, dtype=np.float64), float(np.sqrt(shift @ shift + spread)) / self.width)


def _at_rest(start: Floats32, end: Floats32) -> bool:
    """Whether so many corners (n, 2) stay where they are that the camera does."""
    return len(start) >= _MIN_POINTS and float(np.mean(np.abs(end - start).max(axis=1) < _STILL_PX)) >= _STILL_SHARE


def compensate(before: npt.NDArray[np.uint8], motion: Motion) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """The earlier picture moved to where the later one should be, and (height, width) where it covers that one."""
    height, width = before.shape[:2]
    moved = cv2.warpAffine(before, motion.matrix, (width, height), flags=cv2.INTER_LINEAR)
    covered = cv2.warpAffine(
        np.ones((height, width), np.uint8), motion.matrix, (width, height), flags=cv2.INTER_NEAREST
    )
    return moved.astype(np.uint8, copy=False), covered > 0


def _bands(width: int, height: int) -> Grey:
    """(height, width) 255 in the left, right and top bands, where the room is seen."""
    side, top, margin = int(SIDE_BANDS * width), int(TOP_BAND * height), 3
    mask = np.full((height, width), 255, np.uint8)
    mask[top:, side : width - side] = 0
    mask[:margin] = mask[-margin:] = 0
    mask[:, :margin] = mask[:, -margin:] = 0
    return mask
