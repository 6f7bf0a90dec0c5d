"""What shards can be told."""

from typing import Literal

from pydantic import Field

from pipeline.engine.settings import Settings


class ShardsSettings(Settings):
    """How many files there are, and which videos each split holds."""

    buckets: int = Field(16, ge=1, le=10_000, description="files a split; fixed for a run: changing it rewrites all")
    split_by: Literal["video", "channel", "speaker"] = Field(
        "video",
        description="what stays together: a video, all videos of a channel (one without by itself), or all that share speakers",
    )
    split_seed: int = Field(0, description="another number draws other splits")
    test_share: float = Field(0.05, ge=0, le=0.5, description="share of the samples that become the test split")
    test_max_samples: int = Field(133, ge=1, description="the test split is never larger, in samples")
    validation_share: float = Field(0.1, ge=0, lt=1, description="share of the rest that becomes the validation split")
