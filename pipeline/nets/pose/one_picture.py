"""Whole-body keypoints of one picture, by the nets that annotate clips."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.nets.pose import PoseBackend
from pipeline.nets.pose.factory import open_detector, open_pose
from pipeline.nets.pose.whole_body import AnnotationSettings, annotate_frames
from pipeline.nets.session import Device


def largest_person(
    picture: NDArray[np.uint8],
    detector: Path,
    pose: Path,
    device: Device = "cpu",
    *,
    backend: PoseBackend = "onnx",
    released: Path | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Keypoints (133, 2) px and scores (133,) of the person with the largest box, or None.

    Args:
        picture: (H, W, 3) RGB.
        detector, pose: ONNX files, as for `annotate`.
        device: where they run.
        backend: what runs the pose net.
        released: the file that a prepared pose net was made of; rtmlib takes no other.
    """
    finder, poser = open_detector(detector, device), open_pose(pose, device, backend=backend, released=released)
    settings = AnnotationSettings(detect_every=1, min_detections=1)
    people = annotate_frames([(0, picture)], finder, poser, settings)
    if not people:
        return None
    sides = [person.boxes[0, 2:] - person.boxes[0, :2] for person in people]
    best = people[int(np.argmax([float(np.prod(side)) for side in sides]))]
    return best.keypoints[0], best.scores[0]
