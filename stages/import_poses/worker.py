"""Reads a clip's poses from the archive, and compares some with our own nets."""

import logging
from collections.abc import Iterator

import numpy as np

from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.skeleton.released import frame_offset, shifted, unpack
from pipeline.skeleton.released_space import Picture, UnfitPoses
from stages.import_poses import own
from stages.import_poses.agreement import chosen
from stages.import_poses.archive import MissingPoses, Reader
from stages.import_poses.arrays import BadArray
from stages.import_poses.comparer import Comparer, here, nearest
from stages.import_poses.people import planned_frames, ranked
from stages.import_poses.settings import ImportPosesSettings

log = logging.getLogger(__name__)


class PoseImporter:
    """Holds the archive open, and our own nets where some clips are compared."""

    def __init__(self, settings: ImportPosesSettings, context: Context) -> None:
        self._settings = settings
        self._reader = Reader(context.given["poses"])
        self._comparer: Comparer | None = None
        if settings.compare_share > 0 and here(context, settings.detector) and here(context, settings.pose):
            self._comparer = Comparer(context, settings.detector, settings.pose)

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the people of a clip. Raises Reject where the archive has none, or poses that do not fit."""
        if self._reader.archive.form == "release":
            yield from own.rows(self._reader, unit)
            return
        clip, video = unit.row("clips"), unit.row("videos")
        people = self._people(clip, video)
        if not people:
            raise Reject(Reason.NO_PERSON, "the released poses show nobody")
        yield from self._compared(people, clip, video)

    def _people(self, clip: Row, video: Row) -> list[Row]:
        """Make a row of `persons` of each person in the released poses, by (first frame seen, x)."""
        if not clip["manifest_name"]:
            raise Reject(Reason.BAD_POSES, "the clip has no name in the manifest by which to find its poses")
        box = clip["manifest_crop_box"]
        try:
            poses = self._reader.poses(clip["manifest_name"])
            planned = planned_frames(clip)
            offset = frame_offset(poses, planned, clip["first_frame"], clip["start_seconds"])
            picture = Picture(video["width"], video["height"], None if box is None else tuple(box))
            released = unpack(poses, picture, self._settings.space, self._settings.order)
        except (MissingPoses, BadArray, UnfitPoses) as error:
            raise Reject(Reason.BAD_POSES, str(error)) from error
        keypoints = shifted(released.keypoints, offset, planned, np.nan)[:, : clip["frames"]]
        scores = shifted(released.scores, offset, planned, 0.0)[:, : clip["frames"]]
        shared = {"smoothed": True, "pose_space": f"{released.space}, {released.order}", "frame_offset": offset}
        return ranked(clip, video, keypoints, scores, shared)

    def _compared(self, people: list[Row], clip: Row, video: Row) -> Iterator[Row]:
        """The rows, with their distance to our own annotation where the clip is one of those compared."""
        if self._comparer is None or not chosen(clip["clip_id"], self._settings.compare_share):
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


open_worker = PoseImporter
