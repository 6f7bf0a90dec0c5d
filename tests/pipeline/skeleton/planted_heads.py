"""Faces turned by known angles, of people who differ from the generic face and from each other, as a net would see them."""

from dataclasses import dataclass

import numpy as np

from pipeline.skeleton import layout
from pipeline.skeleton.head_pose import generic_face

_LOW = [*range(4, 13), *range(55, 60), 65, 66, 67]  # chin and lower lip go down when somebody speaks


@dataclass(frozen=True)
class Planted:
    """F heads: keypoints (F, 133, 2) px, scores (F, 133), and what was planted, (F, 3) degrees of yaw, pitch and roll."""

    keypoints: np.ndarray
    scores: np.ndarray
    angles: np.ndarray


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """(3, 3), of degrees: pitched, then turned, then rolled; written out here, so that a wrong sign there shows."""
    (cy, cp, cr), (sy, sp, sr) = np.cos(np.radians([yaw, pitch, roll])), np.sin(np.radians([yaw, pitch, roll]))
    turned = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    return np.asarray(np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]]) @ turned)


def heads(angles: np.ndarray, noise_mm: float = 2.0, missing: float = 0.2, seed: int = 405) -> Planted:
    """A head for each row of `angles`: its own proportions and open mouth, noise, lost points, and a far side that is unsure."""
    rng = np.random.default_rng(seed)
    keypoints, scores = np.full((len(angles), layout.K, 2), np.nan), np.zeros((len(angles), layout.K))
    for n, (yaw, pitch, roll) in enumerate(angles):
        face = generic_face() * rng.normal(1, [0.05, 0.05, 0.1]) + rng.normal(0, 2, (68, 3))
        face[_LOW, 1] += rng.uniform(0, 12)
        turned = (face @ rotation(yaw, pitch, roll).T)[:, :2] + rng.normal(0, noise_mm, (68, 2))
        keypoints[n, layout.FACE] = turned * rng.uniform(0.4, 1.5) + rng.uniform(200, 400, 2)
        far = np.sign(yaw) * face[:, 0] > 0
        unsure = (rng.random(68) < missing) | (far & (rng.random(68) < max(0, abs(yaw) - 20) / 70))
        keypoints[n, layout.FACE][unsure & (rng.random(68) < 0.5)] = np.nan
        scores[n, layout.FACE] = np.where(unsure, 0.1, 0.9)
    return Planted(keypoints, scores, angles)


def drawn(count: int, yaw: tuple[float, float], seed: int = 1) -> np.ndarray:
    """(count, 3) angles: yaw within these limits to either side, pitch within 30 degrees, roll within 20."""
    rng = np.random.default_rng(seed)
    turn = rng.uniform(*yaw, count) * rng.choice([-1, 1], count)
    return np.stack([turn, rng.uniform(-30, 30, count), rng.uniform(-20, 20, count)], 1)
