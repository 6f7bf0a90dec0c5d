"""From posture to picture: where a puppet's fiducials and keypoints lie, and which of them can be seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats64
from pipeline.base.units import KEYPOINTS
from pipeline.theatre import figure
from pipeline.theatre.figure import CHIRALITY, HAND_UNIT, HEAD_DESIGN, HEAD_UNIT, INDEX, N
from pipeline.theatre.motion import SIDES, Motion

Bools = NDArray[np.bool_]

HIP_DOWN, HIP_OUT, HEAD_UP = 1.30, 0.36, 0.62  # shoulder widths
MOUTH_DROP = 0.34  # head units from closed to wide open
HIDDEN_BEYOND = -0.5  # a patch that bends round the body is seen until its normal points this far away
FULL_FRAME = (1280, 720)

# Outward directions of patches that lie on a side of the body; the others are seen from everywhere.
_NORMALS: dict[str, tuple[float, float, float]] = {
    "left_ear": (1.0, 0.0, 0.2), "right_ear": (-1.0, 0.0, 0.2),
    "left_hip": (0.9, 0.0, 0.3), "right_hip": (-0.9, 0.0, 0.3),
    "left_shoulder": (0.6, -0.6, 0.25), "right_shoulder": (-0.6, -0.6, 0.25),
}  # fmt: skip
_FACING = {"nose": 0.15, "lip": 0.15, "clip": -0.05}  # least depth of the normal (0, 0, 1) at which these are seen


@dataclass(frozen=True)
class Camera:
    """Per frame: picture = (world - centre) * zoom + (640, 360); centre (F, 2), zoom (F,)."""

    centre: Floats64
    zoom: Floats64

    def apply(self, points: Floats64) -> Floats64:
        """World points (F, ..., 2) -> picture pixels."""
        extra = points.ndim - 2
        zoom = self.zoom.reshape(-1, *(1,) * (extra + 1))
        centre = self.centre.reshape(-1, *(1,) * extra, 2)
        return np.asarray((points - centre) * zoom + np.array([FULL_FRAME[0] / 2, FULL_FRAME[1] / 2]))


@dataclass(frozen=True)
class Puppet:
    """A puppet over F frames, in picture pixels.

    Attributes:
        fiducials: (F, N, 2).
        shown: (F, N) which fiducials face us, before anything covers them.
        keypoints: (F, 133, 2).
        visible: (F, 133) what can be seen: faces us, uncovered, inside the picture.
        unit: (F,) pixels in a shoulder width.
        facing: (F,) radians the body is turned: 0 to us, pi away.
        head_facing: (F,) the same of the head.
        hands_behind: (F,) bool, the arms are on the far side of the body.
    """

    fiducials: Floats64
    shown: Bools
    keypoints: Floats64
    visible: Bools
    unit: Floats64
    facing: Floats64
    head_facing: Floats64
    hands_behind: Bools


def _turn(points: Floats64, yaw: Floats64) -> Floats64:
    """Rotate (F, P, 3) about the vertical by yaw (F,)."""
    c, s = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    return np.stack([x * c + z * s, y, z * c - x * s], axis=-1)


def _head(motion: Motion, yaw: Floats64) -> tuple[Floats64, Floats64]:
    """Fiducials (F, 5, 2) from the head's centre in shoulder widths, and the depth (F, 5) of their normals."""
    names = list(HEAD_DESIGN)
    points = np.repeat(np.array([HEAD_DESIGN[n] for n in names])[None], len(yaw), axis=0)
    points[:, names.index("lip"), 1] += MOUTH_DROP * motion.mouth
    points[:, names.index("lip"), 2] -= 0.08 * motion.mouth
    _, pitch, roll = motion.head.T
    c, s = np.cos(pitch)[:, None], np.sin(pitch)[:, None]
    y, z = points[..., 1].copy(), points[..., 2].copy()
    points[..., 1], points[..., 2] = y * c + z * s, z * c - y * s
    points = _turn(points, yaw)
    c, s = np.cos(roll)[:, None], np.sin(roll)[:, None]
    flat = np.stack([points[..., 0] * c - points[..., 1] * s, points[..., 0] * s + points[..., 1] * c], axis=-1)
    normals = np.repeat(np.array([_NORMALS.get(n, (0.0, 0.0, 1.0)) for n in names])[None], len(yaw), axis=0)
    return flat * HEAD_UNIT, _turn(normals, yaw)[..., 2]


