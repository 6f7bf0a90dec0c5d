"""What manifest_clips can be told."""

from pathlib import Path

from pydantic import Field

from pipeline.engine.settings import Settings, runtime


class ManifestClipsSettings(Settings):
    """The manifest."""

    manifest: Path | None = Field(
        None,
        description="all_with_crop.json, all.txt, a CSV file with URL, start and end, or the links of our own release",
        json_schema_extra=runtime(),  # where the file lies changes nothing; what it says is in `depends`
    )
