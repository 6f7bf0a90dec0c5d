"""What a release can be told."""

from pydantic import Field

from pipeline.engine.settings import Settings


class ReleaseSettings(Settings):
    """What the card says of the release that the tables do not know."""

    title: str = Field("", description="of the card; the run's name by default")
    licence: str = Field("", description="under which the links, skeletons and measures are published, for the card")
    contact: str = Field("", description="where people ask to be left out, for the card")
