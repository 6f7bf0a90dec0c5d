"""Whole-body annotation of a clip: detection, tracking, and 133 keypoints of every person in every frame.

People are detected and posed on every n-th frame, and a tracker links these sightings. Boxes in between are interpolated, so no
frame waits for the one before it and every batch of the pose net is full. Without a detection there is no skeleton.

Frames that show one picture are one sighting: people have the same box and the same points in all of them, those of the detection
where there is one.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Picture
from pipeline.nets.pose.dwpose import Crop, PoseEstimator
from pipeline.nets.pose.one_person import Looks, changes, colours_of, faces_of, guests, sizes_of
from pipeline.nets.pose.tracker import Tracker, TrackerSettings, pose_similarity, scales
from pipeline.nets.pose.yolox import Detector
from pipeline.skeleton import layout
from pipeline.skeleton.crop import cut

FACE_SIDE = 96
"""Faces are scaled to this many pixels before their sharpness is measured."""

_DETECTIONS_A_GROUP = 4  # detected together; also bounds how many frames are held
_SURE = 5  # keypoints that must be found for a person to count as present

Watch = Callable[[int, Picture, NDArray[np.float32], NDArray[np.float32]], None]
"""Called with a frame's number, its picture, and the keypoints (133, 2) and scores (133,) of somebody in it; by several threads."""


@dataclass(frozen=True)
class PersonTrack:
    """One person of a clip of F frames.

    Attributes:
        person: rank by (first frame seen, x), from 0.
        keypoints: (F, 133, 2) float32, source pixels; NaN where a point or the person is not seen.
        scores: (F, 133) float32 in 0..1; 0 where the person is not seen.
        boxes: (F, 4) float32 x1, y1, x2, y2 in source pixels: detected, or interpolated between detections; NaN elsewhere.
        seen: (F,) bool.
        face_sharpness: (F,) float32, variance of the Laplacian (grey levels squared) of the face scaled to 96 px; NaN
            where no face is seen.
    """

    person: int
    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]
    seen: NDArray[np.bool_]
    face_sharpness: NDArray[np.float32]


@dataclass(frozen=True)
class AnnotationSettings:
    """Settings that affect the result of `annotate_frames`.

    Attributes:
        detect_every: frames from one detection to the next; the last frame is one too.
        max_persons: people a frame, the largest boxes first; bounds the work on a crowd.
        min_presence: least mean score of the five surest body points, 0..1, for a person to count as present.
        min_detections: sightings that make a person; less is a false alarm.
        min_score: keypoints below it are not used for comparing people.
        tracker: see `TrackerSettings`.
    """

    detect_every: int = 8
    max_persons: int = 8
    min_presence: float = 0.3
    min_detections: int = 2
    min_score: float = 0.3
    tracker: TrackerSettings = field(default_factory=TrackerSettings)


def annotate_frames(
    frames: Iterable[tuple[int, Picture]],
    detector: Detector,
    pose: PoseEstimator,
    settings: AnnotationSettings | None = None,
    *,
    workers: int = 2,
    repeats: Collection[int] = (),
    watch: Watch | None = None,
) -> list[PersonTrack]:
    """Estimate whole-body keypoints of every person in a clip.

    Memory is bounded by a few groups of frames: 4 x `detect_every` in work, as many being decoded, and those of
    the last `max_gap` frames in which somebody is out of sight.

    Args:
        frames: (n, picture) with n = 0, 1, 2, ... and pictures (H, W, 3) RGB of one size, each an array of its own; they
            are read ahead in this thread while the nets run in another.
        detector, pose: the nets.
        settings: what is looked for, and how often.
        workers: threads that prepare crops.
        repeats: frames that show the picture before once more, known by the time that they come: people have one box and one
            pose in all frames of a picture.
        watch: sees everybody who is posed, also those who turn out to be nobody, while the picture is in hand.

    Returns:
        people in order of rank; empty when there is nobody.

    Raises:
        ValueError: frames are not numbered 0, 1, 2, ...; whatever the nets and the iterator raise.
    """
    settings = settings or AnnotationSettings()
    with (
        ThreadPoolExecutor(workers) as helpers,
        ThreadPoolExecutor(pose.lanes) as lanes,
        ThreadPoolExecutor(1) as runner,
    ):
        annotator = _Annotator(detector, pose, settings, helpers, lanes if pose.lanes > 1 else None)
        annotator.repeats, annotator.watch = repeats, watch
        running: Future[None] | None = None
        count = 0
        for group, last in _groups(frames, settings.detect_every):
            if running:
                running.result()
            running = runner.submit(annotator.take, group, last)
            count += len(group)
        if running:
            running.result()
        # Leaving the block waits for running work, so nothing outlives an error raised by the iterator.
    return annotator.people(count)


