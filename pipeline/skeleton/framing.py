"""What the picture's edges take away of the head."""

import numpy as np

from pipeline.base.arrays import Floats
from pipeline.skeleton import layout
from pipeline.skeleton.head_pose import fit_heads
from pipeline.skeleton.layout import visible

EVERY = 5  # frames from one that is looked at to the next
# An adult's head around the middle between the pupils, millimetres: up to the crown, hair left out, and to either side.
CROWN_MM = 110.0
HALF_WIDTH_MM = 70.0
NAN = float("nan")
_EYES = slice(layout.RIGHT_EYE_RING.start, layout.LEFT_EYE_RING.stop)


def head_cut_share(keypoints: Floats, scores: Floats, width: int, height: int, min_score: float = 0.3) -> float:
    """Median share of the head, 0..1 of its box from crown to chin, that lies outside the picture; NaN where no face is told.

    Args:
        keypoints: (F, 133, 2) source pixels, NaN where not seen.
        scores: (F, 133).
        width, height: of the picture, pixels.
        min_score: points below it count as not seen.
    """
    keypoints, scores = keypoints[::EVERY], scores[::EVERY]
    heads, points = fit_heads(keypoints, scores, min_score), visible(keypoints, scores, min_score)
    told = np.isfinite(heads.scale) & layout.seen(points[:, layout.CHIN]) & layout.seen(points[:, _EYES]).any(1)
    if not told.any():
        return NAN
    eyes, chin = np.nanmean(points[told, _EYES], axis=1), points[told, layout.CHIN]
    roll, scale = np.radians(heads.angles[told, 2]), heads.scale[told]
    crown = eyes + CROWN_MM * scale[:, None] * np.stack([np.sin(roll), -np.cos(roll)], 1)
    middle, half = (crown[:, 0] + chin[:, 0]) / 2, HALF_WIDTH_MM * scale
    low, high = np.stack([middle - half, crown[:, 1]], 1), np.stack([middle + half, chin[:, 1]], 1)
    inside = np.clip(high, 0, [width, height]) - np.clip(low, 0, [width, height])
    return float(np.median(1 - (inside / np.maximum(high - low, 1e-6)).prod(1)))
