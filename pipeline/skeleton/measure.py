"""What a skeleton says about a clip: geometry and motion of one person, as plain numbers with units.

Nothing is judged here. Throughout, keypoints are (F, 133, 2) in pixels with NaN where not seen, scores (F, 133) in 0..1, and a
point counts as seen when it is finite and its score reaches `min_score`. What cannot be measured is NaN, never 0.
Shoulder widths are the unit of length where pictures of different sizes must compare (`body_scale_px`).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.skeleton import layout
from pipeline.skeleton.crop import Box
from pipeline.skeleton.local import from_local, to_local
from pipeline.skeleton.smooth import filter_paths, smooth

Floats = NDArray[np.floating]
NAN = float("nan")

# Proportions of an adult head, of the distance between the pupils, and of the body: they turn ratios into angles.
_NOSE_DEPTH = 0.55  # how far the tip of the nose stands out before the eyes, in pupil distances
_SHOULDERS_TO_FACE = 2.3  # shoulder joints' distance over brows-to-chin, seen from the front
_FINGERTIPS = [hand.start + tip for hand in (layout.LEFT_HAND, layout.RIGHT_HAND) for tip in layout.FINGERTIPS]
_ARMS = [layout.LEFT_ELBOW, layout.RIGHT_ELBOW, layout.LEFT_WRIST, layout.RIGHT_WRIST]
_SMOOTH_WINDOW = 11


def visible(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> Floats:
    """(F, 133, 2) float64 keypoints with NaN for those that are not seen."""
    return np.where((np.asarray(scores) >= min_score)[..., None], keypoints, np.nan).astype(np.float64)


def completeness(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> dict[str, float]:
    """Share of frames, 0..1, in which each joint of the upper body is seen, by the joint's name."""
    found = layout.seen(visible(keypoints, scores, min_score))
    return {name: float(found[:, k].mean()) if len(found) else NAN for name, k in layout.UPPER_BODY.items()}


