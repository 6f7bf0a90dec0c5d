"""Measures of a person's skeleton over a clip: those that are stored, and those that nets and metrics share.

Nothing is judged here. Throughout, keypoints are (F, 133, 2) in pixels with NaN where not seen, scores (F, 133) in 0..1, boxes
(F, 4) in pixels with NaN where the person is not seen, and a point counts as seen when it is finite and its score reaches
`min_score`. What cannot be measured is NaN, never 0. Shoulder widths are the unit of length where pictures of different sizes
must compare (`body_scale_px`).

A new measure is a function here, an entry in `measure_person`, and a column of the kind `pose_measures`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats
from pipeline.skeleton import layout
from pipeline.skeleton.body_frame import in_body_frame
from pipeline.skeleton.framing import head_cut_share
from pipeline.skeleton.layout import visible
from pipeline.skeleton.smooth import filter_paths
from pipeline.skeleton.view import turns

if TYPE_CHECKING:
    from pipeline.base.units import Box

# Of the stage `measure_pose`. Bump it when what is measured changes or grows: stored rows are then made again.
VERSION = 6

NAN = float("nan")

UPPER_BODY = ("nose", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow")  # what must be seen throughout
# Proportions of an adult head, of the distance between the pupils, and of the body: they turn ratios into angles.
_NOSE_DEPTH = 0.55  # how far the tip of the nose stands out before the eyes, in pupil distances
_SHOULDERS_TO_FACE = 2.3  # shoulder joints' distance over brows-to-chin, seen from the front
# Width of the shoulders, seen from the front, over shoulder to hip; over the box's height where no hip is seen.
_SHOULDERS_TO_TORSO = 0.75
_SHOULDERS_TO_BOX = 0.36
_SIDEWAYS = 0.5  # of that width: shoulders narrower than that (60 degrees) show neither front nor back

_SMOOTH_WINDOW = 11  # frames
_OWN_WINDOW = 25  # frames: what trembles faster is the net's, and a clip's arms move more slowly too
_MIN_OF_A_LIMB = 0.7  # share of its points: the middle of a few fingers is not that of the hand
_OWN_SHARE = 0.3  # of the frames in which a limb must be seen for its motion to count
# Mean distance of like points of both hands, over the smaller hand's extent: nearer ones lie on one hand.
_ONE_HAND = 0.25
_POINTS_OF_A_PERSON = 3  # seen inside a crop, they make a person there

_SHOULDERS = [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER]
_WRISTS = [layout.LEFT_WRIST, layout.RIGHT_WRIST]
_ARMS = [layout.LEFT_ELBOW, layout.RIGHT_ELBOW, *_WRISTS]
_LIMBS: tuple[list[int] | slice, ...] = (*([joint] for joint in _ARMS), layout.LEFT_HAND, layout.RIGHT_HAND)
_FINGERTIPS = [hand.start + tip for hand in (layout.LEFT_HAND, layout.RIGHT_HAND) for tip in layout.FINGERTIPS]
_SIDES = ((layout.LEFT_SHOULDER, layout.LEFT_HIP), (layout.RIGHT_SHOULDER, layout.RIGHT_HIP))
_HEAD_AND_SHOULDERS = np.r_[0:7, layout.FACE]


def measure_person(
    keypoints: Floats, scores: Floats, boxes: Floats, width: int, height: int, min_score: float = 0.3
) -> dict[str, float]:
    """Measure one person over a clip: values by column name, NaN where the skeleton does not determine them.

    Args:
        keypoints: (F, 133, 2) source pixels.
        scores: (F, 133).
        boxes: (F, 4) source pixels.
        width, height: of the picture, pixels.
        min_score: points below it count as not seen.

    Returns:
        shares in 0..1, lengths in pixels or shoulder widths, speeds in shoulder widths a second, angles in degrees.
    """
    shoulders, box_height = shoulder_width_px(keypoints, scores, min_score), box_height_px(boxes)
    any_hand, both_hands = hands_seen_shares(keypoints, scores, min_score)
    speeds = wrist_speeds(keypoints, scores, min_score=min_score)
    return {
        "seen_share": float(np.isfinite(boxes).all(1).mean()),
        "upper_body_share": joints_seen_share(keypoints, scores, UPPER_BODY, min_score),
        "wrists_share": joints_seen_share(keypoints, scores, ("left_wrist", "right_wrist"), min_score),
        "shoulder_width_px": shoulders,
        "shoulder_width_share": shoulders / width,
        "box_height_px": box_height,
        "box_height_share": box_height / height,
        "yaw_degrees": yaw_degrees(keypoints, scores, boxes, min_score),
        **turns(keypoints, scores, min_score),
        "head_cut_share": head_cut_share(keypoints, scores, width, height, min_score),
        "back_share": back_share(keypoints, scores, boxes, min_score),
        "wrist_speed_median": _percentile(speeds, 50),
        "wrist_speed_p95": _percentile(speeds, 95),
        "arm_range": arm_range(keypoints, scores, min_score),
        "own_motion": own_motion(keypoints, scores, min_score),
        "hand_seen_share": any_hand,
        "both_hands_share": both_hands,
        "hands_on_one_share": hands_on_one_share(keypoints, scores, min_score),
        "face_seen_share": face_seen_share(keypoints, scores, min_score),
        "jitter": body_jitter(keypoints, scores, min_score),
    }


# Visibility.


def joints_seen_share(keypoints: Floats, scores: Floats, joints: Sequence[str], min_score: float = 0.3) -> float:
    """Share of frames, 0..1, in which all these joints of `layout.UPPER_BODY` are seen."""
    visible_joints = layout.seen(visible(keypoints, scores, min_score))
    return (
        float(visible_joints[:, [layout.UPPER_BODY[name] for name in joints]].all(1).mean())
        if len(visible_joints)
        else NAN
    )


def worst_joint(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> tuple[str, float]:
    """The joint of `UPPER_BODY` that is seen least often, and its share of frames, 0..1."""
    shares = {joint: joints_seen_share(keypoints, scores, (joint,), min_score) for joint in UPPER_BODY}
    name = min(UPPER_BODY, key=lambda joint: shares[joint])
    return name, shares[name]


def face_seen_share(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> float:
    """Share of frames, 0..1, in which the 68 points' mean score reaches `min_score`."""
    return float((_part_scores(keypoints, scores, layout.FACE) >= min_score).mean()) if len(keypoints) else NAN


