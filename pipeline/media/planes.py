"""Pictures in the planes that they are coded in, where these are those of our clips: BT.709 4:2:0 of limited range, 8 bit.

What is cut out of such a picture and coded again needs no way through RGB, which costs more than the decoder and rounds twice.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from pipeline.base.units import FPS, Box
from pipeline.media.combing import PROGRESSIVE
from pipeline.media.fit import Fitter
from pipeline.media.frames import FrameSource
from pipeline.media.guard import Limits
from pipeline.media.picture import Orientation, geometry_of, is_full_range, matrix_of, planes_of
from pipeline.media.tone import is_hdr
from pipeline.media.writer import PLANES
from pipeline.skeleton.crop import cut_planes, first_chroma, square

_LEFT = ("h264", "hevc", "vp9", "libvpx-vp9", "av1", "libdav1d", "libaom-av1", "mpeg2video", "mpeg4")
"""Decoders of codecs whose chroma lies on the left column, between two rows, unless a file says otherwise, as hardly one does."""


def is_plain(source: FrameSource, frame: Any, limits: Limits) -> bool:
    """Whether a decoded frame is coded as our clips are, and shown as it is coded."""
    geometry = geometry_of(source.stream, frame, limits)
    shown_as_coded = (geometry.width, geometry.height) == (frame.width, frame.height)
    return (
        frame.format.name == PLANES
        and frame.width % 2 == frame.height % 2 == 0
        and not is_full_range(frame)
        and matrix_of(frame) == int(Colorspace.ITU709)
        and not is_hdr(frame)
        and source.stream.codec_context.name in _LEFT
        and shown_as_coded
        and geometry.orientation == Orientation()
        and not frame.interlaced_frame
        and source.combed in (None, PROGRESSIVE)
    )


@dataclass(frozen=True)
class PlaneCrop:
    """What is wanted of a file in planes.

    Attributes:
        box: integers, source pixels; the side of its square is even.
        side: to which that is scaled, pixels, even.
    """

    box: Box
    side: int


class PlaneFitter:
    """Gives a square of the frames of a stream as planes; odd frames on the way are converted.

    Args:
        source: that they come from.
        model: its first frame, which is plain.
        limits: bounds for displayed pictures.
        crop: what is wanted, in pixels of the first frame.
    """

    def __init__(self, source: FrameSource, model: Any, limits: Limits, crop: PlaneCrop) -> None:
        self._source, self._limits, self._box = source, limits, crop.box
        self._size = model.width, model.height
        self._fitter = Fitter(source, model, limits, None, "rgb24")
        self._scaler = _Scaler(crop)

    def __call__(self, frame: Any) -> NDArray[np.uint8]:
        """The crop, flat: luma, then both planes of chroma, on the left column. Raises Reject: CORRUPT, TOO_LARGE."""
        same = (frame.width, frame.height) == self._size and self._source.aspect_of(frame) is None
        if not (same and is_plain(self._source, frame, self._limits)):
            shown = av.VideoFrame.from_ndarray(self._fitter(frame), format="rgb24")
            frame = shown.reformat(format=PLANES, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        cut_planes(planes_of(frame), self._box, self._scaler.planes)
        return self._scaler.scaled()


class _Scaler:
    """Scales squares in planes: shrinks by area, enlarges by cubic interpolation, the chroma where it lies.

    Attributes:
        planes: of the square, to be filled before each call.
    """

    def __init__(self, crop: PlaneCrop) -> None:
        left, _, right, _ = square(crop.box)
        across, down = first_chroma(crop.box)
        self._square = av.VideoFrame(right - left, right - left, PLANES)
        self.planes = planes_of(self._square)
        how = "area" if right - left > crop.side else "bicubic"
        graph = av.filter.Graph()
        graph.threads = 1  # others decode
        form = av.VideoFormat(PLANES)
        given = graph.add_buffer(width=right - left, height=right - left, format=form, time_base=Fraction(1, FPS))
        scale = graph.add(
            "scale",
            f"{crop.side}:{crop.side}:in_h_chr_pos={across}:in_v_chr_pos={down}:out_h_chr_pos=0:out_v_chr_pos=128:"
            "in_color_matrix=bt709:out_color_matrix=bt709:in_range=tv:out_range=tv:"
            f"flags={how}+accurate_rnd+bitexact",
        )
        graph.link_nodes(given, scale, graph.add("buffersink")).configure()
        self._graph = graph

    def scaled(self) -> NDArray[np.uint8]:
        """What `planes` hold, scaled, flat, in an array of its own."""
        self._graph.push(self._square)
        picture: Any = self._graph.pull()
        flat: NDArray[np.uint8] = picture.to_ndarray().ravel()
        return flat
