"""What `audio_features` can be told."""

from typing import Literal

from pydantic import Field

from pipeline.engine.settings import Settings, runtime

STAND_IN, RELEASE = "logmel768", "wav2vec2_release"


class AudioFeaturesSettings(Settings):
    """Which features, of which layer."""

    features: Literal["wav2vec2", "wav2vec2_release", "logmel768"] = Field(
        "wav2vec2",
        description="wav2vec2: the paper's, at the frames' moments; wav2vec2_release: as the authors' scripts cut and time it, for "
        "their weights; logmel768: log-mel lifted to 768, which needs no weights",
    )
    layer: int = Field(12, ge=1, le=12, description="hidden layer of wav2vec 2.0; 12 is the last")
    batch: int = Field(8, ge=1, description="clips of one length at a time", json_schema_extra=runtime())

    @property
    def label(self) -> str:
        """What the features are: `logmel768`, or `wav2vec2-base-960h/12` with the layer and, where it is theirs, `/release`."""
        if self.features == STAND_IN:
            return STAND_IN
        return f"wav2vec2-base-960h/{self.layer}{'/release' if self.features == RELEASE else ''}"
