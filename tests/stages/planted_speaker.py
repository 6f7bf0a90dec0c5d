"""A speaker with known measures, as a row of `persons`."""

from typing import Any

import numpy as np

from pipeline.skeleton import layout

F, WIDTH, HEIGHT, SHOULDERS = 100, 1280, 720, 160.0


CLIP = {"camera_motion": 0.02, "repeated_frames": 0.1, "manifest_crop_box": None}


def speaker(x: float = 640.0, narrow: float = 1.0) -> dict[str, Any]:
    """A row of `persons`: somebody seen from the front, 160 px across the shoulders, still, the neck at (x, 300).

    narrow: shrinks everything sideways, as a turn does; negative shows the back of one who is named by his own sides.
    """
    p = np.zeros((layout.K, 2))  # in shoulder widths from the neck
    p[:5] = [[0, -0.6], [0.09, -0.68], [-0.09, -0.68], [0.2, -0.65], [-0.2, -0.65]]
    p[5:13] = [[0.5, 0], [-0.5, 0], [0.6, 0.8], [-0.6, 0.8], [0.4, 1.2], [-0.4, 1.2], [0.3, 1.5], [-0.3, 1.5]]
    p[13:23] = [0, 3]
    p[layout.FACE] = [0, -0.6]
    p[layout.CHIN] = [0, -0.4]
    p[layout.RIGHT_BROW.start : layout.LEFT_BROW.stop] = [0, -0.4 - 1 / 2.3]
    p[layout.LEFT_HAND], p[layout.RIGHT_HAND] = [0.4, 1.3], [-0.4, 1.3]
    points = np.tile(p * [SHOULDERS * narrow, SHOULDERS] + [x, 300], (F, 1, 1)).astype(np.float32)
    box = [x - 150, 120, x + 150, 560]
    return {
        "person_id": f"v/0+100#{x:.0f}",
        "clip_id": "v/0+100",
        "video_id": "v",
        "frames": F,
        "width": WIDTH,
        "height": HEIGHT,
        "keypoints": points.reshape(F, -1),
        "scores": np.ones((F, layout.K), np.float32),
        "boxes": np.tile(np.array(box, np.float32), (F, 1)),
        "face_sharpness": np.full(F, 50, np.float32),
    }


def points_of(row: dict[str, Any]) -> np.ndarray:
    return np.asarray(row["keypoints"]).reshape(F, layout.K, 2)
