"""From which side a person is seen: the turn of the head and that of the body, each measured for itself.

They are judged one by one: somebody whose body faces us and who looks aside throughout is as little use as somebody who stands
sideways and looks at us. What is not seen is NaN.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats
from pipeline.skeleton import layout
from pipeline.skeleton.head_pose import fit_heads
from pipeline.skeleton.layout import visible

EVERY = 5  # frames from one that is looked at to the next: a turn lasts longer
MIN_TOLD_SHARE = 0.2  # of the frames: a turn that is told in fewer is not measured
# Distance of the shoulder joints of an adult who faces the camera: in millimetres, and over the distance from shoulder to hip.
SHOULDERS_MM = 330.0
SHOULDERS_TO_TORSO = 0.75

NAN = float("nan")
_SHOULDERS = (layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER)
_HIPS = (layout.LEFT_HIP, layout.RIGHT_HIP)
_BELOW = (layout.LEFT_ELBOW, layout.RIGHT_ELBOW, *_HIPS)
_LEFT = (layout.LEFT_EAR, layout.LEFT_SHOULDER)
_RIGHT = (layout.RIGHT_EAR, layout.RIGHT_SHOULDER)


def turns(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> dict[str, float]:
    """Median turns from the camera over a clip, degrees, by column name: 0 faces the camera, 90 is a profile.

    Args:
        keypoints: (F, 133, 2) px, NaN where not seen.
        scores: (F, 133).
        min_score: points below it count as not seen.

    Returns:
        `head_yaw_degrees`, 0 to 180, of a fit of the face's 68 points; NaN where they are seen too seldom. `body_yaw_degrees`, 0 to
        90 (a back counts as a front), of the shoulders' width; NaN where nothing tells how wide they would be.
    """
    keypoints, scores = keypoints[::EVERY], scores[::EVERY]
    heads = fit_heads(keypoints, scores, min_score)
    told = np.isfinite(heads.scale)
    often = len(told) and told.mean() >= MIN_TOLD_SHARE
    return {
        "head_yaw_degrees": float(np.median(np.abs(heads.angles[told, 0]))) if often else NAN,
        "body_yaw_degrees": _body_yaw(visible(keypoints, scores, min_score), heads.scale[told]),
    }


def _body_yaw(points: Floats, head_scale: Floats) -> float:
    """Median turn of the shoulders, from how much narrower they are than seen from the front; 90 where one side alone is seen.

    A picture that ends at the shoulders shows neither elbow nor hip, and the net guesses where they are: that tells nothing.
    """
    full = _frontal_width(points, head_scale)
    yaws = np.degrees(np.arccos(np.clip(_apart(points, *_SHOULDERS) / max(full, 1e-6), 0, 1)))
    yaws[~layout.seen(points[:, _BELOW]).any(1)] = np.nan
    yaws[_one_sided(points)] = 90
    told = np.isfinite(yaws)
    return float(np.median(yaws[told])) if told.size and told.mean() >= MIN_TOLD_SHARE else NAN


def _frontal_width(points: Floats, head_scale: Floats) -> float:
    """How wide the shoulders would be from the front, px, as two lengths tell that turning leaves alone: that from shoulder to hip,
    and the head's size. The one that expects less counts: to hunch, to lean or to have a small head is not to turn.
    """
    torsos = np.concatenate([_apart(points, *side) for side in zip(_SHOULDERS, _HIPS, strict=True)])
    torsos = torsos[np.isfinite(torsos)]
    expected = [SHOULDERS_TO_TORSO * float(np.median(torsos))] if torsos.size else []
    expected += [SHOULDERS_MM * float(np.median(head_scale))] if head_scale.size else []
    return min(expected, default=NAN)


def _one_sided(points: Floats) -> NDArray[np.bool_]:
    """(F,) ear and shoulder of one side are seen, and neither of the other."""
    left, right = (layout.seen(points[:, side]) for side in (_LEFT, _RIGHT))
    return np.asarray((left.all(1) & ~right.any(1)) | (right.all(1) & ~left.any(1)))


def _apart(points: Floats, one: int, other: int) -> Floats:
    return np.asarray(np.linalg.norm(points[:, one] - points[:, other], axis=-1))
