"""From which side somebody is seen: turn from the camera and back, also where no face is found.

A profile often has no face for a net, and neither has a back. What tells them apart is how wide the shoulders are for the
length of the torso, which turning leaves alone.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.skeleton import layout, measure
from pipeline.skeleton.measure import Floats

# Width of the shoulders, seen from the front, over shoulder to hip; over the box's height where no hip is seen.
_OVER_TORSO = 0.75
_OVER_BOX = 0.36
_SIDEWAYS = 0.5  # of that width: shoulders narrower than that (60 degrees) show neither front nor back
_SIDES = ((layout.LEFT_SHOULDER, layout.LEFT_HIP), (layout.RIGHT_SHOULDER, layout.RIGHT_HIP))


def yaw_degrees(keypoints: Floats, scores: Floats, boxes: Floats, min_score: float = 0.3) -> float:
    """Median turn from the camera, 0 (front or back) to 90 (profile); NaN where nothing tells.

    In each frame the lesser of head's and shoulders' turn: a side view turns both, a glance aside only one. Without a
    face, the shoulders' width over the torso's length.

    Args:
        keypoints: (F, 133, 2) pixels, NaN where not seen.
        scores: (F, 133).
        boxes: (F, 4), NaN where the person is not seen.
        min_score: points below it count as not seen.
    """
    head = measure.head_yaw_degrees(keypoints, scores, min_score)
    body = measure.body_yaw_degrees(keypoints, scores, min_score)
    faced = np.fmin(np.where(head > 90, 180 - head, head), body)
    faceless = np.degrees(np.arccos(np.clip(_breadth(keypoints, scores, boxes, min_score), 0, 1)))
    turns = np.where(np.isfinite(faced), faced, faceless)
    turns = turns[np.isfinite(turns)]
    return float(np.median(turns)) if turns.size else measure.NAN


def back_share(keypoints: Floats, scores: Floats, boxes: Floats, min_score: float = 0.3) -> float:
    """Share of the frames with both shoulders, 0..1, in which the person shows the back; NaN where there are none.

    Shoulders are then far apart and lie the wrong way round, or there is neither nose nor face.
    """
    points = measure.visible(keypoints, scores, min_score)
    apart = points[:, layout.LEFT_SHOULDER, 0] - points[:, layout.RIGHT_SHOULDER, 0]
    both = np.isfinite(apart)
    if not both.any():
        return measure.NAN
    found = np.where(layout.seen(np.asarray(keypoints)[:, layout.FACE]), np.asarray(scores)[:, layout.FACE], 0)
    faceless = (found.mean(1) < min_score) & ~layout.seen(points[:, layout.NOSE])
    wide = _breadth(keypoints, scores, boxes, min_score) >= _SIDEWAYS
    return float((wide & ((apart < 0) | faceless))[both].mean())


def _breadth(keypoints: Floats, scores: Floats, boxes: Floats, min_score: float) -> NDArray[np.float64]:
    """(F,) width of the shoulders over what it is when seen from the front; NaN where it is not known."""
    points = measure.visible(keypoints, scores, min_score)
    width = np.linalg.norm(points[:, layout.LEFT_SHOULDER] - points[:, layout.RIGHT_SHOULDER], axis=-1)
    sides = np.concatenate([np.linalg.norm(points[:, a] - points[:, b], axis=-1) for a, b in _SIDES])
    sides = sides[np.isfinite(sides)]
    full = _OVER_TORSO * float(np.median(sides)) if sides.size else _OVER_BOX * measure.box_height_px(boxes)
    return width / max(full, 1e-6) if np.isfinite(full) else np.full(len(width), np.nan)
