"""What `same_face` can be told."""

from pydantic import Field

from pipeline.engine.gate import DEFAULT, Gate
from pipeline.engine.settings import Settings, runtime


class SameFaceSettings(Settings):
    """Which net looks, and at which moments of a clip."""

    net: tuple[str, ...] = Field(
        ("mobilefacenet", "deepface_identity"), min_length=1, description="identity nets in the registry, best first"
    )
    moments: int = Field(8, ge=2, le=100, description="pictures that are looked at, spread over the clip")
    max_yaw_degrees: float = Field(30.0, gt=0, le=90, description="turn of the head from the camera")
    min_face_score: float = Field(0.3, ge=0, le=1, description="mean score of the face's keypoints, and of each used")
    min_face_px: float = Field(24.0, ge=1, description="from the brows to the chin, source pixels")
    gate: Gate = Field(
        DEFAULT,
        description="conditions on cheap measures: clips in which nobody meets all of them are not looked at",
        json_schema_extra=runtime(),
    )
    batch: int = Field(16, ge=1, description="faces a run of the net", json_schema_extra=runtime())
