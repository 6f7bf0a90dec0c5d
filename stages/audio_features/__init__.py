"""Audio features of kept clips, computed once: wav2vec 2.0 on the frame grid, float16."""

from typing import ClassVar

from pipeline.engine.stage import Reads, Resources, Stage
from stages.audio_features.settings import STAND_IN, AudioFeaturesSettings

__all__ = ["STAND_IN", "AudioFeatures"]


class AudioFeatures(AudioFeaturesSettings, Stage):
    """Inputs of the audio-to-skeleton model: (frames, 768) float16 of every sample; null without sound.

    `logmel768` needs no weights and stands in where wav2vec 2.0 is not available, as in the demo. Each row names its features;
    the two are never mixed, because a run has one setting.
    """

    name: ClassVar[str] = "audio_features"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "wav2vec 2.0 features of kept clips on the frame grid"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("samples", ("person_id", "clip_id", "video_id", "frames", "audio")),)
    writes: ClassVar[str] = "audio_features"
    unit: ClassVar[str] = "video_id"
    resources: ClassVar[Resources] = Resources(seconds=3600, memory_gb=12, gpu=True)
    extra: ClassVar[str] = "train"

    def model_names(self) -> tuple[tuple[str, ...], ...]:
        return () if self.features == STAND_IN else (("wav2vec2",),)

    def needed_modules(self) -> tuple[str, ...]:
        return () if self.features == STAND_IN else ("torch", "transformers", "safetensors")
