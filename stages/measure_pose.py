"""Cheap measures of everybody's skeleton: geometry alone, nothing is decoded."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from pipeline.base.arrays import Floats32
from pipeline.base.units import Row
from pipeline.engine.stage import Reads, Resources, Stage
from pipeline.engine.unit import Unit
from pipeline.skeleton import measures

# scipy and OpenCV are imported where they are used: a run with nothing to do must not wait for them.
if TYPE_CHECKING:
    from pipeline.base.units import Box
    from pipeline.skeleton.manifest_match import CropMatch


class MeasurePose(Stage):
    """Completeness, view, size, motion and surroundings of every person; a row each.

    Of the persons of a manifest's clip the one is marked whom the manifest means.
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
            ("camera_motion", "repeated_frames", "manifest_crop_box", "manifest_crop_boxes", "manifest_name"),
        ),
    )
    writes: ClassVar[str] = "pose_measures"
    unit: ClassVar[str] = "clip_id"
    resources: ClassVar[Resources] = Resources(seconds=300, memory_gb=4)

    min_keypoint_score: float = Field(0.3, ge=0, le=1, description="keypoints below it count as not seen")
    use_manifest_crop: bool = Field(True, description="where a link manifest gave a crop, take it as it is")
    crop_margin_share: float = Field(0.08, ge=0, lt=1, description="border around the speaker, share of what is framed")
    crop_min_score: float = Field(0.3, ge=0, le=1, description="keypoints below it do not widen the crop")
    crop_min_seen_share: float = Field(0.05, ge=0, le=1, description="points seen in a smaller share of frames do not")
    crop_spike_frames: int = Field(5, ge=1, description="excursions of up to half as many frames do not widen it")

    def process(self, unit: Unit) -> Iterator[Row]:
        persons, clip = unit.rows("persons"), unit.row("clips")
        people = [(_points(row), np.asarray(row["scores"])) for row in persons]
        meant = self._meant(persons, clip)
        for i, row in enumerate(persons):
            others = [one for j, one in enumerate(people) if j != i]
            measured = self._measures(row, *people[i])
            yield {
                **{key: row[key] for key in ("person_id", "clip_id", "video_id")},
                "persons_in_clip": len(persons),
                **{name: _known(value) for name, value in measured.items()},
                **self._joint(*people[i]),
                "camera_motion": clip["camera_motion"],
                "repeated_frames": clip["repeated_frames"],
                **self._crop(row, meant[i].box, people[i], others),
                "manifest_overlap": meant[i].overlap,
                "clips_person": meant[i].clips_person,
            }

    def _measures(self, row: Row, points: Floats32, scores: Floats32) -> dict[str, float]:
        boxes = np.asarray(row["boxes"])
        measured = measures.measure_person(points, scores, boxes, row["width"], row["height"], self.min_keypoint_score)
        sharp = np.asarray(row["face_sharpness"], np.float64)
        sharp = sharp[np.isfinite(sharp)]
        return {**measured, "face_sharpness": float(np.median(sharp)) if sharp.size else math.nan}

    def _joint(self, points: Floats32, scores: Floats32) -> Row:
        name, share = measures.worst_joint(points, scores, self.min_keypoint_score)
        return {"worst_joint": name, "worst_joint_share": _known(share)}

    def _meant(self, persons: list[Row], clip: Row) -> "list[CropMatch]":
        """Whom the manifest means, with which crop; nobody where there is no manifest."""
        from pipeline.skeleton.manifest_match import NO_MATCH, match_crops

        if not persons or (clip.get("manifest_name") is None and clip["manifest_crop_box"] is None):
            return [NO_MATCH] * len(persons)
        boxes = clip.get("manifest_crop_boxes")
        boxes = [clip["manifest_crop_box"]] if boxes is None else boxes
        return match_crops([_boxes(row) for row in persons], [list(box) for box in boxes if box is not None])

    def _crop(
        self, row: Row, given: "Box | None", who: tuple[Floats32, Floats32], others: list[tuple[Floats32, Floats32]]
    ) -> Row:
        from pipeline.skeleton.crop import square

        box = given if given is not None and self.use_manifest_crop else self._box(row, *who)
        if box is None:
            return {"crop_box": None, "crop_side_px": None, "another_person_share": None}
        left, _, right, _ = square(box)
        share = measures.others_in_crop(others, box, self.min_keypoint_score)
        return {"crop_box": list(box), "crop_side_px": right - left, "another_person_share": share}

    def _box(self, row: Row, points: Floats32, scores: Floats32) -> "Box | None":
        """A crop around the speaker; None when nothing of the upper body is seen."""
        from pipeline.skeleton.crop import Framing, crop_box

        framing = Framing(
            margin=self.crop_margin_share,
            min_score=self.crop_min_score,
            min_seen=self.crop_min_seen_share,
            spike_frames=self.crop_spike_frames,
        )
        try:
            return crop_box(points, scores, row["width"], row["height"], framing)
        except ValueError:
            return None


def _boxes(row: Row) -> Floats32:
    """(F, 4) the person's box a frame; around the points seen where there is none (released poses have points alone)."""
    boxes = np.array(row["boxes"], np.float32)
    points = _points(row)
    lost = ~np.isfinite(boxes).all(1) & np.isfinite(points).any((1, 2))
    if lost.any():
        boxes[lost] = np.concatenate([np.nanmin(points[lost], 1), np.nanmax(points[lost], 1)], 1)
    return boxes


def _points(row: Row) -> Floats32:
    """(F, 133, 2)."""
    return np.asarray(row["keypoints"], np.float32).reshape(row["frames"], -1, 2)


def _known(value: float) -> float | None:
    """What is not known is null in the table, not NaN."""
    return float(value) if math.isfinite(value) else None


if __name__ == "__main__":
    from pipeline.cli.main import stage_main

    stage_main("measure_pose")
