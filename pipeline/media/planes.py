"""Pictures in the planes that they are coded in, where these are those of our clips: BT.709 4:2:0 of limited range, 8 bit.

What is cut out of such a picture and coded again needs no way through RGB, which costs more than the decoder and rounds twice.
"""

from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from pipeline.base.units import Box
from pipeline.media.combing import PROGRESSIVE
from pipeline.media.fit import Fitter
from pipeline.media.frames import FrameSource
from pipeline.media.guard import Limits
from pipeline.media.picture import Orientation, geometry_of, matrix_of
from pipeline.media.tone import is_hdr
from pipeline.media.writer import PLANES
from pipeline.skeleton.crop import cut_planes

_LEFT = ("h264", "hevc", "vp9", "libvpx-vp9", "av1", "libdav1d", "libaom-av1", "mpeg2video", "mpeg4")
"""Decoders of codecs whose chroma lies on the left column, between two rows, unless a file says otherwise, as hardly one does."""
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG


def is_plain(source: FrameSource, frame: Any, limits: Limits) -> bool:
    """Whether a decoded frame is coded as our clips are, and shown as it is coded."""
    geometry = geometry_of(source.stream, frame, limits)
    shown_as_coded = (geometry.width, geometry.height) == (frame.width, frame.height)
    return (
        frame.format.name == PLANES
        and frame.width % 2 == frame.height % 2 == 0
        and frame.color_range != _FULL_RANGE
        and matrix_of(frame) == int(Colorspace.ITU709)
        and not is_hdr(frame)
        and source.stream.codec_context.name in _LEFT
        and shown_as_coded
        and geometry.orientation == Orientation()
        and not frame.interlaced_frame
        and source.combed in (None, PROGRESSIVE)
    )


class PlaneFitter:
    """Gives a square of the frames of a stream as planes; odd frames on the way are converted.

    Args:
        source: that they come from.
        model: its first frame, which is plain.
        limits: bounds for displayed pictures.
        box: what is wanted, in pixels of the first frame.
    """

    def __init__(self, source: FrameSource, model: Any, limits: Limits, box: Box) -> None:
        self._source, self._limits, self._box = source, limits, box
        self._size = model.width, model.height
        self._fitter = Fitter(source, model, limits, None, "rgb24")

    def __call__(self, frame: Any) -> NDArray[np.uint8]:
        """What `cut_planes` makes of the frame. Raises Reject: CORRUPT, TOO_LARGE."""
        same = (frame.width, frame.height) == self._size and self._source.aspect_of(frame) is None
        if not (same and is_plain(self._source, frame, self._limits)):
            shown = av.VideoFrame.from_ndarray(self._fitter(frame), format="rgb24")
            frame = shown.reformat(format=PLANES, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        luma, *chroma = (_view(plane) for plane in frame.planes)
        return cut_planes(luma, (chroma[0], chroma[1]), self._box)


def _view(plane: Any) -> NDArray[np.uint8]:
    """(H, W) samples of a plane where the decoder left them; they live as long as somebody looks at them."""
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
