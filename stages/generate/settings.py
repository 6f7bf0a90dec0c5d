"""What a generation can be told: what it starts from, how it is made, and where it goes."""

from typing import Any, Literal

from pydantic import Field

from pipeline.backends.settings import BackendSettings
from pipeline.base.strict import Strict
from pipeline.engine.settings import Settings, runtime
from pipeline.model.generation.sampling import SamplingSettings


class InputSettings(Strict):
    """The model, a reference, a voice, and the file that is written."""

    model: str = Field(
        "",
        description="weights, a checkpoint, a training folder, or the name of a model of the run; `model` by default",
    )
    image: str = Field("", description="picture of the reference: PNG, JPEG or WebP")
    skeleton: str = Field("", description="or its skeleton: .npz with keypoints (133, 2) or (F, 133, 2), scores, size")
    reference_clip: str = Field("", description="or a clip of the shards, by clip_id: its first frame")
    audio: str = Field("", description="the voice: any file with sound")
    voice_clip: str = Field("", description="or the voice of a clip of the shards, by clip_id")
    shards: str = Field("", description="folder of shards; the run's by default")
    transfer: bool = Field(
        False, description="move as the voice's clip really did, fitted to the reference, in place of generating"
    )
    dry_run: bool = Field(
        False,
        description="generate, write the back-end's inputs and print its command; run nothing",
        json_schema_extra=runtime(),
    )
    out: str = Field("", description="the video; .npz and .parquet beside it. `generated/` in the run by default")


class GenerateSettings(SamplingSettings, InputSettings, BackendSettings, Settings):
    """All of it, with what brings model, reference and picture together."""

    align: Literal["auto", "always", "never"] = Field(
        "auto",
        description="bring a reference to the size and place that the model knows, and a motion onto the picture that a "
        "back-end films; auto: when it is off",
    )
    window_batch: int = Field(8, ge=1, description="windows that the network sees at a time")

    def without_paths(self) -> dict[str, Any]:
        """The settings, without paths of this machine."""
        return {name: value for name, value in self.result_settings().items() if not str(value).startswith("/")}
