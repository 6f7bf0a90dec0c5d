"""What `audio_features` can be told."""

from typing import Literal

from pydantic import Field

from pipeline.engine.settings import Settings, runtime

STAND_IN = "logmel768"


class AudioFeaturesSettings(Settings):
    """Which features, of which layer."""

    features: Literal["wav2vec2", "logmel768"] = Field(
        "wav2vec2", description="wav2vec2: the paper's; logmel768: log-mel lifted to 768, which needs no weights"
    )
    layer: int = Field(12, ge=1, le=12, description="hidden layer of wav2vec 2.0; 12 is the last")
    batch: int = Field(8, ge=1, description="clips of one length at a time", json_schema_extra=runtime())

    @property
    def label(self) -> str:
        """What the features are: `logmel768`, or `wav2vec2-base-960h/12` with the layer."""
        return STAND_IN if self.features == STAND_IN else f"wav2vec2-base-960h/{self.layer}"
