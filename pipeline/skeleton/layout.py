"""COCO-WholeBody's 133 keypoints: names, ranges, roots, edges, mirror pairs, and the mapping to OpenPose-18.

"Left" and "right" are the person's own. Source: COCO-WholeBody (Jin et al., ECCV 2020); the face is iBUG's 68 points.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.base.units import KEYPOINTS

K = KEYPOINTS  # as in the shapes of comments
NOSE, LEFT_EYE, RIGHT_EYE, LEFT_EAR, RIGHT_EAR = range(5)
LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_ELBOW, RIGHT_ELBOW, LEFT_WRIST, RIGHT_WRIST = range(5, 11)
LEFT_HIP, RIGHT_HIP, LEFT_KNEE, RIGHT_KNEE, LEFT_ANKLE, RIGHT_ANKLE = range(11, 17)

BODY = slice(0, 17)
FEET = slice(17, 23)
BODY_AND_FEET = slice(0, 23)
FACE = slice(23, 91)
MOUTH = slice(71, 91)
OUTER_LIPS = slice(71, 83)
INNER_LIPS = slice(83, 91)
LEFT_HAND = slice(91, 112)
RIGHT_HAND = slice(112, 133)
RANGES = {"body": BODY, "feet": FEET, "face": FACE, "left_hand": LEFT_HAND, "right_hand": RIGHT_HAND}

# The body keypoint that a group's local coordinates are taken from; body and feet have the neck, which is no keypoint.
ROOTS = ((FACE, NOSE), (LEFT_HAND, LEFT_WRIST), (RIGHT_HAND, RIGHT_WRIST))

JAW = slice(23, 40)
CHIN = 31
RIGHT_BROW = slice(40, 45)
LEFT_BROW = slice(45, 50)
RIGHT_EYE_RING = slice(59, 65)
LEFT_EYE_RING = slice(65, 71)

_BODY_NAMES = [
    "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
]  # fmt: skip
_HAND_NAMES = ["hand_root"] + [
    f"{finger}{i}"
    for finger in ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
    for i in range(1, 5)
]
NAMES: tuple[str, ...] = (
    *_BODY_NAMES,
    *(f"face_{i}" for i in range(68)),
    *(f"left_{name}" for name in _HAND_NAMES),
    *(f"right_{name}" for name in _HAND_NAMES),
)
FINGERTIPS = (4, 8, 12, 16, 20)  # within a hand

UPPER_BODY = {
    name: _BODY_NAMES.index(name)
    for name in (
        "nose",
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
    )
}

BODY_EDGES = (
    (0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12),
    (11, 13), (13, 15), (12, 14), (14, 16), (15, 17), (15, 18), (15, 19), (16, 20), (16, 21), (16, 22),
)  # fmt: skip
HAND_EDGES = tuple(
    (0 if joint == 1 else finger + joint - 1, finger + joint) for finger in range(0, 20, 4) for joint in range(1, 5)
)


def _chain(first: int, last: int, *, closed: bool = False) -> list[tuple[int, int]]:
    edges = [(i, i + 1) for i in range(first, last)]
    return [*edges, (last, first)] if closed else edges


# Within the face: jaw, brows, nose, eyes, lips.
FACE_EDGES = tuple(
    _chain(0, 16)
    + _chain(17, 21)
    + _chain(22, 26)
    + _chain(27, 30)
    + _chain(31, 35)
    + _chain(36, 41, closed=True)
    + _chain(42, 47, closed=True)
    + _chain(48, 59, closed=True)
    + _chain(60, 67, closed=True)
)

# OpenPose-18 joint <- COCO-WholeBody keypoint; -1 stands for the neck, the mean of both shoulders.
OPENPOSE_18 = (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
OPENPOSE_EDGES = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
    (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip


def _face_mirror() -> list[int]:
    order = list(range(68))
    pairs = [(i, 16 - i) for i in range(8)]  # jaw
    pairs += [(17 + i, 26 - i) for i in range(5)]  # brows
    pairs += [(31, 35), (32, 34)]  # nostrils
    pairs += [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]  # eyes
    pairs += [(48, 54), (49, 53), (50, 52), (59, 55), (58, 56)]  # outer lips
    pairs += [(60, 64), (61, 63), (67, 65)]  # inner lips
    for a, b in pairs:
        order[a], order[b] = b, a
    return order


def _mirror() -> NDArray[np.intp]:
    order = np.arange(K)
    for i, name in enumerate(_BODY_NAMES):
        swapped = {"left": "right", "right": "left"}.get(name.split("_")[0])
        if swapped:
            order[i] = _BODY_NAMES.index("_".join([swapped, *name.split("_")[1:]]))
    order[FACE] = FACE.start + np.array(_face_mirror())
    order[LEFT_HAND] = np.arange(RIGHT_HAND.start, RIGHT_HAND.stop)
    order[RIGHT_HAND] = np.arange(LEFT_HAND.start, LEFT_HAND.stop)
    order.setflags(write=False)
    return order


MIRROR: NDArray[np.intp] = _mirror()
"""(133,) permutation: after x -> width - 1 - x, keypoint i of the mirrored person is MIRROR[i] of the original."""


def seen(points: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(...) bool of points (..., 2): both coordinates are finite. NaN is how every array here says "not seen"."""
    return np.asarray(np.isfinite(points).all(-1), np.bool_)


def visible(
    keypoints: NDArray[np.floating], scores: NDArray[np.floating], min_score: float = 0.3
) -> NDArray[np.floating]:
    """(..., 133, 2) float64 keypoints with NaN for those that are missing or whose score is below `min_score`."""
    return np.where((np.asarray(scores) >= min_score)[..., None], keypoints, np.nan).astype(np.float64)


def openpose_18(
    keypoints: NDArray[np.floating], scores: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """OpenPose's 18 joints.

    Args:
        keypoints: (..., 133, 2), any unit.
        scores: (..., 133).

    Returns:
        joints (..., 18, 2) and scores (..., 18); the neck is the mean of the shoulders with the lower of their scores.
    """
    neck = keypoints[..., [LEFT_SHOULDER, RIGHT_SHOULDER], :].mean(-2, keepdims=True)
    neck_score = scores[..., [LEFT_SHOULDER, RIGHT_SHOULDER]].min(-1, keepdims=True)
    order = list(OPENPOSE_18)  # -1 picks the neck appended last
    return np.concatenate([keypoints, neck], -2)[..., order, :], np.concatenate([scores, neck_score], -1)[..., order]
