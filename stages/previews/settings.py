"""What previews can be told."""

from hashlib import blake2b

from pydantic import Field

from pipeline.engine.settings import Settings, runtime


class PreviewsSettings(Settings):
    """What is drawn of a run, and how large."""

    dropped_a_reason: int = Field(
        200,
        ge=0,
        description="dropped people, clips or videos that are drawn for each reason, about",
        json_schema_extra=runtime(),  # decides which videos are drawn, not what a drawing looks like
    )
    dropped_a_video: int = Field(4, ge=0, description="dropped people of one video that are drawn for each reason")
    seed: int = Field(0, description="another number draws others")
    strip_frames: int = Field(4, ge=1, le=12, description="pictures in a strip, spread evenly over the clip")
    strip_height_px: int = Field(216, ge=32, le=1080, description="height of a strip, pixels")
    loop_frames: int = Field(10, ge=1, le=24, description="pictures of the exported clip, in a row")
    loop_step_frames: int = Field(5, ge=1, le=25, description="from one of them to the next, frames at 25 fps")
    loop_side_px: int = Field(256, ge=32, le=512, description="their width and height, pixels")
    quality: int = Field(72, ge=1, le=100, description="of the WebP files")


def draw_order(seed: int, identity: str) -> bytes:
    """Where a video, clip or person stands in the order in which they are drawn."""
    return blake2b(f"{seed}:{identity}".encode(), digest_size=8).digest()
