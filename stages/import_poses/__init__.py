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

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from pipeline.base.errors import StageError
from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.units import FPS, Row
from pipeline.engine.settings import runtime
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.engine.unit import Unit
from pipeline.skeleton.released import Order
from pipeline.skeleton.released_space import Space

if TYPE_CHECKING:
    from pipeline.tables.store import Store
    from stages.import_poses.agreement import Comparer
    from stages.import_poses.archive import Reader

log = logging.getLogger(__name__)


class ImportPoses(Stage):
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
    resources: ClassVar[Resources] = Resources(seconds=1800, memory_gb=12, gpu=True)

    archive: Path | None = Field(
        None,
        description="CSG-405-pose.zip, the first of its parts, a folder of its files, or the skeletons.parquet of a release",
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

    _context: Context = PrivateAttr()
    _reader: "Reader" = PrivateAttr()
    _comparer: "Comparer | None" = PrivateAttr(default=None)

    def depends(self, store: "Store") -> str:
        """Which archive: another one gives other poses, the same one elsewhere does not."""
        from stages.import_poses.archive import identity

        try:
            return identity(self.archive) if self.archive else ""
        except (StageError, OSError):
            return ""  # the driver says so

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        from stages.import_poses.archive import Limits, build
        from stages.import_poses.index import Index

        if self.archive is None:
            raise StageError("import_poses needs the archive of poses: give --poses CSG-405-pose.zip")
        limits = Limits(int(self.max_member_megabytes * 2**20), int(self.max_archive_gigabytes * 2**30))
        with tempfile.TemporaryDirectory(prefix="csg405-poses-") as folder:
            archive = build(self.archive.absolute(), Path(folder), limits)
            for state, count in Index.load(archive.index).refused().items():
                log.warning("%d of the archive's members are not read: %s", count, state.sentence)
            yield {"poses": archive}

    def setup(self, context: Context) -> None:
        from stages.import_poses.archive import Reader

        self._context = context
        self._reader = Reader(context.given["poses"])
        if self.compare_share > 0:
            from stages.import_poses.agreement import Comparer, here

            if here(context, self.detector) and here(context, self.pose):
                self._comparer = Comparer(context, self.detector, self.pose)

    def process(self, unit: Unit) -> Iterator[Row]:
        if self._reader.archive.form == "release":
            from stages.import_poses.own import rows

            yield from rows(self._reader, unit)
            return
        clip, video = unit.row("clips"), unit.row("videos")
        people = self._people(clip, video)
        if not people:
            raise Reject(Reason.NO_PERSON, "the released poses show nobody")
        yield from self._compared(people, clip, video)

    def _people(self, clip: Row, video: Row) -> list[Row]:
        """A row of `persons` for everybody in the released poses, by (first frame seen, x)."""
        from pipeline.skeleton.released import frame_offset, shifted, unpack
        from pipeline.skeleton.released_space import Picture, UnfitPoses
        from stages.import_poses.archive import MissingPoses
        from stages.import_poses.arrays import BadArray

        if not clip["manifest_name"]:
            raise Reject(Reason.BAD_POSES, "the clip has no name in the manifest by which to find its poses")
        box = clip["manifest_crop_box"]
        try:
            poses = self._reader.poses(clip["manifest_name"])
            given = planned_frames(clip)
            offset = frame_offset(poses, given, clip["first_frame"], clip["start_seconds"])
            picture = Picture(video["width"], video["height"], None if box is None else tuple(box))
            found = unpack(poses, picture, self.space, self.order)
        except (MissingPoses, BadArray, UnfitPoses) as error:
            raise Reject(Reason.BAD_POSES, str(error)) from error
        keypoints = shifted(found.keypoints, offset, given, np.nan)[:, : clip["frames"]]
        scores = shifted(found.scores, offset, given, 0.0)[:, : clip["frames"]]
        told = {"smoothed": True, "pose_space": f"{found.space}, {found.order}", "frame_offset": offset}
        return ranked(clip, video, keypoints, scores, told)

    def _compared(self, people: list[Row], clip: Row, video: Row) -> Iterator[Row]:
        """The rows, with their distance to our own annotation where the clip is one of those compared."""
        from stages.import_poses.agreement import chosen, nearest

        if self._comparer is None or not chosen(clip["clip_id"], self.compare_share):
            yield from people
            return
        try:
            ours = self._comparer.look(video["path"], clip["first_frame"], clip["frames"])
        except (Reject, Failure) as error:
            log.warning("not compared: %s", error)
            yield from people
            return
        for row in people:
            keypoints = row["keypoints"].reshape(len(row["scores"]), -1, 2)
            yield {**row, "agreement": nearest(keypoints, row["scores"], ours)}

    def finish(self, context: Context, store: "Store") -> None:
        """Write how released poses and our own agree."""
        from stages.import_poses.agreement import write

        write(context.run, store, self.compare_share)


def planned_frames(clip: Row) -> int:
    """Frames of the clip as its times give them: it may have lost some that its video lacks at the end."""
    return max(clip["frames"], int(np.floor(round(FPS * (clip["end_seconds"] - clip["start_seconds"]), 6) + 0.5)))


def ranked(
    clip: Row, video: Row, keypoints: NDArray[np.float32], scores: NDArray[np.float32], told: Mapping[str, Any]
) -> list[Row]:
    """Rows of everybody who is seen at all, in order of (first frame seen, x).

    Args:
        keypoints: (P, F, 133, 2) source pixels.
        scores: (P, F, 133).
        told: what else is the same for everybody.
    """
    from pipeline.skeleton.released import boxes_of

    people = []
    for points, confidence in zip(keypoints, scores, strict=True):
        boxes = boxes_of(points, confidence)
        seen = np.isfinite(boxes).all(1)
        if seen.any():
            first = int(np.argmax(seen))
            people.append((first, float(boxes[first, 0] + boxes[first, 2]), points, confidence, boxes))
    people.sort(key=lambda person: person[:2])
    return [
        {
            "person_id": f"{clip['clip_id']}#{number}",
            "clip_id": clip["clip_id"],
            "video_id": clip["video_id"],
            "person": number,
            "frames": clip["frames"],
            "frames_seen": int(np.isfinite(boxes).all(1).sum()),
            "width": video["width"],
            "height": video["height"],
            "keypoints": points.reshape(len(points), -1),
            "scores": confidence,
            "boxes": boxes,
            "face_sharpness": np.full(len(points), np.nan, np.float32),
            **told,
        }
        for number, (_, _, points, confidence, boxes) in enumerate(people)
    ]
