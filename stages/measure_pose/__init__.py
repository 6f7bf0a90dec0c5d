"""Cheap measures of every skeleton: geometry alone, nothing is decoded."""

from typing import ClassVar

from pipeline.engine.stage import Reads, Resources, Stage
from pipeline.skeleton import measures
from stages.measure_pose.settings import MeasurePoseSettings


class MeasurePose(MeasurePoseSettings, Stage):
    """Completeness, view, size, motion and surroundings of every person; a row each.

    In a clip of a manifest, the person that its crop is matched to is marked.
    """

    name: ClassVar[str] = "measure_pose"
    version: ClassVar[int] = measures.VERSION
    summary: ClassVar[str] = "completeness, view, size, motion and crop of every person"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads(
            "persons",
            (
                "person_id",
                "clip_id",
                "video_id",
                "frames",
                "width",
                "height",
                "keypoints",
                "scores",
                "boxes",
                "face_sharpness",
            ),
        ),
        Reads(
            "clips",
            (
                "camera_motion",
                "repeated_frames",
                "picture_motion",
                "inner_frames",
                "manifest_crop_box",
                "manifest_crop_boxes",
                "manifest_name",
            ),
        ),
    )
    writes: ClassVar[str] = "pose_measures"
    unit: ClassVar[str] = "clip_id"
    resources: ClassVar[Resources] = Resources(seconds=300, memory_gb=4, preload=("scipy.signal",))
