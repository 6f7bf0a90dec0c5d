"""What `export` can be told."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.base.units import CLIP_SIDE_PX
from pipeline.engine.settings import SWITCHABLE, Settings


class ExportSettings(Settings):
    """How clips are encoded, how skeletons are smoothed, and which crops are too small."""

    side_px: int = Field(CLIP_SIDE_PX, ge=64, multiple_of=2, description="side of the clip, pixels")
    crf: int = Field(18, ge=0, le=51, description="x264's quality; lower is better and larger")
    preset: str = Field("faster", pattern="^[a-z]+$", description="x264's speed")
    encoder_threads: int = Field(4, ge=1, description="x264's threads; their number changes the bytes of the clip")
    smoothing: Literal["paper", "release"] = Field(
        "paper", description="paper: all but the mouth; release: the mouth too, lightly"
    )
    max_upscale: Annotated[float | None, SWITCHABLE] = Field(
        3.0, gt=0, description="crops that would be enlarged more than this many times go"
    )
    max_missing_share: float = Field(0.1, ge=0, le=1, description="share of the clip's pictures that may not decode")
