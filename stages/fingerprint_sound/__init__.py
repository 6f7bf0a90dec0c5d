"""Acoustic fingerprints of all videos, by which `twins` finds the same footage again."""

from typing import TYPE_CHECKING, ClassVar

from pipeline.engine.stage import Reads, Resources, Stage
from pipeline.media.chromaprint import is_available
from pipeline.media.columns import SOUND_COLUMNS

if TYPE_CHECKING:
    from pipeline.tables.store import Store


class FingerprintSound(Stage):
    """Chromaprint of each video's voice track, on the clock of its pictures; null without sound that decodes."""

    name: ClassVar[str] = "fingerprint_sound"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "acoustic fingerprints, by which twins are found"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("videos", ("path", "sha256", "audio_codec", *SOUND_COLUMNS)),)
    writes: ClassVar[str] = "sound_fingerprints"
    unit: ClassVar[str] = "video_id"
    reads_decoded: ClassVar[bool] = True
    resources: ClassVar[Resources] = Resources(seconds=3600, memory_gb=8)

    def depends(self, store: "Store") -> str:
        """Whether this machine's ffmpeg can do it: what was left unmeasured is measured once there is one that can."""
        return "" if is_available() else "without chromaprint"
