"""What previews can be told."""

from pydantic import Field

from pipeline.engine.settings import Settings, runtime


class PreviewsSettings(Settings):
    """What is shown of a run, and how large."""

    dropped_a_reason: int = Field(
        200,
        ge=0,
        description="dropped people, clips or videos that are shown for each reason, about",
        json_schema_extra=runtime(),  # decides which videos are looked at, not what is made of one
    )
    dropped_a_video: int = Field(4, ge=0, description="dropped people of one video that are shown for each reason")
    nearest_share: float = Field(
        0.5, ge=0, le=1, description="share of them that lie nearest to the thresholds; the others are drawn by lot"
    )
    seed: int = Field(0, description="another number draws others")
    strip_frames: int = Field(4, ge=1, le=12, description="pictures in a strip, spread evenly over the clip")
    strip_height_px: int = Field(216, ge=32, le=1080, description="height of a strip, pixels")
    clip_height_px: int = Field(216, ge=32, le=1080, description="height of the film of a dropped clip, pixels")
    clip_crf: int = Field(28, ge=0, le=51, description="its quality as x264 counts it, lower is better")
    clip_max_kbps: int = Field(400, ge=50, description="its pictures take no more, kbit a second")
    clip_max_seconds: float = Field(15.0, gt=0, le=600, description="it ends there, seconds")
    loop_frames: int = Field(1, ge=1, le=24, description="still pictures of the exported clip, in a row")
    loop_step_frames: int = Field(5, ge=1, le=25, description="from one of them to the next, frames at 25 fps")
    loop_side_px: int = Field(256, ge=32, le=512, description="their width and height, pixels")
    quality: int = Field(72, ge=1, le=100, description="of the WebP files")
