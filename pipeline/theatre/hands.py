"""Arms and hands: sleeves, elbow patches, cuffs, a palm and five fingers."""

import numpy as np

from pipeline.base.arrays import Floats64
from pipeline.theatre.figure import CAP_HALF, RADII
from pipeline.theatre.look import Figure
from pipeline.theatre.paint import Image, capsule, ellipse, fill, line, shape, smooth
from pipeline.theatre.palette import CLOTHES, FIDUCIAL_COLOURS, INK, SKINS, shade

_FINGER = 0.066  # thickness of a finger, shoulder widths
_RING = 0.013


def _finger(image: Image, figure: Figure, joints: Floats64) -> None:
    width = _FINGER * figure.unit
    line(image, joints, INK, width + 2 * figure.ink)
    line(image, joints, SKINS[figure.look.skin], width)


def _cap(image: Image, figure: Figure, name: str, way: Floats64) -> None:
    """A finger cap: a short bar along the finger, with the fiducial as its centre."""
    along = way / max(1e-6, float(np.hypot(*way))) * CAP_HALF * figure.unit
    radius = RADII[name] * figure.unit
    capsule(
        image, figure[name] - along, figure[name] + along, radius, radius, FIDUCIAL_COLOURS[name], _RING * figure.unit
    )


def _hand(image: Image, figure: Figure, side: str) -> None:
    skin = SKINS[figure.look.skin]
    first = 91 if side == "left" else 112
    joints = figure.keypoints[first : first + 21]
    wrist, palm = figure[f"{side}_wrist"], figure[f"{side}_palm"]
    across = joints[5] - joints[17]
    thumb, fingers = joints[1:5], joints[5:21].reshape(4, 4, 2)
    edge = [wrist + 0.30 * across, thumb[0], 0.5 * (thumb[1] + joints[5]), joints[5] + 0.12 * across, joints[9], joints[13],
            joints[17] - 0.12 * across, 0.5 * (wrist + joints[17]) - 0.16 * across, wrist - 0.30 * across]  # fmt: skip
    _finger(image, figure, thumb)
    shape(image, smooth(np.array(edge)), skin, 1.6 * figure.ink)
    for k in (3, 2, 0, 1):  # the middle finger, which carries the cap, lies on top
        _finger(image, figure, fingers[k])
    fill(image, smooth(0.86 * np.array(edge) + 0.14 * palm), skin)
    line(image, thumb[:3], skin, _FINGER * figure.unit)
    glove = 0.80 * np.array(edge) + 0.20 * (0.65 * palm + 0.35 * wrist)  # fingerless, with a button on its back
    shape(image, smooth(glove), shade(CLOTHES[figure.look.top], 0.72), 0.8 * figure.ink)
    _cap(image, figure, f"{side}_finger", fingers[1][3] - fingers[1][1])
    _cap(image, figure, f"{side}_thumb", thumb[3] - thumb[1])


def _arm(image: Image, figure: Figure, side: str) -> None:
    unit = figure.unit
    colour = CLOTHES[figure.look.top]
    elbow, wrist = figure[f"{side}_elbow"], figure[f"{side}_wrist"]
    capsule(image, elbow, 0.1 * elbow + 0.9 * wrist, 0.105 * unit, 0.082 * unit, colour, figure.ink)
    _hand(image, figure, side)
    capsule(image, 0.2 * elbow + 0.8 * wrist, 0.03 * elbow + 0.97 * wrist, 0.098 * unit, 0.098 * unit,
            shade(colour, 1.18), figure.ink)  # fmt: skip
    ellipse(image, elbow, 0.092 * unit, 0.092 * unit, shade(colour, 0.84), figure.ink)  # a sewn-on elbow patch
    for name in ("elbow", "wrist", "palm"):
        figure.patch(image, f"{side}_{name}")


def arms(image: Image, figure: Figure) -> None:
    """Forearms and hands, the right ones on top."""
    for side in ("left", "right"):
        _arm(image, figure, side)
