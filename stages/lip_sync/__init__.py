"""Do lips and sound belong together? SyncNet, for every person of the clips that the gate lets through."""

from typing import TYPE_CHECKING, ClassVar

from pipeline.engine.gate import through
from pipeline.engine.stage import Reads, Resources, Stage
from pipeline.media.columns import FILM_COLUMNS
from pipeline.media.moments import FACES
from stages.lip_sync.settings import LipSyncSettings

if TYPE_CHECKING:
    from pipeline.tables.store import Store


class LipSync(LipSyncSettings, Stage):
    """Offset, confidence and distance of lips and sound, a row a person of the clip; nulls without sound or a face.

    Offsets are in frames of 40 ms; positive: the sound comes before the lips. Of several people, the one who speaks is the one
    whose lips fit. A face that moves to other words fits at no offset, which shows in the confidence; sound that is late or early
    fits at its offset, up to 15 frames.

    With `repair_offset`, sound that fits at a constant offset is moved by it: `export` cuts it there. The fit is measured again.
    """

    name: ClassVar[str] = "lip_sync"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "whether lips say what is heard, and how far off the sound is, for every person"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("persons", ("person_id", "clip_id", "video_id", "frames", "keypoints", "scores")),
        Reads("clips", ("first_frame", "frames")),
        Reads("videos", ("path", "sha256", "audio_codec", "footage", *FILM_COLUMNS)),
    )
    writes: ClassVar[str] = "lip_syncs"
    unit: ClassVar[str] = "clip_id"
    reads_decoded: ClassVar[bool] = True
    resources: ClassVar[Resources] = Resources(
        seconds=1800, memory_gb=8, gpu=True, served=True, preload=("scipy.ndimage",)
    )

    def model_names(self) -> tuple[tuple[str, ...], ...]:
        return (self.net, self.face_detector) if self.backend == "syncnet-pipeline" else (self.net,)

    def wants_pictures(self) -> tuple[str, ...]:
        """Crops are cut out of faces; the whole pipeline of syncnet-python finds faces itself, in whole films."""
        return () if self.backend == "syncnet-pipeline" else (FACES,)

    def choose(self, store: "Store", units: list[str]) -> list[str]:
        passing = through(store, self.gate, "clip_id")
        return [unit for unit in units if unit in passing]
