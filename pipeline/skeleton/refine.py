"""From raw source keypoints to a sample's: crop pixels, local coordinates, smoothing, and back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats
from pipeline.base.units import Box
from pipeline.skeleton.crop import map_points
from pipeline.skeleton.local import from_local, to_local
from pipeline.skeleton.smooth import Variant, smooth


@dataclass(frozen=True)
class Refined:
    """One person's clip, float32, pixels of the crop, NaN where unseen.

    Attributes:
        keypoints: (F, 133, 2), the exact inverse of `local` and `neck`.
        local: (F, 133, 2).
        neck: (F, 2).
    """

    keypoints: NDArray[np.float32]
    local: NDArray[np.float32]
    neck: NDArray[np.float32]


def refine(keypoints: Floats, scores: Floats, box: Box, side: int = 512, variant: Variant | None = "paper") -> Refined:
    """Section 3.4 of the CSG-405 paper (Yang et al., ICCV 2025), in this order: crop, local, smooth, inverse.

    The head's jitter is in the nose: smoothing it before the inverse takes it out of the mouth, which is itself left
    alone.

    Args:
        keypoints: (F, 133, 2) raw, source pixels, NaN where unseen.
        scores: (F, 133).
        box: the crop, source pixels.
        side: of the crop's picture, in pixels.
        variant: what is smoothed, see `smooth`; None for keypoints that came smoothed.
    """
    raw = map_points(np.asarray(keypoints, np.float64), box, side)
    local, neck = to_local(raw)
    if variant is not None:
        local, neck = smooth(local, neck, scores, variant=variant)
    # Rounded before inverting, so that inverting the stored local coordinates gives the stored keypoints.
    stored, path = local.astype(np.float32), neck.astype(np.float32)
    return Refined(from_local(stored, path).astype(np.float32), stored, path)
