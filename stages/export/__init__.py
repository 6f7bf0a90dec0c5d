"""Export: kept speakers as samples, the square clip with its sound and the keypoints in its pixels."""

from typing import ClassVar

from pipeline.engine.stage import Reads, Resources, Stage
from pipeline.media.columns import FILM_COLUMNS
from stages.export.settings import ExportSettings


class Export(ExportSettings, Stage):
    """Cuts, scales and encodes a kept speaker's clip, and maps the skeleton into it."""

    name: ClassVar[str] = "export"
    version: ClassVar[int] = 3
    summary: ClassVar[str] = "square clips of kept speakers, with keypoints mapped, smoothed and in local coordinates"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("verdicts", ("person_id", "clip_id", "video_id"), where="keep"),
        Reads("persons", ("keypoints", "scores", "smoothed")),
        Reads("pose_measures", ("crop_box",)),
        Reads("lip_syncs", ("sound_shift_frames",)),
        Reads("clips", ("first_frame", "frames")),
        Reads("videos", ("path", "sha256", "audio_codec", *FILM_COLUMNS)),
    )
    writes: ClassVar[str] = "samples"
    unit: ClassVar[str] = "person_id"
    reads_decoded: ClassVar[bool] = True
    resources: ClassVar[Resources] = Resources(seconds=900, preload=("scipy.signal",))