def _hand(side: str, wrist: Floats64, direction: Floats64, motion: Motion) -> tuple[Floats64, Floats64, Floats64]:
    """Palm, finger and thumb mark (F, 2) each, in shoulder widths, from the wrist and a direction (F, 2)."""
    arm = motion.arms[side]
    along = direction / np.linalg.norm(direction, axis=1, keepdims=True) * HAND_UNIT
    across = CHIRALITY[side] * np.stack([-along[:, 1], along[:, 0]], axis=1)
    bend = (figure.MIDDLE_MARK[0] - 1.25 * arm.curl, figure.MIDDLE_MARK[1] + arm.spread - 0.1 * arm.curl)
    thumb = (figure.THUMB_MARK[0] + 0.1 * arm.thumb, figure.THUMB_MARK[1] - 0.42 * arm.thumb)
    marks = [wrist + a[:, None] * along + b[:, None] * across for a, b in (bend, thumb)]
    return wrist + along, marks[0], marks[1]


def _arm(side: str, motion: Motion, shoulder: Floats64, yaw: Floats64) -> tuple[dict[str, Floats64], Floats64]:
    """Fiducials of an arm from the neck, in shoulder widths, and the depth (F,) of its wrist."""
    sign = 1.0 if side == "left" else -1.0
    arm = motion.arms[side]
    mirror = np.array([sign, 1.0, 1.0])
    lift = arm.wrist - np.array([0.5, 0.9, 0.4])
    elbow3 = np.array([0.70, 0.84, -0.05]) + lift * np.array([0.22, 0.20, 0.3])
    place = _turn(np.stack([elbow3, arm.wrist], axis=1) * mirror, yaw)
    elbow, wrist = place[:, 0, :2], place[:, 1, :2]
    elbow = elbow + shoulder * np.array([0.0, 1.0])  # follows the shrug
    aim = np.stack([-np.sin(arm.tilt), -np.cos(arm.tilt), np.full_like(arm.tilt, 0.45)], axis=1) * mirror
    direction = _turn(aim[:, None], yaw)[:, 0, :2]
    palm, finger, thumb = _hand(side, wrist, direction, motion)
    parts = {"elbow": elbow, "wrist": wrist, "palm": palm, "finger": finger, "thumb": thumb}
    return parts, place[:, 1, 2]


def _body(motion: Motion, yaw: Floats64) -> tuple[Floats64, Floats64, Bools]:
    """Fiducials (F, N, 2) in shoulder widths from the unswayed neck, depths of normals (F, N), hands behind (F,)."""
    frames = len(yaw)
    at = np.zeros((frames, N, 2))
    depth = np.ones((frames, N))
    neck = motion.sway
    head_yaw = yaw + motion.head[:, 0]
    head, head_depth = _head(motion, head_yaw)
    centre = neck + np.stack([2.0 * motion.head[:, 2] * -0.15, np.full(frames, -HEAD_UP)], axis=1)
    at[:, :5], depth[:, :5] = centre[:, None] + head, head_depth
    behind = np.zeros(frames, dtype=bool)
    for i, side in enumerate(SIDES):
        sign = 1.0 if side == "left" else -1.0
        places = np.zeros((frames, 2, 3))
        places[:, 0] = np.array([0.5 * sign, 0.0, 0.0])
        places[:, 1] = np.array([HIP_OUT * sign, HIP_DOWN, 0.05])
        places[:, 0, 1] = motion.shrug[:, i]
        shoulder, hip = np.moveaxis(_turn(places, yaw)[..., :2], 1, 0)
        at[:, INDEX[f"{side}_shoulder"]] = neck + shoulder
        at[:, INDEX[f"{side}_hip"]] = hip
        parts, wrist_depth = _arm(side, motion, shoulder, yaw)
        for name, place in parts.items():
            at[:, INDEX[f"{side}_{name}"]] = neck + place
        behind |= wrist_depth < -0.1
        for name in ("shoulder", "hip"):
            normal = np.repeat(np.array(_NORMALS[f"{side}_{name}"])[None, None], frames, axis=0)
            depth[:, INDEX[f"{side}_{name}"]] = _turn(normal, yaw)[:, 0, 2]
    return at, depth, behind


