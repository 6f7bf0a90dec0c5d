"""What `measure_sound` can be told."""

from pydantic import Field

from pipeline.engine.settings import Settings


class MeasureSoundSettings(Settings):
    """What counts as speech, and as a pause."""

    vad: tuple[str, ...] = Field(("silero_vad",), description="voice detectors in the model registry, best first")
    speech_threshold: float = Field(0.5, gt=0, lt=1, description="speech probability at which speech begins")
    min_speech_seconds: float = Field(0.25, ge=0, description="shorter bursts are not called speech, seconds")
    min_pause_seconds: float = Field(0.1, ge=0, description="shorter pauses are not counted, seconds")
