"""A face whose every keypoint is known."""

import numpy as np

from pipeline.nets.face.faces import TEMPLATE
from pipeline.skeleton import layout


def face(x: float = 256, y: float = 200, size: float = 1.0, turn: float = 0.0) -> np.ndarray:
    """(133, 2) keypoints of a frontal face whose eyes, nose and mouth are the template's, moved, scaled and turned."""
    points = np.full((133, 2), np.nan)
    five = TEMPLATE - TEMPLATE.mean(0)
    ring = np.array([[-4, 0], [-2, -1], [2, -1], [4, 0], [2, 1], [-2, 1]], float)
    points[layout.RIGHT_EYE_RING], points[layout.LEFT_EYE_RING] = five[0] + ring, five[1] + ring
    around = np.linspace(0, np.pi, 17)
    points[layout.JAW] = np.stack([-np.cos(around) * 34, np.sin(around) * 45], 1)
    for brow, eye in ((layout.RIGHT_BROW, 0), (layout.LEFT_BROW, 1)):
        points[brow] = five[eye] + np.stack([np.linspace(-8, 8, 5), np.full(5, -9.0)], 1)
    points[50:59] = five[2]
    points[layout.MOUTH] = (five[3] + five[4]) / 2
    points[71], points[77] = five[3], five[4]
    points[layout.NOSE], points[layout.RIGHT_EYE], points[layout.LEFT_EYE] = five[2], five[0], five[1]
    spin = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.asarray(points @ spin * size + [x, y])
