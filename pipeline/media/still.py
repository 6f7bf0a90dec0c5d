"""Reads one picture file: PNG, JPEG or WebP, of bounded size."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.base.process import MOST_PICTURE_PIXELS
from pipeline.base.reasons import Reason, Reject

MAX_BYTES = (
    64 << 20
)  # of the file; OpenCV refuses too many pixels before it decodes them, in processes that `prepare` set up
_MAGIC = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"RIFF": "WebP"}


def read_picture(path: str | Path) -> NDArray[np.uint8]:
    """(H, W, 3) RGB, upright as its EXIF says.

    Raises:
        Reject: NOT_MEDIA, EMPTY_FILE or TOO_LARGE.
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    size = path.stat().st_size
    if not path.is_file():
        raise Reject(Reason.NOT_MEDIA, f"{path} is not a file")
    if size == 0:
        raise Reject(Reason.EMPTY_FILE, f"{path}")
    if size > MAX_BYTES:
        raise Reject(Reason.TOO_LARGE, f"{path} has {size / 2**20:.0f} MiB, more than {MAX_BYTES / 2**20:.0f}")
    data = path.read_bytes()
    if not any(data.startswith(magic) for magic in _MAGIC):
        raise Reject(Reason.NOT_MEDIA, f"{path} is neither of {', '.join(_MAGIC.values())}")
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # more pixels than it is allowed
        raise _too_many(path) from error
    if bgr is not None and bgr.shape[0] * bgr.shape[1] > MOST_PICTURE_PIXELS:
        raise _too_many(path)
    if bgr is None:
        raise Reject(Reason.NOT_MEDIA, f"{path} does not decode: it is cut short or damaged")
    return np.ascontiguousarray(bgr[..., ::-1])


def _too_many(path: Path) -> Reject:
    return Reject(
        Reason.TOO_LARGE, f"{path} has more than {MOST_PICTURE_PIXELS / 1e6:.0f} million pixels: scale it down"
    )
