"""What manifest_clips can be told."""

from pathlib import Path

from pydantic import Field

from pipeline.engine.settings import Settings, runtime


class ManifestClipsSettings(Settings):
    """The manifest."""

    manifest: Path | None = Field(
        None,
        description="all_with_crop.json, all.txt, the links of our own release, or another list of links with times of clips",
        json_schema_extra=runtime(),  # where the file lies changes nothing; what it says is in `depends`
    )
