"""What shards can be told."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from pipeline.engine.settings import Settings, runtime, staying
from pipeline.shards.release.reading import open_release

SOURCE = "source"
_OF_SOURCE = ("max_component_share", "published")  # what only a split by source looks at


class ShardsSettings(Settings):
    """How many files there are, and which videos each split holds."""

    buckets: int = Field(16, ge=1, le=10_000, description="files a split; fixed for a run: changing it rewrites all")
    split_by: Literal["video", "channel", "speaker", "source"] = Field(
        "video",
        description="what stays together: a video, all videos of a channel (one without by itself), all that share speakers, or "
        "all that share a channel, a speaker or footage (source)",
        json_schema_extra=staying(),
    )
    split_seed: int = Field(0, description="another number draws other splits")
    test_share: float = Field(0.05, ge=0, le=0.5, description="share of the samples that become the test split")
    test_max_samples: int = Field(133, ge=1, description="the test split is never larger, in samples")
    validation_share: float = Field(0.1, ge=0, lt=1, description="share of the rest that becomes the validation split")
    max_component_share: float = Field(
        0.2, gt=0, le=1, description="by source: what hangs together and holds more of all people is for training"
    )
    published: Path | None = Field(
        None,
        description="by source: folder of a release, whose videos stay in the splits in which they were published",
        json_schema_extra=runtime(),  # where it lies changes nothing; what it is stands in `result_settings`
    )

    def result_settings(self) -> dict[str, Any]:
        """The settings; those of a split by source only where it is one. Raises ShardError: `published` is no release."""
        found = {name: value for name, value in super().result_settings().items() if name not in _OF_SOURCE}
        if self.split_by == SOURCE:
            found["max_component_share"] = self.max_component_share
            found["published"] = open_release(self.published).sha256 if self.published else ""
        return found
