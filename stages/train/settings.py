"""What training can be told, beside its recipe."""

from pydantic import Field

from pipeline.engine.settings import Settings, runtime
from pipeline.model.training.recipe import Recipe


class TrainSettings(Recipe, Settings):
    """The recipe, and where shards, caches and the model lie."""

    shards: str = Field("", description="folder of shards; the run's by default", json_schema_extra=runtime())
    cache: str = Field(
        "", description="folder of memory-mapped caches; `cache` in the run by default", json_schema_extra=runtime()
    )
    model_name: str = Field(
        "model",
        pattern=r"^[A-Za-z0-9][\w.-]*$",
        description="of the folder under `training`",
        json_schema_extra=runtime(),
    )
