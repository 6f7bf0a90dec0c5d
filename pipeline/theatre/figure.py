"""What a puppet is made of: nineteen fiducials, and the one linear map from them to the 133 keypoints.

The head is a solid in an orthographic view: any of its points is an affine combination of the nose tip, the hair clip
and the ears, whatever way the head turns; the jaw follows the lower lip. A hand is a similarity frame (wrist, palm)
plus two free points (middle finger, thumb) that its fingers follow. So the keypoints are *defined* by the map, drawing
uses them, and a net that finds the fiducials finds all 133 exactly.

Axes of a design: x to the person's left (right in the picture of somebody who faces us), y down, z towards us.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats64
from pipeline.base.units import KEYPOINTS

FIDUCIALS: tuple[str, ...] = (
    "nose", "lip", "clip", "left_ear", "right_ear",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_hip", "right_hip",
    "left_wrist", "left_palm", "left_finger", "left_thumb",
    "right_wrist", "right_palm", "right_finger", "right_thumb",
)  # fmt: skip
N = len(FIDUCIALS)
INDEX = {name: i for i, name in enumerate(FIDUCIALS)}

HEAD_UNIT = 0.30  # half the head's width, in shoulder widths
HAND_UNIT = 0.22  # wrist to palm, in shoulder widths
HEAD_DESIGN: dict[str, tuple[float, float, float]] = {  # head units
    "nose": (0.0, 0.22, 1.05),
    "lip": (0.0, 0.755, 0.90),
    "clip": (0.0, -0.90, 0.50),
    "left_ear": (1.0, 0.14, 0.0),
    "right_ear": (-1.0, 0.14, 0.0),
}
# Half axes of each patch, in shoulder widths. The lip is a rounded bar, finger and thumb are capsules.
RADII: dict[str, float] = {
    "nose": 0.048, "lip": 0.027, "clip": 0.055, "left_ear": 0.052, "right_ear": 0.052,
    "left_shoulder": 0.070, "right_shoulder": 0.070, "left_elbow": 0.064, "right_elbow": 0.064,
    "left_hip": 0.066, "right_hip": 0.066,
    "left_wrist": 0.056, "left_palm": 0.064, "left_finger": 0.039, "left_thumb": 0.039,
    "right_wrist": 0.056, "right_palm": 0.064, "right_finger": 0.039, "right_thumb": 0.039,
}  # fmt: skip
LIP_BAR = (0.055, 0.027)  # half length and radius of the lower lip's bar, shoulder widths
CAP_HALF = 0.030  # half the straight part of a finger cap, shoulder widths

# Hand design, hand units: (along wrist -> palm, towards the thumb).
FINGER_ROOTS = np.array([[1.45, 0.50], [1.54, 0.16], [1.48, -0.17], [1.36, -0.48]])
FINGER_TIPS = np.array([[2.62, 0.74], [2.82, 0.20], [2.66, -0.30], [2.28, -0.78]])
FINGER_JOINTS = (0.0, 0.42, 0.73, 1.0)  # along a finger
FINGER_FOLLOWS = np.array(
    [[0.0, 0.43, 0.75, 1.06], [0.0, 0.45, 0.80, 1.12], [0.0, 0.43, 0.75, 1.06], [0, 0.36, 0.62, 0.88]]
)
MIDDLE_MARK = FINGER_ROOTS[1] + 0.88 * (FINGER_TIPS[1] - FINGER_ROOTS[1])
THUMB = np.array([[0.36, 0.42], [0.82, 0.84], [1.18, 1.10], [1.52, 1.30]])
THUMB_FOLLOWS = (0.0, 0.15, 0.6, 1.12)
THUMB_MARK = THUMB[2] + 0.75 * (THUMB[3] - THUMB[2])
CHIRALITY = {"left": 1.0, "right": -1.0}  # we see the backs of the hands: thumbs up when the fingers point inwards


def rows_of(name: str) -> Floats64:
    """The unit row (N,) that picks one fiducial."""
    row = np.zeros(N)
    row[INDEX[name]] = 1.0
    return row


def _head_rows(point: tuple[float, float, float], support: tuple[str, ...], jaw: float = 0.0) -> Floats64:
    """Weights (N,) that sum to one and put a head point nearest to its design; `jaw` of it moves with the lip."""
    row = jaw * rows_of("lip")
    base = np.array([HEAD_DESIGN[name] for name in support]).T  # (3, S)
    rest = np.array(point) - jaw * np.array(HEAD_DESIGN["lip"])
    weight = np.array([1.0, 1.0, 0.35])  # depth shows only when the head turns
    system = np.vstack([base * weight[:, None], 1e3 * np.ones(len(support))])
    target = np.append(rest * weight, 1e3 * (1.0 - jaw))
    coefficients = np.linalg.lstsq(system, target, rcond=None)[0]
    coefficients += (1.0 - jaw - coefficients.sum()) / len(support)
    for name, value in zip(support, coefficients, strict=True):
        row[INDEX[name]] += value
    return row


_ALL = ("nose", "clip", "left_ear", "right_ear")


def _lip_rows(x: float, y: float, z: float, jaw: float) -> Floats64:
    """A mouth point: exact on the closed mouth, and `jaw` of the lip's way when it opens."""
    opening = rows_of("lip") - _head_rows(HEAD_DESIGN["lip"], _ALL)
    return _head_rows((x, y, z), _ALL) + jaw * opening


