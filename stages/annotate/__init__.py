"""Annotate: the people of a clip, and 133 keypoints of each in every frame."""

from typing import ClassVar

from pipeline.engine.stage import Reads, Resources, Stage
from pipeline.media.columns import PICTURE_COLUMNS
from pipeline.media.moments import FACES, STRIP
from stages.annotate.settings import AnnotateSettings


class Annotate(AnnotateSettings, Stage):
    """Detects people on every n-th frame, tracks them, and poses them in every frame that shows something new."""

    name: ClassVar[str] = "annotate"
    version: ClassVar[int] = 4
    summary: ClassVar[str] = "people found and tracked, 133 raw keypoints and scores a frame each"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("clips", ("clip_id", "video_id", "first_frame", "frames", "repeats")),
        Reads("videos", ("path", "sha256", "width", "height", "footage", *PICTURE_COLUMNS)),
    )
    writes: ClassVar[str] = "persons"
    unit: ClassVar[str] = "clip_id"
    keeps_pictures: ClassVar[tuple[str, ...]] = (FACES, STRIP)
    resources: ClassVar[Resources] = Resources(seconds=1800, memory_gb=12, gpu=True, served=True)

    def model_names(self) -> tuple[tuple[str, ...], ...]:
        return (self.detector, self.pose)

    def net_precision(self) -> str:
        return self.precision
