"""Crawl: what `crawl.input` names (see `inputs`) becomes verified videos with a row each."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from pipeline.engine.settings import runtime
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.sources.web.criteria import Wanted
from stages.crawl.inputs import DESCRIPTION, READS, input_of

if TYPE_CHECKING:
    from pipeline.tables.store import Store
    from stages.crawl.worker import Worker


class Crawl(Wanted, Stage):
    """Fetches or finds videos, checks that they decode, hashes them and puts them in place."""

    name: ClassVar[str] = "crawl"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "videos from a folder or from links, verified and hashed"
    reads: ClassVar[tuple[Reads, ...]] = READS
    writes: ClassVar[str] = "videos"
    unit: ClassVar[str] = "source"
    resources: ClassVar[Resources] = Resources(seconds=24 * 3600, network=True, preload=("stages.crawl.warm",))

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

    def sources(self, store: "Store") -> list[str] | None:
        return input_of(self.input).units(store)

    def refused(self, store: "Store") -> Mapping[str, str]:
        return input_of(self.input).refused()

    def driver(self, context: Context) -> AbstractContextManager[Mapping[str, Any]]:
        return input_of(self.input).driver(context)

    def worker(self, context: Context) -> "Worker":
        from stages.crawl.worker import Worker

        return Worker(self, context)
