"""Annotates clips: detector, tracker and pose net over one decode, a row for each person."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Picture
from pipeline.base.reasons import Reason, Reject
from pipeline.base.units import Row
from pipeline.engine.decoded_pictures import pictures
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.reading import Reading
from pipeline.media.video import GridFrame, GridReader
from pipeline.nets.footage import check_footage
from pipeline.nets.pose.dwpose import PoseEstimator
from pipeline.nets.pose.factory import open_detector, open_pose
from pipeline.nets.pose.tracker import TrackerSettings
from pipeline.nets.pose.whole_body import AnnotationSettings, PersonTrack, annotate_frames
from pipeline.nets.pose.yolox import Detector
from pipeline.nets.session import Device
from stages.annotate.false_alarms import doubt, no_person
from stages.annotate.kept import Keeper
from stages.annotate.settings import AnnotateSettings


class AnnotateWorker:
    """Turns clips into rows of `persons`.

    Args:
        settings: of the stage.
        context: where videos lie, and how many threads there are.
        detector: finds people in pictures.
        pose: finds the keypoints of a person.
        footage: by the name of each net, the only footage that it can see, or "".
    """

    def __init__(
        self,
        settings: AnnotateSettings,
        context: Context,
        detector: Detector,
        pose: PoseEstimator,
        footage: Mapping[str, str],
    ) -> None:
        self._settings, self._context = settings, context
        self._detector, self._pose, self._footage = detector, pose, footage
        self._kept = pictures(context)

    @classmethod
    def from_context(cls, settings: AnnotateSettings, context: Context) -> "AnnotateWorker":
        """Open the nets that the settings name."""
        device: Device = "cuda" if context.device == "cuda" else "cpu"
        detector_file, pose_file = (
            context.nets.resolve(names, settings.precision) for names in (settings.detector, settings.pose)
        )
        detector = open_detector(
            detector_file.path,
            device,
            context.threads,
            score=settings.detector_score,
            nms_iou=settings.nms_iou,
            batch=settings.detector_batch,
            server=context.net_server,
        )
        pose = open_pose(
            pose_file.path,
            device,
            context.threads,
            backend=settings.backend,
            batch=settings.pose_batch,
            workers=_crop_threads(context),
            released=pose_file.original,
            server=context.net_server,
        )
        footage = {detector_file.name: detector.footage, pose_file.name: pose.footage}
        return cls(settings, context, detector, pose, footage)

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield a row for each person of the clip. Raises Reject: CORRUPT, NO_PERSON. WrongFootage."""
        clip, video = unit.row("clips"), unit.row("videos")
        check_footage(self._footage, video["footage"], "`detector` and `pose`")
        path, frames = self._context.storage.local(video["path"]), clip["frames"]
        keeper = Keeper(self._kept, video, clip)
        threads, crop_threads = self._context.threads, _crop_threads(self._context)
        with GridReader(path, clip["first_frame"], frames, threads=threads, reading=Reading.of(video)) as reader:
            film = Film(reader, keeper.picture, clip.get("repeats") or ())
            how = annotation_settings(self._settings)
            watch = keeper.face if keeper.faces else None
            tracks = annotate_frames(
                film, self._detector, self._pose, how, workers=crop_threads, repeats=film.repeats, watch=watch
            )
        missing = frames - film.count
        if missing > self._settings.max_missing_share * frames:
            raise Reject(Reason.CORRUPT, f"{missing} of {frames} pictures do not decode")
        persons = [track for track in tracks if not doubt(track, frames, self._settings)]
        if not persons:
            raise Reject(Reason.NO_PERSON, no_person(tracks, frames, self._settings))
        rows = [_row(clip, film, number, track, frames) for number, track in enumerate(persons)]
        keeper.finish(rows, film.count, (film.width, film.height), film.repeats)
        yield from rows


def annotation_settings(settings: AnnotateSettings) -> AnnotationSettings:
    """The stage's settings as the nets' room knows them."""
    tracker = TrackerSettings(
        max_gap=settings.max_gap_frames,
        min_similarity=settings.min_similarity,
        duplicate=settings.duplicate_similarity,
        min_score=settings.min_keypoint_score,
    )
    return AnnotationSettings(
        detect_every=settings.detect_every_frames,
        max_persons=settings.max_persons,
        min_presence=settings.min_presence,
        min_detections=settings.min_detections,
        min_score=settings.min_keypoint_score,
        tracker=tracker,
    )


class Film:
    """A reader's pictures, numbered from 0.

    Args:
        reader: reads them.
        see: called with the number of each, and its pixels.
        coded_again: numbers of those that repeat the one before though the source has a frame for each.

    Attributes:
        repeats: numbers of those that repeat the one before: `coded_again`, and what the reader holds as far as it is read.
        count: pictures yielded.
        width: of the last one, pixels; 0 before the first.
        height: likewise.
    """

    def __init__(
        self,
        reader: Iterable[GridFrame],
        see: Callable[[int, Picture], None] = lambda n, picture: None,
        coded_again: Iterable[int] = (),
    ) -> None:
        self._reader, self._see = reader, see
        self.repeats = set(coded_again)
        self.count = 0
        self.width = self.height = 0

    def __iter__(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for number, frame in enumerate(self._reader):
            self.count = number + 1
            self.height, self.width = frame.pixels.shape[:2]
            if frame.repeated and number:
                self.repeats.add(number)
            self._see(number, frame.pixels)
            yield number, frame.pixels


def _row(clip: Row, film: Film, number: int, track: PersonTrack, frames: int) -> Row:
    """A row of `persons`; where the file ends early, the person is unseen in the frames that it lacks."""
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


def _crop_threads(context: Context) -> int:
    """How many threads prepare crops while the pose net runs."""
    return max(1, min(4, context.threads))


open_worker = AnnotateWorker.from_context
