"""What finetune can be told."""

from typing import Literal

from pydantic import Field

from pipeline.engine.settings import Settings, runtime


class FinetuneSettings(Settings):
    """Which clips are written, and where."""

    shards: str = Field("", description="folder of shards; the run's by default", json_schema_extra=runtime())
    out: str = Field(
        "", description="of the data; `finetuning/stableanimator` in the run by default", json_schema_extra=runtime()
    )
    splits: tuple[Literal["train", "validation", "test"], ...] = Field(("train",), description="of the shards")
    limit: int = Field(0, ge=0, description="as many clips at most; 0 takes all: a clip of 10 s has about 60 MB")
