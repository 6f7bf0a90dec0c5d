"""Which of the pictures within a picture a person is in, and what of a crop lies beyond its border."""

from collections.abc import Sequence

import numpy as np

from pipeline.base.arrays import Floats
from pipeline.base.units import Box
from pipeline.skeleton import layout
from pipeline.skeleton.crop import outside_share, square
from pipeline.skeleton.layout import visible

_HELD = (layout.NOSE, layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER)  # what a frame must hold to be around a person


def around_person(
    frames: Sequence[Sequence[int]], keypoints: Floats, scores: Floats, min_score: float = 0.3
) -> Box | None:
    """The smallest of these frames that holds nose and shoulders, by their median places; None where none does.

    Args:
        frames: x1, y1, x2, y2 of each, source pixels.
        keypoints: (F, 133, 2) source pixels, NaN where not seen.
        scores: (F, 133).
        min_score: points below it count as not seen.
    """
    if not len(frames) or not len(keypoints):
        return None
    points = visible(keypoints, scores, min_score)[:, _HELD]
    points = points[:, layout.seen(points).any(0)]
    if not points.shape[1]:
        return None
    places = np.nanmedian(points, 0)
    holding = [box for box in frames if ((places >= box[:2]) & (places < box[2:])).all()]
    if not holding:
        return None
    x1, y1, x2, y2 = min(holding, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
    return int(x1), int(y1), int(x2), int(y2)


def beyond_share(box: Box, inner: Box) -> float:
    """Share of a crop's square, 0..1, that lies beyond the border of the frame around the speaker."""
    x1, y1, x2, y2 = square(box)
    left, top, right, bottom = inner
    return outside_share((x1 - left, y1 - top, x2 - left, y2 - top), right - left, bottom - top)