def _side(x: float) -> str:
    return "left_ear" if x > 0 else "right_ear"


def _jaw() -> list[Floats64]:
    rows = []
    for i in range(17):
        angle = (i - 8) / 8 * np.pi / 2
        c, s = np.cos(angle), np.sin(angle)
        point = (0.97 * np.sign(s) * abs(s) ** 0.85, 0.10 + 1.17 * c**0.9, 0.70 * c)
        jaw = float(0.9 * max(c, 0.0) ** 1.6)
        rows.append(_head_rows(point, ("nose", "clip") if i == 8 else ("nose", "clip", _side(s)), jaw))
    return rows


def _brow(side: float) -> list[Floats64]:
    xs = np.linspace(0.72, 0.20, 5) if side < 0 else np.linspace(0.20, 0.72, 5)
    return [
        _head_rows(
            (side * x, -0.46 - 0.07 * np.sin((x - 0.1) / 0.7 * np.pi) + 0.06 * x, 0.6), ("nose", "clip", _side(side))
        )
        for x in xs
    ]


def _nose() -> list[Floats64]:
    bridge = [_head_rows((0.0, y, 0.85), ("nose", "clip")) for y in (-0.14, -0.02, 0.10)]
    wings = [_head_rows((x, 0.42, 0.85), ("nose", "clip", _side(x or 1.0))) for x in (-0.17, -0.09, 0.0, 0.09, 0.17)]
    wings[2] = _head_rows((0.0, 0.44, 0.95), ("nose", "clip"))
    return [*bridge, rows_of("nose"), *wings]


def _eye(side: float) -> list[Floats64]:
    # Six points around a ring: from the corner that lies left in the picture, over the top, to the bottom.
    ring = [(-1.0, 0.0), (-0.5, -0.9), (0.5, -0.9), (1.0, 0.0), (0.5, 0.9), (-0.5, 0.9)]
    support = ("nose", "clip", _side(side))
    return [_head_rows((side * 0.43 + 0.19 * x, -0.10 + 0.17 * y, 0.6), support) for x, y in ring]


def _mouth() -> list[Floats64]:
    corner = 0.30
    outer = [(-0.37, 0.61, corner), (-0.22, 0.585, 0.0), (-0.09, 0.555, 0.0), (0.0, 0.57, 0.0), (0.09, 0.555, 0.0),
             (0.22, 0.585, 0.0), (0.37, 0.61, corner), (0.24, 0.79, 0.92), (0.11, 0.86, 1.0), (0.0, 0.87, 1.0),
             (-0.11, 0.86, 1.0), (-0.24, 0.79, 0.92)]  # fmt: skip
    inner = [(-0.32, 0.615, corner), (-0.13, 0.645, 0.0), (0.0, 0.655, 0.0), (0.13, 0.645, 0.0), (0.32, 0.615, corner),
             (0.13, 0.66, 1.0), (0.0, 0.67, 1.0), (-0.13, 0.66, 1.0)]  # fmt: skip
    return [_lip_rows(x, y, 0.9 - 1.4 * x * x, jaw) for x, y, jaw in (*outer, *inner)]


