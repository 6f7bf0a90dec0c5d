"""Writes what back-ends read: pictures and arrays, losslessly."""

from collections.abc import Iterable
from pathlib import Path

import cv2

from pipeline.backends.geometry import at_rate, cut_view, into_view
from pipeline.backends.job import Job, View
from pipeline.base.arrays import Floats, Picture
from pipeline.media.writer import write_video
from pipeline.skeleton.control import Order, draw_control


def write_png(path: Path, picture: Picture) -> None:
    """One (H, W, 3) RGB or (H, W) grey picture; OSError when it cannot be written."""
    quick = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    done, data = cv2.imencode(".png", picture[..., ::-1] if picture.ndim == 3 else picture, quick)
    if not done:
        raise ValueError(f"{path.name}: a picture of shape {picture.shape} does not encode")
    path.write_bytes(data.tobytes())


def write_reference(path: Path, job: Job, view: View) -> None:
    """The reference picture, cut and scaled as the skeletons are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, cut_view(job.picture, view))


def motion(job: Job, view: View) -> tuple[Floats, Floats]:
    """Keypoints (made, 133, 2) px of the film and scores (made, 133), at its rate."""
    keypoints, scores = at_rate(job.keypoints, job.scores, view)
    return into_view(keypoints, view), scores


def controls(job: Job, view: View, order: Order) -> Iterable[Picture]:
    """The control picture of every picture that is to be made."""
    for points, scores in zip(*motion(job, view), strict=True):
        yield draw_control(points, scores, view.size, order)


def write_pose_video(path: Path, pictures: Iterable[Picture], view: View) -> None:
    """Control pictures as a video at the film's rate, as the back-ends' readers see them: lossless, every colour kept apart.

    Usual video halves the resolution of colours, and colour tells thin limbs and fingers apart.

    Raises:
        Failure, WriteError: as of `pipeline.media.writer.write_video`.
    """
    # No picture is predicted from a later one: readers count from the first time stamp, which such pictures would move.
    options = {"qp": 0, "preset": "ultrafast", "bf": 0}
    write_video(path, pictures, None, size=view.size, fps=view.fps, pixel_format="yuv444p", options=options)
