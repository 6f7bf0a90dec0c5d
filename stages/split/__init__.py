"""Split: a video's shots, cut into clips of 5-15 s. Clips are virtual: frame numbers, nothing is encoded."""

from typing import ClassVar

from pipeline.engine.stage import Reads, Resources, Stage
from pipeline.media.columns import FILM_COLUMNS
from stages.split.settings import SplitSettings


class Split(SplitSettings, Stage):
    """Finds shots by colour, blends and camera motion in one decode, and cuts them into windows, at pauses where there are any."""

    name: ClassVar[str] = "split"
    version: ClassVar[int] = 6
    summary: ClassVar[str] = "shots by colour and camera motion, cut into clips at pauses of speech"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads(
            "videos",
            ("path", "sha256", "width", "height", "audio_codec", *FILM_COLUMNS),
        ),
    )
    writes: ClassVar[str] = "clips"
    unit: ClassVar[str] = "video_id"
    resources: ClassVar[Resources] = Resources(seconds=4 * 3600)

    def model_names(self) -> tuple[tuple[str, ...], ...]:
        return tuple(names for names in (self.vad, self.net) if names)
