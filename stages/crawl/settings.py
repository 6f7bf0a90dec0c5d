"""What a crawl can be told."""

from pydantic import Field

from pipeline.engine.settings import Settings, runtime
from pipeline.sources.web.criteria import Wanted
from stages.crawl.inputs import DESCRIPTION


class CrawlSettings(Wanted, Settings):
    """The input, the formats wanted of it, and the limits of what is opened."""

    input: str = Field("", description=DESCRIPTION, json_schema_extra=runtime())
    height_px: int = Field(
        720,
        ge=1,
        description="lines wanted of a 16:9 picture: 1280x720, and 960x720 or 1280x544; else the next size up",
    )
    min_height_px: int = Field(480, ge=1, description="where nothing larger is offered: down to this many lines")
    codecs: tuple[str, ...] = Field(("avc1", "vp9", "av01"), description="video codecs of one size, best first")
    max_gigabytes: float = Field(64.0, gt=0, description="larger files are refused, 2^30 bytes")
    max_megapixels: float = Field(36.0, gt=0, description="videos with larger pictures are refused, 10^6 pixels")
    allow_loopback: bool = Field(
        False,
        description="let links lead to this machine itself: for tests and mirrors, never for lists of others",
        json_schema_extra=runtime(),
    )
