"""The measures of one person's clip, by the names that the table of pose measures gives them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.skeleton import layout, measure, view
from pipeline.skeleton.crop import Box
from pipeline.skeleton.measure import Floats
from pipeline.skeleton.smooth import filter_paths

UPPER_BODY = ("nose", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow")  # what must be seen throughout
_WRISTS = [layout.LEFT_WRIST, layout.RIGHT_WRIST]
_SHOULDERS = [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER]
_HEAD_AND_SHOULDERS = np.r_[0:7, layout.FACE]
_WINDOW = 11  # frames


def measures(
    keypoints: Floats, scores: Floats, boxes: Floats, width: int, height: int, min_score: float = 0.3
) -> dict[str, float]:
    """What one person's skeleton says, NaN where it says nothing.

    Args:
        keypoints: (F, 133, 2) source pixels, NaN where not seen.
        scores: (F, 133).
        boxes: (F, 4), NaN where the person is not seen.
        width, height: of the picture, pixels.
        min_score: points below it count as not seen.

    Returns:
        shares in 0..1, lengths in pixels or shoulder widths, speeds in shoulder widths a second, angles in degrees.
    """
    shoulders = measure.shoulder_width_px(keypoints, scores, min_score)
    box_height = measure.box_height_px(boxes)
    hands = measure.hands_seen_share(keypoints, scores, min_score)
    speeds = wrist_speeds(keypoints, scores, min_score=min_score)
    return {
        "seen_share": float(np.isfinite(boxes).all(1).mean()),
        "upper_body_share": together_share(keypoints, scores, UPPER_BODY, min_score),
        "wrists_share": together_share(keypoints, scores, ("left_wrist", "right_wrist"), min_score),
        "shoulder_width_px": shoulders,
        "shoulder_width_share": shoulders / width,
        "box_height_px": box_height,
        "box_height_share": box_height / height,
        "yaw_degrees": view.yaw_degrees(keypoints, scores, boxes, min_score),
        "back_share": view.back_share(keypoints, scores, boxes, min_score),
        "wrist_speed_median": _percentile(speeds, 50),
        "wrist_speed_p95": _percentile(speeds, 95),
        "arm_range": measure.arm_range(keypoints, scores, min_score),
        "hand_seen_share": hands["any"],
        "both_hands_share": hands["both"],
        "face_seen_share": measure.face_seen_share(keypoints, scores, min_score),
        "jitter": body_jitter(keypoints, scores, min_score),
    }


def together_share(keypoints: Floats, scores: Floats, joints: Sequence[str], min_score: float = 0.3) -> float:
    """Share of frames, 0..1, in which all these joints of the upper body are seen."""
    found = layout.seen(measure.visible(keypoints, scores, min_score))
    return float(found[:, [layout.UPPER_BODY[name] for name in joints]].all(1).mean()) if len(found) else measure.NAN


def worst_joint(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> tuple[str, float]:
    """The joint of `UPPER_BODY` that is seen least often, and its share of frames, 0..1."""
    shares = measure.completeness(keypoints, scores, min_score)
    name = min(UPPER_BODY, key=lambda joint: shares[joint])
    return name, shares[name]


def wrist_speeds(keypoints: Floats, scores: Floats, fps: float = 25.0, min_score: float = 0.3) -> NDArray[np.float64]:
    """(F - 1,) speed of the faster wrist relative to the neck, in shoulder widths a second; NaN where neither is seen.

    Of paths smoothed over 11 frames: what the net trembles is no gesture.
    """
    points = measure.visible(keypoints, scores, min_score)
    paths = points[:, _WRISTS] - points[:, _SHOULDERS].mean(1, keepdims=True)
    paths = filter_paths(paths, layout.seen(paths), _WINDOW)
    speeds = np.linalg.norm(np.diff(paths, axis=0), axis=-1) * fps
    return np.fmax(speeds[:, 0], speeds[:, 1]) / measure.body_scale_px(keypoints, scores, min_score)


def body_jitter(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> float:
    """Trembling of the body, in shoulder widths: the median over its joints of the root mean square distance between the
    raw and the smoothed path, from the neck; NaN where no joint is seen for longer than the filter.

    Of the body alone, because this is measured for everybody: hands and face would cost ten times as much.
    """
    points = measure.visible(keypoints, scores, min_score)
    paths = points[:, : layout.RIGHT_HIP + 1] - points[:, _SHOULDERS].mean(1, keepdims=True)
    found = layout.seen(paths)
    residual = np.square(paths - filter_paths(paths, found, _WINDOW)).sum(-1)
    long = found.sum(0) > _WINDOW
    if not long.any():
        return measure.NAN
    tremble = np.sqrt(np.nansum(residual[:, long], 0) / found[:, long].sum(0))
    return float(np.median(tremble)) / measure.body_scale_px(keypoints, scores, min_score)


def others_in_crop(others: Sequence[tuple[Floats, Floats]], box: Box, min_score: float = 0.3) -> float:
    """Share of frames, 0..1, in which somebody else's head or shoulders (three points of them) lie inside the crop.

    Args:
        others: keypoints (F, 133, 2) and scores (F, 133) of every other person of the clip.
        box: the crop.
    """
    heads = []
    for keypoints, scores in others:
        kept = np.zeros_like(scores)
        kept[:, _HEAD_AND_SHOULDERS] = scores[:, _HEAD_AND_SHOULDERS]
        heads.append((keypoints, kept))
    return measure.other_person_share(heads, box, min_score)


def _percentile(values: NDArray[np.float64], percent: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.percentile(known, percent)) if known.size else measure.NAN
