"""Released poses in place of our own annotation: found by the clip's name, checked, and mapped to source pixels.

What the arrays hold is detected (see `pipeline.skeleton.released`) and could not be validated on the real archive, whose form
is only inferred from the data set's scripts.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.base.errors import StageError
from pipeline.engine.stage import Context, Reads, Resources, Stage
from stages.import_poses import agreement
from stages.import_poses.archive import Limits, build, identity
from stages.import_poses.index import Index
from stages.import_poses.settings import ImportPosesSettings

if TYPE_CHECKING:
    from pipeline.tables.store import Store

log = logging.getLogger(__name__)


class ImportPoses(ImportPosesSettings, Stage):
    """Reads a clip's poses from the released archive, or from the skeletons of a release of ours."""

    name: ClassVar[str] = "import_poses"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "released poses in place of our own annotation"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads(
            "clips",
            (
                "clip_id",
                "video_id",
                "first_frame",
                "frames",
                "start_seconds",
                "end_seconds",
                "manifest_name",
                "manifest_crop_box",
            ),
        ),
        Reads("videos", ("path", "width", "height")),
    )
    writes: ClassVar[str] = "persons"
    unit: ClassVar[str] = "clip_id"
    resources: ClassVar[Resources] = Resources(seconds=1800, memory_gb=12, gpu=True, driver_disk=True)
    leaves: ClassVar[tuple[str, ...]] = agreement.LEAVES

    def depends(self, store: "Store") -> str:
        """Which archive: another one gives other poses, the same one elsewhere does not."""
        try:
            return identity(self.archive) if self.archive else ""
        except (StageError, OSError):
            return ""  # the driver says so

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        if self.archive is None:
            raise StageError("import_poses needs the archive of poses: give --poses CSG-405-pose.zip")
        limits = Limits(int(self.max_member_megabytes * 2**20), int(self.max_archive_gigabytes * 2**30))
        with tempfile.TemporaryDirectory(prefix="csg405-poses-") as folder:
            archive = build(self.archive.absolute(), Path(folder), limits)
            for state, count in Index.load(archive.index).refused().items():
                log.warning("%d of the archive's members are not read: %s", count, state.sentence)
            yield {"poses": archive}

    def finish(self, context: Context, store: "Store") -> None:
        """Write how released poses and our own agree."""
        agreement.write(context.run, store, self.compare_share)
