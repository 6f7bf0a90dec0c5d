"""The drawing's view of one frame of a puppet: how it looks, and where its fiducials and keypoints are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats64
from pipeline.theatre.cast import Look
from pipeline.theatre.figure import INDEX, RADII
from pipeline.theatre.paint import Image, ellipse
from pipeline.theatre.palette import FIDUCIAL_COLOURS
from pipeline.theatre.rig import Puppet

RING = 0.018  # the ink around a fiducial, in shoulder widths: the same on all sides, so that its centroid is true


@dataclass(frozen=True)
class Figure:
    """One frame of one puppet: fiducials (N, 2), shown (N,), keypoints (133, 2) in pixels, and what the drawing needs."""

    look: Look
    at: Floats64
    shown: NDArray[np.bool_]
    keypoints: Floats64
    unit: float
    turned: float
    away: bool
    behind: bool
    blink: bool

    def __getitem__(self, name: str) -> Floats64:
        return np.asarray(self.at[INDEX[name]])

    @property
    def ink(self) -> float:
        """Width of outlines, pixels."""
        return max(1.0, 0.013 * self.unit)

    def patch(self, image: Image, name: str) -> None:
        """A round fiducial with its ring of ink."""
        if self.shown[INDEX[name]]:
            radius = RADII[name] * self.unit
            ellipse(image, self[name], radius, radius, FIDUCIAL_COLOURS[name], RING * self.unit)


def figure_of(puppet: Puppet, frame: int, look: Look, blink: bool) -> Figure:
    """The drawing's view of one frame of a puppet."""
    return Figure(
        look,
        puppet.fiducials[frame],
        puppet.shown[frame],
        puppet.keypoints[frame],
        float(puppet.unit[frame]),
        float(puppet.head_facing[frame]),
        bool(np.cos(puppet.head_facing[frame]) < -0.2),
        bool(puppet.hands_behind[frame]),
        blink,
    )
