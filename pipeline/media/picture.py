"""From a decoded frame to upright square pixels: orientation, sample aspect, colour, scaling."""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from pipeline.base.arrays import Floats32
from pipeline.base.reasons import Reason, Reject
from pipeline.media.guard import Limits
from pipeline.media.tone import is_hdr, luma_of, to_sdr

PIXEL_FORMATS = ("rgb24", "gray", "coarse")

_KNOWN_MATRICES = (1, 4, 5, 6, 7, 9)  # AVCOL_SPC_: BT709, FCC, BT470BG, SMPTE170M, SMPTE240M, BT2020_NCL
_BT2020_CONSTANT_LUMINANCE = 10
_RED_AND_BLUE = {1: (0.2126, 0.0722), 4: (0.3, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}  # of luma; others: BT.601
_BT601 = 0.299, 0.114
_PLANAR = ("yuv420p", "yuvj420p")
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_PLAUSIBLE_ASPECT = 8  # sample aspects beyond 1:8 and 8:1 are broken headers


@dataclass(frozen=True)
class Orientation:
    """One of the eight orientations of a picture: transpose first, then flip."""

    transposed: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def degrees(self) -> int:
        """Clockwise turn for display: 0, 90, 180 or 270 (a mirror image counts as its turn)."""
        if self.transposed:
            return 90 if self.flip_x else 270
        return 180 if self.flip_y else 0

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """The upright picture, contiguous; pixels: (H, W) or (H, W, 3)."""
        if self.transposed:
            pixels = pixels.swapaxes(0, 1)
        if self.flip_x:
            pixels = pixels[:, ::-1]
        if self.flip_y:
            pixels = pixels[::-1]
        return np.ascontiguousarray(pixels)


def orientation_of(frame: Any) -> Orientation:
    """The orientation that a frame's display matrix asks for, to the nearest quarter turn."""
    side = frame.side_data.get(SideDataType.DISPLAYMATRIX)
    if side is None or len(bytes(side)) < 36:
        return Orientation()
    a, b, _, c, d = (int(v) for v in np.frombuffer(bytes(side), dtype=np.int32)[:5])
    # x' = a x + c y, y' = b x + d y
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transposed=True, flip_x=c < 0, flip_y=b < 0)
    return Orientation(flip_x=a < 0, flip_y=d < 0)


@dataclass(frozen=True)
class Geometry:
    """Sizes in pixels: as coded, and upright in square pixels."""

    coded_width: int
    coded_height: int
    sample_aspect: Fraction
    orientation: Orientation
    width: int
    height: int


def geometry_of(stream: Any, frame: Any, limits: Limits, aspect: Fraction | None = None) -> Geometry:
    """The picture's sizes. An oblong pixel is stretched along its short side, so that nothing is thrown away.

    Args:
        stream, frame: the frame and where it comes from.
        limits: on displayed pixels.
        aspect: of the frame's pixels, where it is not the stream's.

    Raises:
        Reject: TOO_LARGE when the displayed picture has more pixels than the limit.
    """
    aspect = plausible_aspect(aspect or stream.sample_aspect_ratio)
    width, height = frame.width, frame.height
    if aspect > 1:
        width = round(width * aspect)
    else:
        height = round(height / aspect)
    if width * height > limits.max_pixels:
        raise Reject(Reason.TOO_LARGE, f"{width}x{height} pixels displayed, limit {limits.max_pixels}")
    orientation = orientation_of(frame)
    if orientation.transposed:
        width, height = height, width
    return Geometry(frame.width, frame.height, aspect, orientation, width, height)


def plausible_aspect(aspect: Fraction | None) -> Fraction:
    """The shape of pixels, width by height; 1 where nothing is said, or what no camera has."""
    aspect = Fraction(aspect or 1)
    return aspect if Fraction(1, _PLAUSIBLE_ASPECT) <= aspect <= _PLAUSIBLE_ASPECT else Fraction(1)


