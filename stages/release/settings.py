"""What a release can be told."""

from pydantic import Field

from pipeline.engine.settings import Settings
from pipeline.shards.release import FIRST


class ReleaseSettings(Settings):
    """What the card says of the release that the tables do not know."""

    title: str = Field("", description="of the card; the run's name by default")
    licence: str = Field("", description="under which the links, skeletons and measures are published, for the card")
    contact: str = Field("", description="where people ask to be left out, for the card")
    data_version: str = Field(FIRST, pattern=r"^\d{1,6}\.\d{1,6}\.\d{1,6}$", description="of the data, for the card")
    published: str = Field(
        "",
        pattern=r"^(\d{4}-\d\d-\d\d)?$",
        description="YYYY-MM-DD, for the card; the day of the newest verdict by default",
    )
