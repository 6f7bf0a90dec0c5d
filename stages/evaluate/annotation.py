"""Finding the person in a video with the profile's nets: test sets without skeletons, and videos under test."""

from collections.abc import Iterator
from typing import Literal, Protocol

import numpy as np

from pipeline.engine.stage import Context
from pipeline.nets.footage import check_footage
from pipeline.nets.pose import PoseBackend
from pipeline.nets.pose.dwpose import PoseEstimator
from pipeline.nets.pose.factory import open_detector, open_pose
from pipeline.nets.pose.whole_body import annotate_frames
from pipeline.nets.pose.yolox import Detector


class PoseNets(Protocol):
    """Settings that name a person detector and a pose net: registry names, best first, and what runs the pose net."""

    @property
    def detector(self) -> tuple[str, ...]: ...

    @property
    def pose(self) -> tuple[str, ...]: ...

    @property
    def pose_backend(self) -> PoseBackend: ...


def annotator(wanted: PoseNets, context: Context, footage: str | None = None) -> tuple[Detector, PoseEstimator]:
    """Open the person detector and the pose net of a stage.

    Raises:
        WrongFootage: they cannot see this footage (None: real people).
    """
    assert context.models is not None, "the driver hands every worker a model registry"
    device: Literal["cpu", "cuda"] = "cuda" if context.device == "cuda" else "cpu"
    finder, poser = (context.models.resolve(names) for names in (wanted.detector, wanted.pose))
    detector = open_detector(finder.path, device, context.threads)
    pose = open_pose(poser.path, device, context.threads, backend=wanted.pose_backend, released=poser.original)
    made = {finder.name: detector.footage, poser.name: pose.footage}
    check_footage(made, footage, "`annotate.detector` and `annotate.pose`")
    return detector, pose


def annotate(
    pictures: Iterator[np.ndarray], detector: Detector, pose: PoseEstimator
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]] | None:
    """Annotate the largest person of a video, given its pictures (H, W, 3) RGB.

    Returns:
        keypoints (F, 133, 2) px of a picture, NaN where unseen, scores (F, 133), and the pictures' (width, height);
        None when nobody is seen.
    """
    size = (0, 0)

    def film() -> Iterator[tuple[int, np.ndarray]]:
        nonlocal size
        for number, picture in enumerate(pictures):
            size = picture.shape[1], picture.shape[0]
            yield number, picture.copy()

    people = annotate_frames(film(), detector, pose)
    if not people:
        return None
    areas = [float(np.nansum(np.prod(track.boxes[:, 2:] - track.boxes[:, :2], axis=1))) for track in people]
    best = people[int(np.argmax(areas))]
    return best.keypoints, best.scores, size
