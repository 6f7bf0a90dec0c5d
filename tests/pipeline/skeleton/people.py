"""Still and moving skeletons with known measures, for the tests of this folder."""

import numpy as np

from pipeline.skeleton import layout

FACE_WIDTH = 0.4  # of a shoulder width


def person(
    frames: int = 50, width: float = 120.0, x: float = 640.0, y: float = 300.0, yaw: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (F, 133, 2) and scores of somebody `width` px across the shoulders, turned by `yaw` degrees, neck at x, y."""
    turn = np.radians(yaw)
    p = np.zeros((layout.K, 3))  # in shoulder widths, z towards the camera
    p[:5] = [[0, -0.6, 0.25], [0.085, -0.68, 0.1565], [-0.085, -0.68, 0.1565], [0.2, -0.65, 0], [-0.2, -0.65, 0]]
    p[5:11] = [[0.5, 0, 0], [-0.5, 0, 0], [0.6, 0.8, 0], [-0.6, 0.8, 0], [0.4, 1.2, 0.3], [-0.4, 1.2, 0.3]]
    p[11:13] = [[0.3, 1.5, 0], [-0.3, 1.5, 0]]
    p[13:23] = [0, 3, 0]
    p[layout.FACE] = [0, -0.6, 0.2]
    p[layout.CHIN] = [0, -0.4, 0.2]
    p[layout.RIGHT_BROW.start : layout.LEFT_BROW.stop] = [0, -0.4 - 1 / 2.3, 0.2]
    for hand, wrist in ((layout.LEFT_HAND, layout.LEFT_WRIST), (layout.RIGHT_HAND, layout.RIGHT_WRIST)):
        p[hand] = p[wrist] + [0, 0.2, 0]
    flat = np.stack([p[:, 0] * np.cos(turn) + p[:, 2] * np.sin(turn), p[:, 1]], -1) * width + [x, y]
    scores = np.ones((frames, layout.K))
    if abs(yaw) > 100:
        scores[:, layout.FACE] = 0.05
    return np.tile(flat, (frames, 1, 1)), scores
