"""Do several people speak at once? The whole sound of a video goes through the net once, and is cut into clips afterwards.

Done by pyannote's segmentation-3.0, as the paper does it. A clip's first sample is its first frame x 640.
"""

from typing import TYPE_CHECKING, ClassVar

from pipeline.engine.gate import through
from pipeline.engine.stage import Reads, Resources, Stage
from pipeline.media.columns import SOUND_COLUMNS
from stages.overlap.settings import OverlapSettings

if TYPE_CHECKING:
    from pipeline.tables.store import Store


class Overlap(OverlapSettings, Stage):
    """Overlapped speech, voices and voiced share of every clip of the videos that the gate lets through."""

    name: ClassVar[str] = "overlap"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "seconds in which several people speak at once, and how many voices there are"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("clips", ("clip_id", "video_id", "first_frame", "frames")),
        Reads("videos", ("path", "sha256", "audio_codec", "footage", *SOUND_COLUMNS)),
    )
    writes: ClassVar[str] = "overlaps"
    unit: ClassVar[str] = "video_id"
    reads_decoded: ClassVar[bool] = True
    resources: ClassVar[Resources] = Resources(seconds=7200, memory_gb=8, gpu=True, served=True)

    def model_names(self) -> tuple[tuple[str, ...], ...]:
        return (self.checkpoint if self.backend == "pyannote" else self.net,)

    def choose(self, store: "Store", units: list[str]) -> list[str]:
        passing = through(store, self.gate, "video_id")
        return [unit for unit in units if unit in passing]
