"""What `speakers` can be told."""

from pydantic import Field

from pipeline.engine.settings import Settings

# By the width of the vectors: ArcFace's, whose other people lie about 0, and MobileFaceNet's, whose lie up to 0.37.
LIKENESS = {512: 0.4, 128: 0.45}


class SpeakersSettings(Settings):
    """From which likeness on two samples are of one speaker, and how many are compared."""

    min_likeness: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="mean cosine of two groups' face vectors that makes one speaker; 0: as suits the net",
    )
    neighbours: int = Field(32, ge=1, description="likest samples that each one is compared with at first")
