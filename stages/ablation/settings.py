"""What an ablation can be told."""

from pydantic import Field

from pipeline.engine.settings import Settings, runtime

VARIANTS = {
    "full": "",
    "without reference": "reference",
    "cross-attention": "concat",
    "without local": "local",
}


class AblationSettings(Settings):
    """The variants, how they are trained, and on how many speakers."""

    variants: tuple[str, ...] = Field(tuple(VARIANTS), description=f"of {', '.join(VARIANTS)}")
    seeds: int = Field(3, ge=1, description="trainings of each variant")
    size: str = Field("tiny", pattern="^(tiny|base|large)$", description="as train.size; base asks for a GPU")
    steps: int = Field(3000, ge=1, description="of each training")
    batch: int = Field(32, ge=1, description="windows a step")
    window_frames: int = Field(16, ge=8, description="frames a window, at 25 fps")
    learning_rate: float = Field(3e-3, gt=0, description="its peak")
    speakers: int = Field(600, ge=2, description="speakers that are trained on")
    seconds_each: float = Field(12.0, ge=5, description="of each speaker, seconds")
    held_out: int = Field(10, ge=1, description="other speakers, that the scores are taken of")
    guidance: float = Field(1.0, ge=0, description="classifier-free guidance scale of the scored motion")
    folder: str = Field("", description="of the table; `ablation` in the run by default", json_schema_extra=runtime())