class Converter:
    """Turns frames into arrays of one size and pixel format; keeps swscale's tables between frames.

    Args:
        geometry: of the stream's pictures.
        size: (width, height) wanted, upright; None for the display size.
        pixel_format: "rgb24" -> (H, W, 3) uint8 RGB; "gray" -> (H, W) uint8 full-range luma;
            "coarse" -> as "rgb24" with half as many samples of colour in either direction, where the file has no more: of
            small pictures a third cheaper.
    """

    def __init__(self, geometry: Geometry, size: tuple[int, int] | None, pixel_format: str) -> None:
        if pixel_format not in PIXEL_FORMATS:
            raise ValueError(f"pixel_format {pixel_format!r}: one of {PIXEL_FORMATS}")
        self.size = size or (geometry.width, geometry.height)
        if min(self.size) < 1:
            raise ValueError(f"size {self.size}: at least 1x1")
        self._orientation = geometry.orientation
        self._upright = geometry.orientation == Orientation()
        self._width, self._height = self.size[::-1] if geometry.orientation.transposed else self.size
        self._format = pixel_format
        shrinks = self._width <= geometry.coded_width and self._height <= geometry.coded_height
        self._interpolation = Interpolation.AREA if shrinks else Interpolation.BICUBIC
        self._reformatter = VideoReformatter()

    def __call__(self, frame: Any) -> np.ndarray:
        """The frame's pixels, upright and in square pixels; Reject(CORRUPT) when swscale cannot read them."""
        if is_hdr(frame):
            pixels = self._sdr(frame)
        elif self._format == "coarse":
            pixels = self._coarse(frame) if frame.format.name in _PLANAR else self._scaled(frame, "rgb24")
        else:
            pixels = self._scaled(frame, self._format)
        return pixels if self._upright else self._orientation.apply(pixels)

    def _sdr(self, frame: Any) -> np.ndarray:
        rgb = to_sdr(self._scaled(frame, "rgb48le"), frame.color_trc, frame.color_primaries)
        return luma_of(rgb) if self._format == "gray" else rgb

    def _coarse(self, frame: Any) -> np.ndarray:
        """Scaled in planes, where swscale is quick, and only then made RGB."""
        full = is_full_range(frame)
        kept = ColorRange.JPEG if full else ColorRange.MPEG
        same = {"src_colorspace": Colorspace.ITU601, "dst_colorspace": Colorspace.ITU601, "src_color_range": kept}
        luma, *chroma = planes_of(self._reformatted(frame, "yuv420p", dst_color_range=kept, **same))
        wide = [cv2.resize(plane, luma.shape[::-1], interpolation=cv2.INTER_NEAREST) for plane in chroma]
        return np.asarray(cv2.transform(cv2.merge([luma, *wide]), _to_rgb(matrix_of(frame), full)), np.uint8)

    def _scaled(self, frame: Any, pixel_format: str) -> np.ndarray:
        matrix = Colorspace.ITU601 if pixel_format == "gray" else _assumed(frame)
        shown = self._reformatted(frame, pixel_format, src_colorspace=matrix, dst_color_range=ColorRange.JPEG)
        pixels: np.ndarray = shown.to_ndarray()
        return pixels

    def _reformatted(self, frame: Any, pixel_format: str, **colours: Any) -> Any:
        try:
            return self._reformatter.reformat(
                frame,
                width=self._width,
                height=self._height,
                format=pixel_format,
                interpolation=self._interpolation,
                threads=1,
                **colours,
            )
        except av.FFmpegError as error:
            raise Reject(
                Reason.CORRUPT, f"{frame.format.name} pictures cannot be converted: {error.strerror}"
            ) from error


def is_full_range(frame: Any) -> bool:
    """Whether luma of 0 is black."""
    return bool(frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj"))


def planes_of(frame: Any) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Samples of the three planes of an 8-bit frame where they lie; they live as long as somebody looks at them."""
    luma, blue, red = (
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        for plane in frame.planes
    )
    return luma, blue, red


@lru_cache(maxsize=16)
def _to_rgb(matrix: int, full: bool) -> Floats32:
    """(3, 4) from luma, blue and red difference (8 bit) and 1 to RGB, by the colour matrix of ffmpeg's number (ITU-T H.273)."""
    kr, kb = _RED_AND_BLUE.get(matrix, _BT601)
    kg = 1 - kr - kb
    luma, chroma = (1.0, 1.0) if full else (255 / 219, 255 / 224)
    colours = np.array([[0, 2 * (1 - kr)], [-2 * (1 - kb) * kb / kg, -2 * (1 - kr) * kr / kg], [2 * (1 - kb), 0]])
    colours *= chroma
    black = -128 * colours.sum(1, keepdims=True) - (0 if full else 16 * luma)
    return np.concatenate([np.full((3, 1), luma), colours, black], axis=1).astype(np.float32)


def _assumed(frame: Any) -> int | None:
    """The colour matrix to assume; None for the frame's own."""
    tagged = frame.colorspace
    return None if tagged in _KNOWN_MATRICES or (tagged == 0 and frame.format.is_rgb) else matrix_of(frame)


def matrix_of(frame: Any) -> int:
    """The colour matrix of a frame, by ffmpeg's numbers.

    When the file does not say, or names one that swscale does not know: BT.709 for HD, BT.601 below, as players do.
    """
    tagged = frame.colorspace
    if tagged in _KNOWN_MATRICES or (tagged == 0 and frame.format.is_rgb):
        return int(tagged)
    if tagged == _BT2020_CONSTANT_LUMINANCE:
        return int(Colorspace.BT2020)
    hd = frame.width >= 1280 or frame.height > 576
    return int(Colorspace.ITU709 if hd else Colorspace.ITU601)