def _groups(frames: Iterable[tuple[int, Picture]], every: int) -> Iterator[tuple[list[tuple[int, Picture]], bool]]:
    """Frames in groups that end on a detection, and whether a group is the last, which may be empty."""
    group: list[tuple[int, Picture]] = []
    for expected, (n, picture) in enumerate(frames):
        if n != expected:
            raise ValueError(f"frame {n} came instead of frame {expected}")
        group.append((n, picture))
        if n % (every * _DETECTIONS_A_GROUP) == 0:
            yield group, False
            group = []
    yield group, True


@dataclass
class _Sight:
    """A sighting of a person in a frame: created with a box, completed with a pose."""

    frame: int
    box: NDArray[np.float32]  # x1, y1, x2, y2, score
    picture: Picture | None
    detected: bool = True  # not interpolated
    sure: bool = True  # detected, or between two detections as near as they come
    crop: "Future[Crop] | None" = None
    same: "_Sight | None" = None  # the sighting in another frame of the same picture whose pose this one has
    keypoints: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    scores: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    colours: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    sharpness: float = np.nan

    @property
    def presence(self) -> float:
        """Mean score of the five surest points from nose to hips."""
        return float(np.sort(self.scores[: layout.RIGHT_HIP + 1])[-_SURE:].mean())


