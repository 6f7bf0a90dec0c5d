"""The colours of the theatre: nineteen vivid ones that the nets look for, and a muted world around them.

The vivid colours were picked so that any two of them, and any of them and any colour of the world, lie at least 70
apart in `code` space: far more than what 4:2:0 video does to the inside of a patch.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.base.units import Colour
from pipeline.theatre.figure import FIDUCIALS

# Left and right are the person's own; the left hand is warm, the right hand cool. Where a patch meets its ring of ink,
# green, magenta and cyan look like the dark green, purple and teal: those are for places that no box hangs on.
FIDUCIAL_COLOURS: dict[str, Colour] = {
    "nose": (255, 120, 0),
    "lip": (225, 15, 120),
    "clip": (0, 150, 0),
    "left_ear": (120, 255, 135),
    "right_ear": (120, 240, 255),
    "left_shoulder": (120, 210, 0),
    "right_shoulder": (120, 90, 240),
    "left_elbow": (0, 150, 120),
    "right_elbow": (120, 0, 150),
    "left_hip": (0, 90, 210),
    "right_hip": (0, 255, 120),
    "left_wrist": (255, 120, 225),
    "left_palm": (255, 0, 0),
    "left_finger": (255, 255, 0),
    "left_thumb": (255, 0, 255),
    "right_wrist": (0, 255, 255),
    "right_palm": (0, 15, 255),
    "right_finger": (0, 255, 0),
    "right_thumb": (105, 0, 255),
}

INK: Colour = (46, 34, 40)
TEETH: Colour = (250, 246, 240)
MOUTH: Colour = (92, 32, 38)
EYE: Colour = (250, 246, 240)

SKINS: dict[str, Colour] = {
    "fair": (246, 212, 184),
    "tan": (226, 178, 140),
    "brown": (190, 134, 96),
    "deep": (140, 92, 64),
}
HAIRS: dict[str, Colour] = {
    "black": (52, 42, 46),
    "brown": (92, 58, 38),
    "blond": (214, 178, 110),
    "auburn": (150, 76, 44),
    "grey": (170, 168, 166),
}
CLOTHES: dict[str, Colour] = {
    "navy": (54, 68, 104),
    "forest": (70, 98, 84),
    "burgundy": (112, 48, 60),
    "cream": (228, 216, 196),
    "charcoal": (70, 72, 80),
    "dusk": (120, 144, 168),
    "sand": (190, 168, 138),
    "plum": (110, 84, 116),
}

# Luma counts less than chroma: shade and blur move luma, and the vivid colours differ by hue.
_CODE = np.array([[0.75], [1.3], [1.3]]) * np.array(
    [[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]]
)


def code_matrix() -> NDArray[np.float64]:
    """The (3, 3) matrix from RGB (0..255) to the space in which colours are told apart."""
    return np.array(_CODE)


def fiducial_colours() -> NDArray[np.float64]:
    """RGB (N, 3), 0..255, in the order of `FIDUCIALS`."""
    return np.array([FIDUCIAL_COLOURS[name] for name in FIDUCIALS], dtype=float)


def shade(colour: Colour, factor: float) -> Colour:
    """The colour with each channel times `factor`, clipped to 0..255."""
    r, g, b = (int(min(255, max(0, round(channel * factor)))) for channel in colour)
    return r, g, b
