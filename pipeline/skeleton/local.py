"""Local coordinates: every body part relative to its own root, with the neck's path kept so that the transform is invertible.

Section 3.4 of the CSG-405 paper (Yang et al., ICCV 2025): body and feet from the neck (mean of both shoulders), face
from the nose, each hand from its wrist.

What happens when a root is missing (NaN), so that the inverse still returns every point that was there:

* The neck, if a shoulder is missing, is interpolated over time from the frames that have both (the nearest one at the
  ends; the origin if there is none). It is NaN only in frames in which nothing at all was seen.
* A group whose nose or wrist is missing is taken from the neck in that frame. `local` of the root is NaN there, which
  is how the inverse knows. Such values are not comparable with those of other frames: `rooted` tells them apart.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats
from pipeline.skeleton.layout import LEFT_SHOULDER, RIGHT_SHOULDER, ROOTS, K, seen


def to_local(keypoints: Floats) -> tuple[Floats, Floats]:
    """Convert one person's clip to local coordinates and neck path.

    Args:
        keypoints: (F, 133, 2) in any unit, NaN where not seen.

    Returns:
        local (F, 133, 2) and neck (F, 2), in the unit and the floating type of the input. A point is NaN in `local` if
        and only if it is NaN in `keypoints`.
    """
    points = _checked(keypoints, "keypoints")
    neck = neck_path(points)
    local = points - neck[:, None]
    for group, root in ROOTS:
        origin = np.where(np.isnan(points[:, root]), neck, points[:, root])
        local[:, group] = points[:, group] - origin[:, None]
    return local, neck


def from_local(local: Floats, neck: Floats) -> Floats:
    """The exact inverse of `to_local`: (F, 133, 2) keypoints from local (F, 133, 2) and neck (F, 2)."""
    points = _checked(local, "local") + np.asarray(neck)[:, None]
    for group, root in ROOTS:
        origin = np.where(np.isnan(points[:, root]), neck, points[:, root])
        points[:, group] = local[:, group] + origin[:, None]
    return points


def rooted(local: Floats) -> NDArray[np.bool_]:
    """(F, 133) bool: the point is seen and measured from its own root, not from the neck in place of a missing one."""
    mask = seen(local)
    for group, root in ROOTS:
        mask[:, group] &= mask[:, root, None]
    return mask


def to_rooted(keypoints: Floats) -> Floats:
    """Local coordinates (F, 133, 2) that can be compared with those of another motion: NaN also where a root is missing.

    There `to_local` measures from the neck, which is no difference between two motions but between two origins.
    """
    local, _ = to_local(keypoints)
    return np.where(rooted(local)[..., None], local, np.nan).astype(local.dtype)


def neck_path(keypoints: Floats) -> Floats:
    """(F, 2) mean of both shoulders of keypoints (F, 133, 2); how missing ones are filled stands above."""
    neck: Floats = (keypoints[:, LEFT_SHOULDER] + keypoints[:, RIGHT_SHOULDER]) / 2
    empty = ~seen(keypoints).any(-1)
    known = np.flatnonzero(np.isfinite(neck).all(-1))
    missing = np.flatnonzero(~np.isfinite(neck).all(-1) & ~empty)
    if missing.size and known.size:
        neck[missing] = np.stack([np.interp(missing, known, neck[known, axis]) for axis in range(2)], -1)
    elif missing.size:
        neck[missing] = 0
    return neck


def _checked(points: Floats, name: str) -> Floats:
    array = np.asarray(points)
    if array.ndim != 3 or array.shape[1:] != (K, 2):
        raise ValueError(f"{name} has shape {array.shape}, not (frames, {K}, 2)")
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float64)