class _Annotator:
    def __init__(
        self,
        detector: Detector,
        pose: PoseEstimator,
        settings: AnnotationSettings,
        helpers: ThreadPoolExecutor,
        lanes: ThreadPoolExecutor | None,
    ) -> None:
        self._detector, self._pose, self._settings = detector, pose, settings
        self._helpers, self._lanes = helpers, lanes
        self._running: list[Future[None]] = []  # batches in flight
        self._tracker = Tracker(settings.tracker)
        self._sights: dict[int, list[_Sight]] = {}
        self._latest: dict[int, _Sight] = {}  # each track's newest detection
        self._pictures: dict[int, Picture] = {}
        self._waiting: list[_Sight] = []
        self._shown: dict[int, int] = {}  # the first frame that shows a frame's picture
        self._chosen = -1  # the latest frame in which people were looked for
        self._detected: list[_Sight] = []  # who was seen there
        self.repeats: Collection[int] = ()
        self.watch: Watch | None = None

    def take(self, group: Sequence[tuple[int, Picture]], last: bool) -> None:
        """Process a group of frames; people are detected on every n-th frame and on the very last."""
        self._pictures.update(group)
        for n, _ in group:
            self._shown[n] = self._shown[n - 1] if n in self.repeats and n else n
        chosen = [n for n, _ in group if n % self._settings.detect_every == 0 or (last and n == group[-1][0])]
        new = [n for before, n in pairwise([self._chosen, *chosen]) if self._shown[n] != self._shown.get(before)]
        detections = dict(zip(new, self._detect(new), strict=True))
        now = [sight for sights in detections.values() for sight in sights]
        spare = -len(now) % self._pose.batch  # the last batch is filled up with others that can wait
        now, self._waiting = now + self._waiting[:spare], self._waiting[spare:]
        _wait(self._start(now))
        for frame in chosen:
            if frame in detections:
                self._detected = [s for s in detections[frame] if s.presence >= self._settings.min_presence]
            else:
                self._detected = [replace(sight, frame=frame) for sight in self._detected]
            self._link(frame, self._detected)
            self._chosen = frame
        whole = len(self._waiting) if last else len(self._waiting) // self._pose.batch * self._pose.batch
        ready, self._waiting = self._waiting[:whole], self._waiting[whole:]
        _wait(self._running)
        self._running = self._start(ready)
        if last:
            _wait(self._running)
        if group:
            self._forget(group[-1][0])

    def _detect(self, chosen: list[int]) -> list[list[_Sight]]:
        pictures = [self._pictures[n] for n in chosen]
        detections = []
        for n, picture, boxes in zip(chosen, pictures, self._detector.detect(pictures), strict=True):
            largest = np.argsort(-scales(boxes), kind="stable")[: self._settings.max_persons]
            detections.append([_Sight(n, boxes[i], picture) for i in sorted(largest)])
        return detections

    def _start(self, sights: list[_Sight]) -> "list[Future[None]]":
        """Estimate the poses of sightings in batches: at once, or in the background where the net has several lanes."""
        for sight in sights:
            self._prepare(sight)
        batches = [sights[first : first + self._pose.batch] for first in range(0, len(sights), self._pose.batch)]
        if self._lanes is not None:
            return [self._lanes.submit(self._finish, batch) for batch in batches]
        for batch in batches:
            self._finish(batch)
        return []

    def _finish(self, batch: list[_Sight]) -> None:
        crops = [sight.crop.result() for sight in batch if sight.crop]
        for sight, keypoints, scores in zip(batch, *self._pose.run(crops), strict=True):
            sight.keypoints, sight.scores, sight.crop = keypoints, scores, None
        _wait([self._helpers.submit(_sharpen, sight, self._settings.min_score, self.watch) for sight in batch])

    def _prepare(self, sight: _Sight) -> None:
        if sight.crop is None and sight.picture is not None:
            sight.crop = self._helpers.submit(self._pose.prepare_crop, sight.picture, sight.box)

    def _link(self, frame: int, sights: list[_Sight]) -> None:
        boxes = np.stack([s.box for s in sights]) if sights else np.empty((0, 5), np.float32)
        points = np.stack([s.keypoints for s in sights]) if sights else np.empty((0, layout.K, 2), np.float32)
        scores = np.stack([s.scores for s in sights]) if sights else np.empty((0, layout.K), np.float32)
        for track, sight in zip(self._tracker.update(frame, boxes, points, scores).tolist(), sights, strict=True):
            if track < 0:
                continue
            if track in self._latest:
                self._between(track, self._latest[track], sight)
            self._latest[track] = sight
            self._sights.setdefault(track, []).append(sight)

    def _between(self, track: int, before: _Sight, after: _Sight) -> None:
        """Create the sightings between two detections of a person: boxes are interpolated from picture to picture."""
        first, stop = self._shown[before.frame], self._shown[after.frame]
        sure = after.frame - before.frame <= self._settings.detect_every
        seen = {stop: after, first: before}  # by picture
        for frame in range(before.frame + 1, after.frame):
            shown = self._shown[frame]
            if shown in seen:
                same = seen[shown]
                self._sights[track].append(_Sight(frame, same.box, None, detected=False, sure=sure, same=same))
                continue
            weight = np.float32((shown - first) / (stop - first))
            box = (1 - weight) * before.box + weight * after.box
            seen[shown] = sight = _Sight(frame, box, self._pictures[frame], detected=False, sure=sure)
            self._sights[track].append(sight)
            self._prepare(sight)
            self._waiting.append(sight)

    def _forget(self, now: int) -> None:
        """Release pictures that no later link can need."""
        oldest = min((self._tracker.last_seen(track) for track in self._tracker.live(now)), default=now)
        for frame in [n for n in self._pictures if n <= oldest]:
            del self._pictures[frame]

    def people(self, count: int) -> list[PersonTrack]:
        """All people seen in `count` frames, in order of rank."""
        tracks = []
        least = min(self._settings.min_detections, -(-count // self._settings.detect_every))
        for sights in self._sights.values():
            for sight in sights:
                if sight.same is not None:
                    sight.keypoints, sight.scores = sight.same.keypoints, sight.same.scores
                    sight.colours, sight.sharpness = sight.same.colours, sight.same.sharpness
            # Between distant detections only the pose itself is evidence that the person is there.
            real = [s for s in sights if s.sure or s.presence >= self._settings.min_presence]
            for own in _persons(real, self._settings.min_score):
                if sum(s.detected for s in own) >= least:
                    tracks.append(_arrays(own, count))
        tracks = _without_doubles(tracks, self._settings)
        order = sorted(range(len(tracks)), key=lambda i: (int(np.argmax(tracks[i].seen)), _first_x(tracks[i])))
        return [_ranked(tracks[i], rank) for rank, i in enumerate(order)]


def _wait(futures: "list[Future[None]]") -> None:
    for future in futures:
        future.result()


def _sharpen(sight: _Sight, min_score: float, watch: Watch | None) -> None:
    """Measure the face's sharpness and the colours, and release the picture."""
    if sight.picture is not None:
        if watch is not None:
            watch(sight.frame, sight.picture, sight.keypoints, sight.scores)
        sight.sharpness = face_sharpness(sight.picture, sight.keypoints, sight.scores, min_score)
        sight.colours = colours_of(sight.picture, sight.box, _surely(sight, min_score))
        sight.picture = None


def _surely(sight: _Sight, min_score: float) -> NDArray[np.float32]:
    """(133, 2) a sighting's keypoints; NaN below `min_score`."""
    return np.where((sight.scores >= min_score)[:, None], sight.keypoints, np.nan).astype(np.float32)


def _persons(sights: list[_Sight], min_score: float) -> Iterator[list[_Sight]]:
    """A track's sightings, parted where it becomes somebody else, for good or for a while."""
    if not sights:
        return
    points = np.stack([_surely(sight, min_score) for sight in sights])
    looks = Looks(sizes_of(points), np.stack([sight.colours for sight in sights]), faces_of(points))
    strange = guests(looks)
    for first, stop in pairwise([0, *changes(looks), len(sights)]):
        own = list(zip(sights[first:stop], strange[first:stop].tolist(), strict=True))
        yield [sight for sight, guest in own if not guest]
        yield from ([sight for sight, _ in run] for guest, run in groupby(own, lambda pair: pair[1]) if guest)


def face_sharpness(
    picture: Picture, keypoints: NDArray[np.float32], scores: NDArray[np.float32], min_score: float = 0.3
) -> float:
    """Variance of the Laplacian of a face scaled to 96 px, in grey levels squared; NaN where no face is seen.

    Args:
        picture: (H, W, 3) RGB.
        keypoints: (133, 2) in its pixels.
        scores: (133,).
        min_score: least mean score of the 68 face points.
    """
    face = keypoints[layout.FACE][layout.seen(keypoints[layout.FACE])]
    if len(face) < 2 or scores[layout.FACE].mean() < min_score:
        return float("nan")
    low, high = face.min(0), face.max(0)
    side = int(np.ceil((high - low).max())) + 1
    if side < 4 or side > max(picture.shape[:2]):
        return float("nan")
    x, y = np.floor((low + high - side) / 2).astype(int)
    grey = cv2.cvtColor(cut(picture, (int(x), int(y), int(x) + side, int(y) + side), FACE_SIDE), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def _arrays(sights: list[_Sight], count: int) -> PersonTrack:
    keypoints = np.full((count, layout.K, 2), np.nan, np.float32)
    scores = np.zeros((count, layout.K), np.float32)
    boxes = np.full((count, 4), np.nan, np.float32)
    sharpness = np.full(count, np.nan, np.float32)
    for sight in sights:
        keypoints[sight.frame], scores[sight.frame] = sight.keypoints, sight.scores
        boxes[sight.frame], sharpness[sight.frame] = sight.box[:4], sight.sharpness
    return PersonTrack(-1, keypoints, scores, boxes, layout.seen(boxes), sharpness)


def _without_doubles(tracks: list[PersonTrack], settings: AnnotationSettings) -> list[PersonTrack]:
    """Drop duplicates: where two tracks show one person the longer keeps the frames; a track that is mostly duplicate is removed.

    This happens when one person passes behind another: both boxes are right, but both skeletons are of the person in front.
    """
    kept: list[PersonTrack] = []
    for track in sorted(tracks, key=lambda t: (-int(t.seen.sum()), int(np.argmax(t.seen)), _first_x(t))):
        double = np.zeros_like(track.seen)
        for other in kept:
            double |= _same(track, other, settings)
        if double.sum() <= track.seen.sum() / 2:
            kept.append(_blanked(track, double))
    return kept


def _same(a: PersonTrack, b: PersonTrack, settings: AnnotationSettings) -> NDArray[np.bool_]:
    """(F,) bool: both tracks show the same pose in the same place."""
    same = np.zeros_like(a.seen)
    for frame in np.flatnonzero(a.seen & b.seen):
        points = [
            np.where((t.scores[frame] >= settings.min_score)[:, None], t.keypoints[frame], np.nan) for t in (a, b)
        ]
        scale = np.minimum(scales(a.boxes[[frame]]), scales(b.boxes[[frame]]))
        same[frame] = pose_similarity(points[0][None], points[1][None], scale)[0, 0] >= settings.tracker.duplicate
    return same


def _blanked(track: PersonTrack, frames: NDArray[np.bool_]) -> PersonTrack:
    track.keypoints[frames], track.scores[frames], track.boxes[frames] = np.nan, 0, np.nan
    track.face_sharpness[frames] = np.nan
    return PersonTrack(
        track.person, track.keypoints, track.scores, track.boxes, track.seen & ~frames, track.face_sharpness
    )


def _first_x(track: PersonTrack) -> float:
    box = track.boxes[int(np.argmax(track.seen))]
    return float(box[0] + box[2])


def _ranked(track: PersonTrack, rank: int) -> PersonTrack:
    return PersonTrack(rank, track.keypoints, track.scores, track.boxes, track.seen, track.face_sharpness)
