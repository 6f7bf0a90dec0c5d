"""Who is in a clip, and everybody's 133 keypoints in every frame."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from pipeline.base.reasons import Reason, Reject
from pipeline.base.units import Row
from pipeline.engine.settings import runtime
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.engine.unit import Unit
from pipeline.nets.footage import check_footage
from pipeline.nets.pose import PoseBackend
from pipeline.skeleton import layout

if TYPE_CHECKING:
    from pipeline.media.video import GridFrame
    from pipeline.nets.pose.dwpose import PoseEstimator
    from pipeline.nets.pose.whole_body import AnnotationSettings, PersonTrack
    from pipeline.nets.pose.yolox import Detector
    from pipeline.nets.session import Device

Share = float


class Annotate(Stage):
    """Detects people on every n-th frame, tracks them, and poses them in every frame."""

    name: ClassVar[str] = "annotate"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "people found and tracked, 133 raw keypoints and scores a frame each"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("clips", ("clip_id", "video_id", "first_frame", "frames")),
        Reads("videos", ("path", "sha256", "width", "height", "footage")),
    )
    writes: ClassVar[str] = "persons"
    unit: ClassVar[str] = "clip_id"
    resources: ClassVar[Resources] = Resources(seconds=1800, memory_gb=12, gpu=True)

    detector: tuple[str, ...] = Field(
        ("yolox_l", "yolox_nano"), min_length=1, description="person detectors in the model registry, best first"
    )
    pose: tuple[str, ...] = Field(
        ("dwpose_l", "rtmw_l", "lite133"), min_length=1, description="whole-body pose nets, best first"
    )
    backend: PoseBackend = Field("onnx", description="rtmlib is slower: a reference to compare with")
    detect_every_frames: int = Field(8, ge=1, description="frames from one detection to the next")
    detector_score: float = Field(0.3, ge=0, le=1, description="least score of a detected box")
    nms_iou: float = Field(0.45, gt=0, lt=1, description="overlap from which the weaker of two boxes is dropped")
    max_persons: int = Field(8, ge=1, description="people looked at in a frame, the largest first")
    # When somebody is really there: small detectors see people in rocks, and pose nets draw one into any box.
    min_presence: float = Field(0.3, ge=0, le=1, description="mean score of the five surest body points of a sighting")
    min_detections: int = Field(2, ge=1, description="detections that make a person; fewer are a false alarm")
    min_track_share: Share = Field(0.1, ge=0, le=1, description="share of the clip's frames that make a person")
    min_track_score: float = Field(0.4, ge=0, le=1, description="median over frames of that mean body score")
    min_person_height_px: float = Field(40.0, ge=0, description="median height of a person's box, pixels")
    min_detail_share: Share = Field(
        0.1,
        ge=0,
        le=1,
        description="share of a person's frames in which a face or a hand is found, unless the body is sure",
    )
    sure_body_score: float = Field(0.85, ge=0, description="median body score that needs neither face nor hands")
    min_detail_score: float = Field(0.3, ge=0, le=1, description="mean score from which a face or a hand is found")
    # Who is who
    max_gap_frames: int = Field(25, ge=1, description="frames for which a person may be out of sight and stay the same")
    min_similarity: float = Field(0.2, ge=0, le=1, description="likeness of box and pose that links two sightings")
    duplicate_similarity: float = Field(0.6, ge=0, le=1, description="likeness from which two boxes are one person")
    min_keypoint_score: float = Field(0.3, ge=0, le=1, description="keypoints below it are not used to compare people")
    max_missing_share: Share = Field(0.1, ge=0, le=1, description="share of the clip's pictures that may not decode")
    # How it runs
    pose_batch: int = Field(16, ge=1, description="people a run of the pose net", json_schema_extra=runtime())
    detector_batch: int = Field(8, ge=1, description="pictures a run of the detector", json_schema_extra=runtime())

    _context: Context = PrivateAttr()
    _detector: "Detector" = PrivateAttr()
    _pose: "PoseEstimator" = PrivateAttr()
    _footage: dict[str, str] = PrivateAttr(default_factory=dict)  # net -> the only footage it can see

    def model_names(self) -> tuple[tuple[str, ...], ...]:
        return (self.detector, self.pose)

    def setup(self, context: Context) -> None:
        from pipeline.nets.pose.factory import open_detector, open_pose

        assert context.models is not None, "the driver hands every worker a model registry"
        self._context = context
        finder, poser = (context.models.resolve(names) for names in self.model_names())
        device: Device = "cuda" if context.device == "cuda" else "cpu"
        self._detector = open_detector(
            finder.path,
            device,
            context.threads,
            score=self.detector_score,
            nms_iou=self.nms_iou,
            batch=self.detector_batch,
        )
        self._pose = open_pose(
            poser.path,
            device,
            context.threads,
            backend=self.backend,
            batch=self.pose_batch,
            workers=_helpers(context),
        )
        self._footage = {finder.name: self._detector.footage, poser.name: self._pose.footage}

    def process(self, unit: Unit) -> Iterator[Row]:
        from pipeline.media.video import GridReader
        from pipeline.nets.pose.whole_body import annotate_frames

        clip, video = unit.row("clips"), unit.row("videos")
        self._check_footage(video)
        path, frames = self._context.run / video["path"], clip["frames"]
        with GridReader(path, clip["first_frame"], frames, threads=self._context.threads) as reader:
            film = Film(reader)
            people = annotate_frames(
                film, self._detector, self._pose, self._settings(), workers=_helpers(self._context)
            )
        missing = frames - film.count
        if missing > self.max_missing_share * frames:
            raise Reject(Reason.CORRUPT, f"{missing} of {frames} pictures do not decode")
        real = [track for track in people if not self._doubt(track, frames)]
        if not real:
            raise Reject(Reason.NO_PERSON, self._nobody(people, frames))
        for number, track in enumerate(real):
            yield _row(clip, film, number, track, frames)

    def _settings(self) -> "AnnotationSettings":
        from pipeline.nets.pose.tracker import TrackerSettings
        from pipeline.nets.pose.whole_body import AnnotationSettings

        tracker = TrackerSettings(
            max_gap=self.max_gap_frames,
            min_similarity=self.min_similarity,
            duplicate=self.duplicate_similarity,
            min_score=self.min_keypoint_score,
        )
        return AnnotationSettings(
            detect_every=self.detect_every_frames,
            max_persons=self.max_persons,
            min_presence=self.min_presence,
            min_detections=self.min_detections,
            min_score=self.min_keypoint_score,
            tracker=tracker,
        )

    def _check_footage(self, video: Row) -> None:
        check_footage(self._footage, video["footage"], "`detector` and `pose`")

    def _doubt(self, track: "PersonTrack", frames: int) -> str:
        """Why this track is no person; "" when it is one."""
        share, body = track.seen.sum() / frames, body_score(track)
        height = float(np.nanmedian(track.boxes[:, 3] - track.boxes[:, 1])) if track.seen.any() else 0.0
        detail = detail_share(track, self.min_detail_score)
        if share < self.min_track_share:
            return f"seen in {share:.0%} of the frames < {self.min_track_share:.0%}"
        if body < self.min_track_score:
            return f"body score {body:.2f} < {self.min_track_score:g}"
        if height < self.min_person_height_px:
            return f"height {height:.0f} px < {self.min_person_height_px:g}"
        if detail < self.min_detail_share and body < self.sure_body_score:
            return f"face or hands in {detail:.0%} of its frames < {self.min_detail_share:.0%}, body score {body:.2f}"
        return ""

    def _nobody(self, people: list["PersonTrack"], frames: int) -> str:
        looks = -(-frames // self.detect_every_frames)
        if not people:
            return f"no person in {looks} frames looked at"
        doubts = "; ".join(self._doubt(track, frames) for track in people[:3])
        return f"{len(people)} false alarms in {looks} frames looked at: {doubts}"


class Film:
    """A reader's pictures, numbered from 0; remembers how many there were and their size."""

    def __init__(self, reader: "Iterable[GridFrame]") -> None:
        self._reader = reader
        self.count = 0
        self.width = self.height = 0

    def __iter__(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for number, frame in enumerate(self._reader):
            self.count = number + 1
            self.height, self.width = frame.pixels.shape[:2]
            yield number, frame.pixels


def body_score(track: "PersonTrack") -> float:
    """Median over the frames in which somebody is seen of the mean of the five surest body scores, 0..1."""
    scores = np.sort(track.scores[track.seen, : layout.RIGHT_HIP + 1], axis=1)[:, -5:]
    return float(np.median(scores.mean(1))) if len(scores) else 0.0


def detail_share(track: "PersonTrack", min_score: float) -> float:
    """Share of the frames in which somebody is seen that show a face or a hand, by its mean score."""
    scores = track.scores[track.seen]
    parts = [scores[:, part].mean(1) >= min_score for part in (layout.FACE, layout.LEFT_HAND, layout.RIGHT_HAND)]
    return float(np.any(parts, axis=0).mean()) if len(scores) else 0.0


def _row(clip: Row, film: Film, number: int, track: "PersonTrack", frames: int) -> dict[str, Any]:
    """A row of `persons`; frames that the file lacks at its end are unseen ones."""
    lacking = frames - len(track.seen)
    keypoints = track.keypoints.reshape(len(track.seen), -1)
    return {
        "person_id": f"{clip['clip_id']}#{number}",
        "clip_id": clip["clip_id"],
        "video_id": clip["video_id"],
        "person": number,
        "frames": frames,
        "frames_seen": int(track.seen.sum()),
        "width": film.width,
        "height": film.height,
        "keypoints": _padded(keypoints, lacking, np.nan),
        "scores": _padded(track.scores, lacking, 0.0),
        "boxes": _padded(track.boxes, lacking, np.nan),
        "face_sharpness": _padded(track.face_sharpness, lacking, np.nan),
    }


def _padded(values: NDArray[np.float32], lacking: int, fill: float) -> NDArray[np.float32]:
    tail = np.full((lacking, *values.shape[1:]), fill, np.float32)
    return np.concatenate([values.astype(np.float32, copy=False), tail])


def _helpers(context: Context) -> int:
    return max(1, min(4, context.threads))


if __name__ == "__main__":
    from pipeline.cli.main import stage_main

    stage_main("annotate")