def shoulder_width_px(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> float:
    """Median distance of the shoulder joints, px."""
    points = visible(keypoints, scores, min_score)
    return _median(np.linalg.norm(points[:, layout.LEFT_SHOULDER] - points[:, layout.RIGHT_SHOULDER], axis=-1))


def body_scale_px(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> float:
    """The unit of lengths and speeds, px: the median shoulder width, or what the face's height makes of it in a side view.

    From the side shoulders shrink to nothing, and every movement would look huge; 1.8 faces (brows to chin) are the floor.
    """
    points = visible(keypoints, scores, min_score)
    return float(np.fmax(shoulder_width_px(keypoints, scores, min_score), 1.8 * _median(_face_heights(points))))


def figure_height_px(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> float:
    """Median over frames of the height from the highest to the lowest point seen, px. Hair and what is cut off add nothing."""
    points = visible(keypoints, scores, min_score)[..., 1]
    points = points[np.isfinite(points).any(1)]
    return _median(np.nanmax(points, 1) - np.nanmin(points, 1)) if len(points) else NAN


def box_height_px(boxes: Floats) -> float:
    """Median height of the boxes (F, 4), px; NaN rows are frames without the person."""
    return _median(boxes[:, 3] - boxes[:, 1])


def box_share(boxes: Floats, width: int, height: int) -> float:
    """Median share of the picture's area that the boxes (F, 4) cover inside it, 0..1."""
    x = np.clip(boxes[:, [0, 2]], 0, width)
    y = np.clip(boxes[:, [1, 3]], 0, height)
    return _median((x[:, 1] - x[:, 0]) * (y[:, 1] - y[:, 0]) / (width * height))


def head_yaw_degrees(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> Floats:
    """(F,) estimated turn of the head from the camera, 0 (facing it) to 90 (profile) and more; NaN without nose and eyes.

    The nose stands out before the eyes, so turning the head by a moves it along the eyes' line by `_NOSE_DEPTH` tan a of
    their distance. That holds for a rolled head too. Eyes in the wrong order mean more than 90 degrees.
    """
    points = visible(keypoints, scores, min_score)
    eyes = points[:, layout.LEFT_EYE] - points[:, layout.RIGHT_EYE]
    middle = (points[:, layout.LEFT_EYE] + points[:, layout.RIGHT_EYE]) / 2
    apart = np.linalg.norm(eyes, axis=-1)
    along = ((points[:, layout.NOSE] - middle) * eyes).sum(-1) / np.maximum(apart, 1e-6)
    yaw = np.degrees(np.arctan2(np.abs(along) / _NOSE_DEPTH, apart))
    return np.asarray(np.where(eyes[:, 0] < 0, 180 - yaw, yaw))


def body_yaw_degrees(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> Floats:
    """(F,) estimated turn of the shoulders from the camera, 0 to 90; NaN without shoulders and face.

    From how much narrower the shoulders are than the face's height, which turning leaves alone, would have them. A coarse
    measure, good to some 20 degrees: people differ, and a narrow face cannot be told from broad shoulders.
    """
    points = visible(keypoints, scores, min_score)
    shoulders = np.linalg.norm(points[:, layout.LEFT_SHOULDER] - points[:, layout.RIGHT_SHOULDER], axis=-1)
    frontal = np.maximum(_SHOULDERS_TO_FACE * _face_heights(points), 1e-6)
    return np.asarray(np.degrees(np.arccos(np.clip(shoulders / frontal, 0, 1))))


def yaw_degrees(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> float:
    """Median over frames of the lesser of head's and shoulders' turn: a side view turns both, a glance aside only one."""
    head = head_yaw_degrees(keypoints, scores, min_score)
    return _median(np.fmin(head, body_yaw_degrees(keypoints, scores, min_score)))


def front_share(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> float:
    """Share, 0..1, of the frames with both shoulders in which the person shows the front.

    Then the left shoulder is on the picture's right and a face is seen. Nets that name the sides by the picture, not by the
    person, are caught by the face: from the back it scores low.
    """
    points = visible(keypoints, scores, min_score)
    order = points[:, layout.LEFT_SHOULDER, 0] - points[:, layout.RIGHT_SHOULDER, 0]
    both = np.isfinite(order)
    facing = (order > 0) & _part_seen(keypoints, scores, layout.FACE, min_score)
    return float(facing[both].mean()) if both.any() else NAN


def face_seen_share(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> float:
    """Share of frames, 0..1, in which the 68 points' mean score reaches `min_score`."""
    return float(_part_seen(keypoints, scores, layout.FACE, min_score).mean()) if len(keypoints) else NAN


def hands_seen_share(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> dict[str, float]:
    """Share of frames, 0..1, in which a hand's mean score reaches `min_score`: for `left`, `right`, `any` and `both`."""
    left = _part_seen(keypoints, scores, layout.LEFT_HAND, min_score)
    right = _part_seen(keypoints, scores, layout.RIGHT_HAND, min_score)
    cases = {"left": left, "right": right, "any": left | right, "both": left & right}
    return {name: float(case.mean()) if len(case) else NAN for name, case in cases.items()}


def arm_speeds(keypoints: Floats, scores: Floats, fps: float = 25.0, min_score: float = 0.3) -> Floats:
    """(F - 1,) speed of elbows, wrists and fingertips relative to the neck, in shoulder widths a second.

    Each frame's is the mean over both arms' joints and the faster hand's fingertips, of paths smoothed over 11 frames: what
    the net trembles is no gesture. NaN where nothing of the arms is seen in two frames running.
    """
    points = visible(keypoints, scores, min_score)
    relative = points - points[:, [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER]].mean(1, keepdims=True)
    paths = relative[:, _ARMS + _FINGERTIPS]
    paths = filter_paths(paths, layout.seen(paths), _SMOOTH_WINDOW)
    speed = np.linalg.norm(np.diff(paths, axis=0), axis=-1) * fps / body_scale_px(keypoints, scores, min_score)
    arms, tips = _mean(speed[:, :4]), speed[:, 4:]
    hands = np.fmax(_mean(tips[:, :5]), _mean(tips[:, 5:]))
    return _mean(np.stack([arms, hands], 1))


def arm_motion(keypoints: Floats, scores: Floats, fps: float = 25.0, min_score: float = 0.3) -> dict[str, float]:
    """Median and 95th percentile of `arm_speeds`, in shoulder widths a second: `median`, `p95`."""
    speeds = arm_speeds(keypoints, scores, fps, min_score)
    speeds = speeds[np.isfinite(speeds)]
    if not speeds.size:
        return {"median": NAN, "p95": NAN}
    return {"median": float(np.median(speeds)), "p95": float(np.percentile(speeds, 95))}


def arm_range(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> float:
    """How far the arms get about: the larger wrist's or elbow's 5-95 % span relative to the neck, in shoulder widths.

    The measure of a static pose. Unlike a speed it does not grow with the net's trembling.
    """
    points = visible(keypoints, scores, min_score)
    relative = points - points[:, [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER]].mean(1, keepdims=True)
    spans = []
    for k in _ARMS:
        path = relative[layout.seen(relative[:, k]), k]
        if len(path) > 1:
            spans.append(float(np.hypot(*np.subtract(*np.percentile(path, [95, 5], axis=0)))))
    return max(spans, default=NAN) / body_scale_px(keypoints, scores, min_score)


def jitter_px(keypoints: Floats, scores: Floats, px: float = 1.0, min_score: float = 0.3) -> float:
    """Trembling: the median over points of the root mean square distance between the raw and the smoothed path.

    Args:
        px: target pixels a pixel of `keypoints`; 512 / side of the crop gives pixels of the 512 crop.
    """
    points = visible(keypoints, scores, min_score)
    local, neck = to_local(points)
    smoothed = from_local(*smooth(local, neck, scores))
    residual = np.square(points - smoothed).sum(-1)
    count = np.isfinite(residual).sum(0)
    known = count > _SMOOTH_WINDOW
    known[layout.MOUTH] = False  # not smoothed, so it has no residual of its own
    if not known.any():
        return NAN
    return float(np.median(np.sqrt(np.nansum(residual[:, known], 0) / count[known])) * px)


def other_person_share(
    others: Sequence[tuple[Floats, Floats]], box: Box, min_score: float = 0.3, min_points: int = 3
) -> float:
    """Share of frames, 0..1, in which somebody else shows in the crop.

    Args:
        others: keypoints (F, 133, 2) and scores (F, 133) of every other person of the clip.
        box: the crop.
        min_points: seen points of body, face or hands inside the box that make a person there.
    """
    if not others:
        return 0.0
    low, high = np.array(box[:2]), np.array(box[2:])
    inside = [
        ((points >= low) & (points < high)).all(-1).sum(-1) >= min_points
        for points in (visible(keypoints, scores, min_score) for keypoints, scores in others)
    ]
    return float(np.any(inside, axis=0).mean())


def _face_heights(points: Floats) -> Floats:
    """(F,) distance from the middle of the brows to the chin, px."""
    brows = points[:, layout.RIGHT_BROW.start : layout.LEFT_BROW.stop].mean(1)
    return np.asarray(np.linalg.norm(points[:, layout.CHIN] - brows, axis=-1))


def _part_seen(keypoints: Floats, scores: Floats, part: slice, min_score: float) -> NDArray[np.bool_]:
    """(F,) bool: the part's mean score, missing points counted as 0, reaches `min_score`."""
    found = np.where(layout.seen(np.asarray(keypoints)[:, part]), np.asarray(scores)[:, part], 0)
    return np.asarray(found.mean(1) >= min_score)


def _median(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else NAN


def _mean(values: Floats) -> Floats:
    """Mean over axis 1 of what is known; NaN, without a warning, where nothing is."""
    known = np.isfinite(values)
    return np.where(known.any(1), np.where(known, values, 0).sum(1) / np.maximum(known.sum(1), 1), np.nan)
