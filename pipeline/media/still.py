"""Reads one picture file: PNG, JPEG or WebP, of bounded size."""

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.base.reasons import Reason, Reject

MAX_BYTES = 64 << 20  # of the file; how many pixels it may hold is set for OpenCV in pipeline/__init__.py
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
        most = int(os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"]) / 1e6
        raise Reject(Reason.TOO_LARGE, f"{path} has more than {most:.0f} million pixels: scale it down") from error
    if bgr is None:
        raise Reject(Reason.NOT_MEDIA, f"{path} does not decode: it is cut short or damaged")
    return np.ascontiguousarray(bgr[..., ::-1])