def hands_seen_shares(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> tuple[float, float]:
    """Shares of frames, 0..1, in which the mean score of at least one hand, and of both hands, reaches `min_score`."""
    left, right = (_part_scores(keypoints, scores, hand) >= min_score for hand in (layout.LEFT_HAND, layout.RIGHT_HAND))
    return (float((left | right).mean()), float((left & right).mean())) if len(left) else (NAN, NAN)


def hands_on_one_share(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> float:
    """Share of frames, 0..1, in which both hands are seen and each point of one lies where the other hand has the same point.

    Nets do that to clasped and crossing hands. Hands that really touch are mirrored: their like points lie apart.
    """
    hands = [np.asarray(keypoints, np.float64)[:, hand] for hand in (layout.LEFT_HAND, layout.RIGHT_HAND)]
    both = np.ones(len(keypoints), bool)
    for hand in (layout.LEFT_HAND, layout.RIGHT_HAND):
        placed = layout.seen(np.asarray(keypoints)[:, hand]).all(1)
        both &= placed & (_part_scores(keypoints, scores, hand) >= min_score)
    if not len(both):
        return NAN
    left, right = (hand[both] for hand in hands)
    apart = np.linalg.norm(left - right, axis=-1).mean(1)
    extent = np.minimum(*(np.linalg.norm(np.ptp(hand, axis=1), axis=-1) for hand in (left, right)))
    return float((apart <= _ONE_HAND * extent).sum() / len(both))


def others_in_crop(others: Sequence[tuple[Floats, Floats]], box: "Box", min_score: float = 0.3) -> float:
    """Share of frames, 0..1, in which three points of another person's head or shoulders lie inside the crop.

    Args:
        others: keypoints (F, 133, 2) and scores (F, 133) of every other person of the clip.
        box: the crop.
        min_score: points below it count as not seen.
    """
    if not others:
        return 0.0
    low, high = np.array(box[:2]), np.array(box[2:])
    inside = []
    for keypoints, scores in others:
        heads = np.zeros_like(scores)
        heads[:, _HEAD_AND_SHOULDERS] = scores[:, _HEAD_AND_SHOULDERS]
        points = visible(keypoints, heads, min_score)
        inside.append(((points >= low) & (points < high)).all(-1).sum(-1) >= _POINTS_OF_A_PERSON)
    return float(np.any(inside, axis=0).mean())


# Size.


def shoulder_width_px(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> float:
    """Median distance of the shoulder joints, px."""
    return _median(_shoulder_widths(visible(keypoints, scores, min_score)))


def body_scale_px(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> float:
    """The unit of lengths and speeds, px: the median shoulder width, or what the face's height makes of it in a side view.

    From the side shoulders shrink to nothing, and every movement would look huge; 1.8 faces (brows to chin) are the floor.
    """
    points = visible(keypoints, scores, min_score)
    return float(np.fmax(_median(_shoulder_widths(points)), 1.8 * _median(_face_heights(points))))


def box_height_px(boxes: Floats) -> float:
    """Median height of the boxes (F, 4), px; NaN rows are frames without the person."""
    return _median(boxes[:, 3] - boxes[:, 1])


# View; the turns of head and body, each for itself, are in `pipeline.skeleton.view`. A net often finds no face in a profile, nor in
# a back view; they are told apart by the width of the shoulders relative to the length of the torso, which does not change when
# the person turns.


def yaw_degrees(keypoints: Floats, scores: Floats, boxes: Floats, min_score: float = 0.3) -> float:
    """Median turn from the camera, 0 (front or back) to 90 (profile); NaN where nothing tells.

    In each frame the lesser of head's and shoulders' turn: a side view turns both, a glance aside only one. Without a
    face, the shoulders' width over the torso's length.
    """
    head = head_yaw_degrees(keypoints, scores, min_score)
    body = body_yaw_degrees(keypoints, scores, min_score)
    faced = np.fmin(np.where(head > 90, 180 - head, head), body)
    faceless = np.degrees(np.arccos(np.clip(_breadth(keypoints, scores, boxes, min_score), 0, 1)))
    return _median(np.where(np.isfinite(faced), faced, faceless))


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
    frontal = np.maximum(_SHOULDERS_TO_FACE * _face_heights(points), 1e-6)
    return np.asarray(np.degrees(np.arccos(np.clip(_shoulder_widths(points) / frontal, 0, 1))))


def back_share(keypoints: Floats, scores: Floats, boxes: Floats, min_score: float = 0.3) -> float:
    """Share of the frames with both shoulders, 0..1, in which the person shows the back; NaN where there are none.

    Shoulders are then far apart and lie the wrong way round, or there is neither nose nor face.
    """
    points = visible(keypoints, scores, min_score)
    apart = points[:, layout.LEFT_SHOULDER, 0] - points[:, layout.RIGHT_SHOULDER, 0]
    both = np.isfinite(apart)
    if not both.any():
        return NAN
    faceless = (_part_scores(keypoints, scores, layout.FACE) < min_score) & ~layout.seen(points[:, layout.NOSE])
    wide = _breadth(keypoints, scores, boxes, min_score) >= _SIDEWAYS
    return float((wide & ((apart < 0) | faceless))[both].mean())


# Motion, of paths smoothed over 11 frames, so that the net's jitter is not taken for gesture.


def wrist_speeds(keypoints: Floats, scores: Floats, fps: float = 25.0, min_score: float = 0.3) -> NDArray[np.float64]:
    """(F - 1,) speed of the faster wrist relative to the neck, in shoulder widths a second; NaN where neither is seen."""
    speeds = _speeds(visible(keypoints, scores, min_score), _WRISTS, fps)
    return np.fmax(speeds[:, 0], speeds[:, 1]) / body_scale_px(keypoints, scores, min_score)


def arm_speeds(keypoints: Floats, scores: Floats, fps: float = 25.0, min_score: float = 0.3) -> Floats:
    """(F - 1,) speed of elbows, wrists and fingertips relative to the neck, in shoulder widths a second.

    Each frame's is the mean over both arms' joints and the faster hand's fingertips. NaN where nothing of the arms is seen in
    two frames running.
    """
    speed = _speeds(visible(keypoints, scores, min_score), _ARMS + _FINGERTIPS, fps)
    speed = speed / body_scale_px(keypoints, scores, min_score)
    arms, tips = _mean(speed[:, :4]), speed[:, 4:]
    hands = np.fmax(_mean(tips[:, :5]), _mean(tips[:, 5:]))
    return _mean(np.stack([arms, hands], 1))


def arm_range(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> float:
    """How far the arms get about: the larger wrist's or elbow's 5-95 % span relative to the neck, in shoulder widths.

    The measure of a static pose. Unlike a speed it does not grow with the net's trembling.
    """
    relative = _from_neck(visible(keypoints, scores, min_score))
    spans = []
    for k in _ARMS:
        path = relative[layout.seen(relative[:, k]), k]
        if len(path) > 1:
            spans.append(float(np.hypot(*np.subtract(*np.percentile(path, [95, 5], axis=0)))))
    return max(spans, default=NAN) / body_scale_px(keypoints, scores, min_score)


def own_motion(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> float:
    """How far elbows, wrists and hands get about relative to the body, in shoulder widths: the mean over them of the 5-95 % span
    of the path that is left when what moves all points alike is taken out, smoothed over a second; NaN where no limb is seen.

    A photograph under a zoom or a pan has none, whatever it does to `arm_range`, which is measured from the neck alone.
    """
    points = in_body_frame(visible(keypoints, scores, min_score))
    spans = [span for limb in _LIMBS if np.isfinite(span := _span(points[:, limb]))]
    return float(np.mean(spans)) / body_scale_px(points, scores, min_score) if spans else NAN


def _span(points: Floats) -> float:
    """Diagonal of the box that holds 5-95 % of the middle of a limb's points (F, N, 2); NaN where they are seen too seldom."""
    seen = layout.seen(points)
    often = seen.mean(1) >= _MIN_OF_A_LIMB
    if not len(points) or often.mean() < _OWN_SHARE:
        return NAN
    middle = np.full((len(points), 1, 2), np.nan)
    middle[often, 0] = np.nanmean(points[often], 1)
    path = filter_paths(middle, often[:, None], _OWN_WINDOW)[often, 0]
    return float(np.hypot(*np.subtract(*np.percentile(path, [95, 5], axis=0))))


def body_jitter(keypoints: Floats, scores: Floats, min_score: float = 0.3) -> float:
    """Trembling of the body, in shoulder widths: the median over its joints of the root mean square distance between the
    raw and the smoothed path, from the neck; NaN where no joint is seen for longer than the filter.

    Of the body alone, because this is measured for everybody: hands and face would cost ten times as much.
    """
    paths = _from_neck(visible(keypoints, scores, min_score))[:, : layout.RIGHT_HIP + 1]
    visible_points = layout.seen(paths)
    residual = np.square(paths - filter_paths(paths, visible_points, _SMOOTH_WINDOW)).sum(-1)
    long = visible_points.sum(0) > _SMOOTH_WINDOW
    if not long.any():
        return NAN
    tremble = np.sqrt(np.nansum(residual[:, long], 0) / visible_points[:, long].sum(0))
    return float(np.median(tremble)) / body_scale_px(keypoints, scores, min_score)


def _from_neck(points: Floats) -> Floats:
    """(F, 133, 2) points relative to the middle of the shoulders."""
    return np.asarray(points - points[:, _SHOULDERS].mean(1, keepdims=True))


def _speeds(points: Floats, joints: list[int], fps: float) -> Floats:
    """(F - 1, joints) speed of each joint's smoothed path from the neck, px a second."""
    paths = _from_neck(points)[:, joints]
    paths = filter_paths(paths, layout.seen(paths), _SMOOTH_WINDOW)
    return np.asarray(np.linalg.norm(np.diff(paths, axis=0), axis=-1) * fps)


def _shoulder_widths(points: Floats) -> Floats:
    """(F,) distance of the shoulder joints, px."""
    return np.asarray(np.linalg.norm(points[:, layout.LEFT_SHOULDER] - points[:, layout.RIGHT_SHOULDER], axis=-1))


def _face_heights(points: Floats) -> Floats:
    """(F,) distance from the middle of the brows to the chin, px."""
    brows = points[:, layout.RIGHT_BROW.start : layout.LEFT_BROW.stop].mean(1)
    return np.asarray(np.linalg.norm(points[:, layout.CHIN] - brows, axis=-1))


def _breadth(keypoints: Floats, scores: Floats, boxes: Floats, min_score: float) -> Floats:
    """(F,) width of the shoulders over what it is when seen from the front; NaN where it is not known."""
    points = visible(keypoints, scores, min_score)
    width = _shoulder_widths(points)
    torso = _median(np.concatenate([np.linalg.norm(points[:, a] - points[:, b], axis=-1) for a, b in _SIDES]))
    full = _SHOULDERS_TO_TORSO * torso if np.isfinite(torso) else _SHOULDERS_TO_BOX * box_height_px(boxes)
    return width / max(full, 1e-6) if np.isfinite(full) else np.full(len(width), np.nan)


def _part_scores(keypoints: Floats, scores: Floats, part: slice) -> Floats:
    """(F,) mean score of a part's points; missing ones count as 0."""
    part_scores = np.where(layout.seen(np.asarray(keypoints)[:, part]), np.asarray(scores)[:, part], 0)
    return np.asarray(part_scores.mean(1))


def _median(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else NAN


def _percentile(values: Floats, percent: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.percentile(known, percent)) if known.size else NAN


def _mean(values: Floats) -> Floats:
    """Mean over axis 1 of what is known; NaN, without a warning, where nothing is."""
    known = np.isfinite(values)
    return np.where(known.any(1), np.where(known, values, 0).sum(1) / np.maximum(known.sum(1), 1), np.nan)
