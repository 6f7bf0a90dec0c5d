"""Measures the skeletons of a clip's people, and lays a crop around each."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.base.arrays import Floats32
from pipeline.base.units import Box, Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.skeleton import measures
from pipeline.skeleton.crop import Framing, crop_box, crop_box_within, outside_share, square
from pipeline.skeleton.inner_frame import around_person, beyond_share
from pipeline.skeleton.manifest_match import NO_MATCH, CropMatch, match_crops
from stages.measure_pose import MeasurePose
from stages.measure_pose.settings import MeasurePoseSettings

_OF_THE_CROP = ("crop_box", "crop_side_px", "crop_black_share", "border_share", "another_person_share")
Skeleton = tuple[Floats32, Floats32]  # (F, 133, 2) source pixels, and (F, 133) scores


class MeasurePoseWorker:
    """Turns clips into rows of `pose_measures`, one for each person.

    Args:
        settings: of the stage.
    """

    def __init__(self, settings: MeasurePoseSettings) -> None:
        self._settings = settings

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield a row for each person of the clip."""
        persons, clip = unit.rows("persons"), unit.row("clips")
        skeletons = [(_points(row), np.asarray(row["scores"])) for row in persons]
        matches = match_manifest(persons, clip)
        frames = clip.get("inner_frames")
        for i, row in enumerate(persons):
            others = [skeleton for j, skeleton in enumerate(skeletons) if j != i]
            measured = self._measures(row, *skeletons[i])
            inner = around_person(() if frames is None else frames, *skeletons[i], self._settings.min_keypoint_score)
            yield {
                **{key: row[key] for key in ("person_id", "clip_id", "video_id")},
                "persons_in_clip": len(persons),
                **{name: _or_null(value) for name, value in measured.items()},
                **self._worst_joint(*skeletons[i]),
                "camera_motion": clip["camera_motion"],
                "repeated_frames": clip["repeated_frames"],
                "picture_motion": clip.get("picture_motion"),
                **self._crop(row, matches[i].box, skeletons[i], others, inner),
                "manifest_overlap": matches[i].overlap,
                "clips_person": matches[i].clips_person,
            }

    def _measures(self, row: Row, points: Floats32, scores: Floats32) -> dict[str, float]:
        boxes, least = np.asarray(row["boxes"]), self._settings.min_keypoint_score
        measured = measures.measure_person(points, scores, boxes, row["width"], row["height"], least)
        sharp = np.asarray(row["face_sharpness"], np.float64)
        sharp = sharp[np.isfinite(sharp)]
        return {**measured, "face_sharpness": float(np.median(sharp)) if sharp.size else math.nan}

    def _worst_joint(self, points: Floats32, scores: Floats32) -> Row:
        name, share = measures.worst_joint(points, scores, self._settings.min_keypoint_score)
        return {"worst_joint": name, "worst_joint_share": _or_null(share)}

    def _crop(
        self, row: Row, of_manifest: Box | None, skeleton: Skeleton, others: list[Skeleton], inner: Box | None
    ) -> Row:
        """The crop and its measures: the manifest's where there is one and the settings want it, else our own."""
        use_manifest = of_manifest is not None and self._settings.use_manifest_crop
        box = of_manifest if use_manifest else self._framed(row, *skeleton, inner)
        if box is None:
            return dict.fromkeys(_OF_THE_CROP)
        left, _, right, _ = square(box)
        share = measures.others_in_crop(others, box, self._settings.min_keypoint_score)
        black = outside_share(box, row["width"], row["height"])
        beyond = 0.0 if inner is None else beyond_share(box, inner)
        values = (list(box), right - left, black, beyond, share)
        return dict(zip(_OF_THE_CROP, values, strict=True))

    def _framed(self, row: Row, points: Floats32, scores: Floats32, inner: Box | None) -> Box | None:
        """A crop around the speaker, inside the borders around them where they fit; None when nothing of the upper body is seen."""
        framing = Framing(
            margin=self._settings.crop_margin_share,
            min_score=self._settings.crop_min_score,
            min_seen=self._settings.crop_min_seen_share,
            spike_frames=self._settings.crop_spike_frames,
        )
        try:
            box = crop_box(points, scores, row["width"], row["height"], framing)
        except ValueError:
            return None
        if inner is None or not beyond_share(box, inner):
            return box
        return crop_box_within(inner, points, scores, framing) or box


def match_manifest(persons: Sequence[Row], clip: Row) -> list[CropMatch]:
    """For each person, whether and with which crop the manifest is matched to them."""
    if not persons or (clip.get("manifest_name") is None and clip["manifest_crop_box"] is None):
        return [NO_MATCH] * len(persons)
    crops = clip.get("manifest_crop_boxes")
    crops = [clip["manifest_crop_box"]] if crops is None else crops
    return match_crops([_boxes(row) for row in persons], [list(crop) for crop in crops if crop is not None])


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


def _or_null(value: float) -> float | None:
    """The value; None for NaN: an unknown measure is null in the table."""
    return float(value) if math.isfinite(value) else None


def open_worker(stage: MeasurePose, context: Context) -> MeasurePoseWorker:
    """What does the stage's work."""
    return MeasurePoseWorker(stage)
