"""Our own nets, looking at the pictures of a clip with released poses."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.engine.stage import Context
from pipeline.media.video import GridReader
from pipeline.nets.pose.factory import open_detector, open_pose
from pipeline.nets.pose.whole_body import PersonTrack, annotate_frames
from stages.import_poses.agreement import distance


class Comparer:
    """Our own nets, looking at the same pictures.

    Args:
        context: of the worker.
        detector, pose: registry names, best first; the first of each that is on this machine is used.
    """

    def __init__(self, context: Context, detector: tuple[str, ...], pose: tuple[str, ...]) -> None:
        assert context.models is not None, "the driver hands every worker a model registry"
        finder, poser = (context.models.resolve(here(context, names)) for names in (detector, pose))
        device: Any = "cuda" if context.device == "cuda" else "cpu"
        self._storage, self._threads = context.storage, context.threads
        self._detector = open_detector(finder.path, device, context.threads)
        self._pose = open_pose(poser.path, device, context.threads, workers=max(1, min(4, context.threads)))

    def look(self, path: str, first_frame: int, frames: int) -> list[PersonTrack]:
        """Annotate the clip: a track for each person our nets see."""
        with GridReader(self._storage.local(path), first_frame, frames, threads=self._threads) as reader:
            pictures = ((number, frame.pixels) for number, frame in enumerate(reader))
            return annotate_frames(pictures, self._detector, self._pose, workers=max(1, min(4, self._threads)))


def here(context: Context, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the nets that are on this machine: comparing is worth no download."""
    assert context.models is not None, "the driver hands every worker a model registry"
    return tuple(name for name in names if context.models.find(name) is not None)


def nearest(keypoints: NDArray[np.floating], scores: NDArray[np.floating], people: list[PersonTrack]) -> float | None:
    """Distance to the nearest person our nets saw, shoulder widths; None when they saw nobody."""
    distances = []
    for person in people:
        count = min(len(keypoints), len(person.keypoints))
        distances.append(distance(keypoints[:count], scores[:count], person.keypoints[:count], person.scores[:count]))
    return min((value for value in distances if value is not None), default=None)