def _face_rows() -> Floats64:
    return np.array([*_jaw(), *_brow(-1), *_brow(1), *_nose(), *_eye(-1), *_eye(1), *_mouth()])  # (68, N)


def _plain(rows: Floats64) -> Floats64:
    """Weights (P, N) that treat x and y alike -> map (P, 2, N, 2)."""
    return np.asarray(np.einsum("pn,ij->pinj", rows, np.eye(2)))


def hand_frame(side: str, along: float, across: float) -> Floats64:
    """Map (2, N, 2) of a point of the rigid hand, in hand units from the wrist."""
    turn = CHIRALITY[side] * np.array([[0.0, -1.0], [1.0, 0.0]])
    axis = rows_of(f"{side}_palm") - rows_of(f"{side}_wrist")
    frame = np.einsum("n,ij->inj", along * axis + rows_of(f"{side}_wrist"), np.eye(2))
    return np.asarray(frame + np.einsum("n,ij->inj", across * axis, turn))


def _follow(side: str, mark: str, at: Floats64) -> Floats64:
    """Map (2, N, 2) of how far a free point has left its place in the open hand."""
    here = np.einsum("n,ij->inj", rows_of(f"{side}_{mark}"), np.eye(2))
    return np.asarray(here - hand_frame(side, at[0], at[1]))


def _hand(side: str) -> Floats64:
    """Map (21, 2, N, 2): wrist, thumb, then four fingers from root to tip."""
    bent = _follow(side, "finger", MIDDLE_MARK)
    thumb = _follow(side, "thumb", THUMB_MARK)
    points = [hand_frame(side, 0.0, 0.0)]
    points += [hand_frame(side, *at) + k * thumb for at, k in zip(THUMB, THUMB_FOLLOWS, strict=True)]
    for root, tip, follows in zip(FINGER_ROOTS, FINGER_TIPS, FINGER_FOLLOWS, strict=True):
        for share, k in zip(FINGER_JOINTS, follows, strict=True):
            points.append(hand_frame(side, *(root + share * (tip - root))) + k * bent)
    return np.array(points)


def _legs() -> Floats64:
    """Rows (10, N): knees, ankles and feet, straight below the hips; nobody ever sees them."""
    legs = {side: rows_of(f"{side}_hip") - rows_of(f"{side}_shoulder") for side in ("left", "right")}
    down = [rows_of(f"{side}_hip") + reach * legs[side] for reach in (0.95, 1.85) for side in ("left", "right")]
    feet = [rows_of(f"{side}_hip") + reach * legs[side] for side in ("left", "right") for reach in (2.0, 1.98, 1.9)]
    return np.array([*down, *feet])


@lru_cache(maxsize=1)
def keypoint_map() -> Floats64:
    """The map (266, 38) from fiducials (x0, y0, x1, y1, ...) to keypoints in the same interleaving."""
    face = _face_rows()
    eyes = [face[42:48].mean(0), face[36:42].mean(0)]  # body eyes: left, right
    body = [rows_of("nose"), *eyes]
    joints = ("ear", "shoulder", "elbow", "wrist", "hip")
    body += [rows_of(f"{side}_{joint}") for joint in joints for side in ("left", "right")]
    plain = _plain(np.array([*body, *_legs(), *face]))
    return np.concatenate([plain, _hand("left"), _hand("right")]).reshape(2 * KEYPOINTS, 2 * N)


@lru_cache(maxsize=1)
def needs() -> NDArray[np.bool_]:
    """(133, N): which fiducials a keypoint hangs on."""
    weights = np.abs(keypoint_map().reshape(KEYPOINTS, 2, N, 2)).max(axis=(1, 3))
    return np.asarray(weights > 1e-6)


def keypoints_of(fiducials: Floats64) -> Floats64:
    """Keypoints (..., 133, 2) of fiducials (..., N, 2), in the same pixels."""
    flat = fiducials.reshape(*fiducials.shape[:-2], 2 * N)
    return (flat @ keypoint_map().T).reshape(*fiducials.shape[:-2], KEYPOINTS, 2)
