"""The back-end without requirements: the skeleton itself, drawn on black."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pipeline.backends.backend import Backend
from pipeline.backends.geometry import cover_box, frames_at, rate_of, size_of
from pipeline.backends.inputs import motion
from pipeline.backends.job import Job, Options, Plan, View
from pipeline.base.arrays import Picture
from pipeline.base.units import FPS
from pipeline.skeleton.draw import draw


class Skeleton(Backend):
    """The whole picture, a column or row more where a side is odd, which H.264 cannot hold."""

    name: ClassVar[str] = "skeleton"
    step: ClassVar[int] = 2
    fps: ClassVar[int] = FPS

    def view(self, job: Job, options: Options) -> View:
        height, width = (side + side % 2 for side in job.picture.shape[:2])
        size = size_of(options.size, self.step) if options.size else (width, height)
        fps = rate_of(options.fps, self.fps)
        frames = frames_at(len(job.keypoints), fps)
        return View(cover_box(job, size) if options.size else (0, 0, width, height), size, fps, frames, frames)

    def prepare(self, job: Job, view: View, options: Options, python: str, work: Path) -> tuple[str, ...]:
        return ()

    def collect(self, job: Job, plan: Plan) -> Iterator[Picture]:
        for points, scores in zip(*motion(job, plan.view), strict=True):
            yield draw(points, scores, plan.view.size)