def _shown(depth: Floats64) -> Bools:
    least = np.array([_FACING.get(name, HIDDEN_BEYOND) for name in figure.FIDUCIALS])
    return depth > least


def _covered(points: Floats64, start: Floats64, end: Floats64, radius: Floats64) -> Bools:
    """(F, P): whether points (F, P, 2) lie within a capsule per frame, start and end (F, 2), radius (F,)."""
    way = (end - start)[:, None]
    share = ((points - start[:, None]) * way).sum(-1) / np.maximum((way**2).sum(-1), 1e-9)
    nearest = start[:, None] + np.clip(share, 0, 1)[..., None] * way
    return np.asarray(np.linalg.norm(points - nearest, axis=-1) < radius[:, None])


def _arm_points(side: str) -> Bools:
    """(133,): the keypoints drawn with an arm, which it does not hide."""
    mine = np.zeros(KEYPOINTS, dtype=bool)
    hand = 91 if side == "left" else 112
    mine[hand : hand + 21] = True
    mine[[7, 9] if side == "left" else [8, 10]] = True
    return mine


def _uncovered(at: Floats64, keypoints: Floats64, unit: Floats64, behind: Bools) -> Bools:
    """(F, 133): not hidden by forearms, hands or, for arms on the far side, by the torso."""
    clear = np.ones(keypoints.shape[:2], dtype=bool)
    arms = {side: _arm_points(side) for side in SIDES}
    for side in SIDES:
        elbow, wrist, palm, finger = (at[:, INDEX[f"{side}_{n}"]] for n in ("elbow", "wrist", "palm", "finger"))
        hidden = _covered(keypoints, elbow, wrist, 0.09 * unit)
        hidden |= _covered(keypoints, wrist, palm + 0.4 * (palm - wrist), 0.14 * unit)
        hidden |= _covered(keypoints, palm, finger, 0.13 * unit)
        # The right arm is drawn last: it hides the left one, never the other way round.
        safe = arms[side] | (arms["right"] if side == "left" else False)
        clear &= ~(hidden & ~safe & ~behind[:, None])
    neck = at[:, [INDEX["left_shoulder"], INDEX["right_shoulder"]]].mean(1)
    hips = at[:, [INDEX["left_hip"], INDEX["right_hip"]]].mean(1)
    torso = _covered(keypoints, neck, hips, 0.42 * unit)
    clear &= ~(torso & (arms["left"] | arms["right"]) & behind[:, None])
    return clear


def pose(motion: Motion, place: tuple[float, float], unit_px: float, facing_deg: float, camera: Camera) -> Puppet:
    """Where everything lies.

    Args:
        motion: F frames of posture.
        place: the neck's place in world pixels.
        unit_px: the shoulder width in world pixels.
        facing_deg: 0 faces us, 90 faces the right edge of the picture, 180 faces away.
        camera: F frames.
    """
    yaw = np.radians(facing_deg) + motion.turn
    at, depth, behind = _body(motion, yaw)
    fiducials = camera.apply(np.array(place) + at * unit_px)
    keypoints = figure.keypoints_of(fiducials)
    unit = unit_px * camera.zoom
    shown = _shown(depth)
    width, height = FULL_FRAME
    inside = (keypoints >= 0).all(-1) & (keypoints[..., 0] <= width - 1) & (keypoints[..., 1] <= height - 1)
    facing = ~(figure.needs()[None] & ~shown[:, None]).any(-1)
    visible = inside & facing & _uncovered(fiducials, keypoints, unit, behind)
    visible[:, 13:23] = False  # legs are never drawn
    return Puppet(fiducials, shown, keypoints, visible, unit, yaw, yaw + motion.head[:, 0], behind)
