"""What import_poses can be told."""

from pathlib import Path

from pydantic import Field

from pipeline.engine.settings import Settings, runtime
from pipeline.skeleton.released import Order
from pipeline.skeleton.released_space import Space


class ImportPosesSettings(Settings):
    """The archive, what its arrays hold where that is known, and what is compared with our own nets."""

    archive: Path | None = Field(
        None,
        description="CSG-405-pose.zip, the first of its parts, a folder of its files, or the folder of a release",
        json_schema_extra=runtime(),
    )
    space: Space | None = Field(None, description="space of the released poses where it is known; detected otherwise")
    order: Order | None = Field(None, description="order of their 134 points where it is known; detected otherwise")
    compare_share: float = Field(
        0.0, ge=0, le=1, description="share of the clips that our own nets annotate too, to compare"
    )
    detector: tuple[str, ...] = Field(
        ("yolox_l", "yolox_nano"), min_length=1, description="person detectors to compare with, best first"
    )
    pose: tuple[str, ...] = Field(
        ("dwpose_l", "rtmw_l", "lite133"), min_length=1, description="pose nets to compare with, best first"
    )
    max_member_megabytes: float = Field(256.0, gt=0, description="larger arrays are refused, 2^20 bytes")
    max_archive_gigabytes: float = Field(
        4096.0, gt=0, description="an archive that would unpack to more is refused, 2^30 bytes"
    )
