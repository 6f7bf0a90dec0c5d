"""Skeletons as scripts: a page that is opened from a file may load scripts and nothing else."""

import base64
import json
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats32
from pipeline.base.units import KEYPOINTS

STEP_PX = 0.25  # of the picture that is shown: a point is off by half of it at most
_FARTHEST = 32_000  # steps from the picture's corner; what lies further off is drawn there


def script(
    name: str, keypoints: Floats32, scores: Floats32, size: tuple[int, int], box: Sequence[float] | None = None
) -> bytes:
    """A call of `csgPose` with the skeleton: steps of a quarter pixel, as differences from frame to frame, deflated, base64.

    Args:
        name: what the page asked for.
        keypoints: (F, 133, 2) pixels of the shown picture, NaN where not seen.
        scores: (F, 133).
        size: (width, height) of that picture.
        box: the crop's x1, y1, x2, y2 in its pixels.
    """
    said = {
        "frames": len(scores),
        "points": KEYPOINTS,
        "size": list(size),
        "step": STEP_PX,
        "box": None if box is None else [round(value, 2) for value in box],
        "data": base64.b64encode(packed(keypoints, scores)).decode(),
    }
    return f"csgPose({json.dumps(name)}, {json.dumps(said, separators=(',', ':'))});\n".encode()


def packed(keypoints: Floats32, scores: Floats32) -> bytes:
    """Raw deflate of the low bytes, then the high bytes of x and y, then the scores: each as differences, a joint after the other.

    A score's byte is 0 where the joint is not seen, else 1 to 255 for 0..1; a joint that is not seen stays where it was.
    """
    seen = np.isfinite(keypoints).all(-1) & np.isfinite(scores)  # (F, 133)
    steps = np.clip(np.rint(np.where(seen[..., None], keypoints, 0) / STEP_PX), -_FARTHEST, _FARTHEST)
    places = _differences(_held(steps.astype(np.int32), seen)).astype("<i2")  # wraps, and so does its inverse
    marks = np.where(seen, 1 + np.rint(254 * np.clip(np.where(seen, scores, 0), 0, 1)), 0).astype(np.int32)
    planes = places.transpose(1, 2, 0).ravel().view(np.uint8).reshape(-1, 2).T  # (2, 133 x 2 x F)
    data = np.ascontiguousarray(planes).tobytes() + _differences(marks).astype(np.uint8).T.tobytes()
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(data) + deflate.flush()


def _held(steps: NDArray[np.int32], seen: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(F, 133, 2) with the last seen place where a joint is not seen."""
    frame = np.where(seen, np.arange(len(seen))[:, None], 0)
    last = np.maximum.accumulate(frame, axis=0)
    return np.take_along_axis(steps, last[..., None], axis=0)


def _differences(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """Each frame less the one before it; the first as it is."""
    return np.diff(values, axis=0, prepend=np.zeros_like(values[:1]))
