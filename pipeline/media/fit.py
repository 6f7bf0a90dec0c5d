"""Frames of one stream as pictures of one size, also where their shape changes on the way."""

from fractions import Fraction
from typing import Any

import numpy as np

from pipeline.media.frames import FrameSource
from pipeline.media.guard import Limits
from pipeline.media.picture import Converter, Geometry, geometry_of

_SAME_SHAPE = 0.02  # by which aspects of pictures may differ that are one


class Fitter:
    """Converts the frames of a stream to the size of its first; those of another shape are fitted in, with black around them.

    Args:
        source: that they come from.
        model: its first frame.
        limits: bounds for displayed pictures.
        size, pixel_format: as of `Converter`.
    """

    def __init__(
        self, source: FrameSource, model: Any, limits: Limits, size: tuple[int, int] | None, pixel_format: str
    ) -> None:
        stream = source.stream
        self._stream, self._limits, self._format = stream, limits, pixel_format
        self._geometry = geometry_of(stream, model, limits)
        self._convert = Converter(self._geometry, size, pixel_format)
        self._aspect_of = source.aspect_of
        self._others: dict[tuple[int, int, Fraction | None], Converter] = {}

    def __call__(self, frame: Any) -> np.ndarray:
        """The frame's pixels, of the size of the first. Raises Reject: CORRUPT, TOO_LARGE."""
        aspect = self._aspect_of(frame)
        if aspect is None and (frame.width, frame.height) == (self._geometry.coded_width, self._geometry.coded_height):
            return self._convert(frame)
        return self._fitted(frame, aspect)

    def _fitted(self, frame: Any, aspect: Fraction | None) -> np.ndarray:
        key = (frame.width, frame.height, aspect)
        if key not in self._others:
            self._others[key] = self._converter(geometry_of(self._stream, frame, self._limits, aspect))
        pixels = self._others[key](frame)
        width, height = self._convert.size
        if pixels.shape[:2] == (height, width):
            return pixels
        canvas = np.zeros((height, width, *pixels.shape[2:]), np.uint8)
        top, left = (height - pixels.shape[0]) // 2, (width - pixels.shape[1]) // 2
        canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return canvas

    def _converter(self, geometry: Geometry) -> Converter:
        first = self._geometry
        stretch = Fraction(geometry.width * first.height, geometry.height * first.width)
        if abs(stretch - 1) <= _SAME_SHAPE:
            return self._convert
        width, height = self._convert.size
        size = (width, max(1, round(height / stretch))) if stretch > 1 else (max(1, round(width * stretch)), height)
        return Converter(geometry, size, self._format)
