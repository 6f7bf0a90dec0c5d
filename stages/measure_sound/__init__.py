"""Cheap measures of the sound of every clip: is there any, is it speech, how loud, clipped or silent."""

from typing import ClassVar

from pipeline.engine.stage import Reads, Resources, Stage
from pipeline.media.columns import SOUND_COLUMNS
from stages.measure_sound.settings import MeasureSoundSettings


class MeasureSound(MeasureSoundSettings, Stage):
    """Level and speech measures; a row for every clip, silent ones included."""

    name: ClassVar[str] = "measure_sound"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "speech share, pauses, loudness, clipping and silence of every clip"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("clips", ("clip_id", "video_id", "first_frame", "frames")),
        Reads("videos", ("path", "sha256", "audio_codec", *SOUND_COLUMNS)),
    )
    writes: ClassVar[str] = "sound_measures"
    unit: ClassVar[str] = "clip_id"
    reads_decoded: ClassVar[bool] = True
    resources: ClassVar[Resources] = Resources(seconds=1800)

    def model_names(self) -> tuple[tuple[str, ...], ...]:
        return (self.vad,)
