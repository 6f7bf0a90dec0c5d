"""A tracker: links detections and their poses into tracks, one a person.

Written here because the small tracking libraries either need torch or use boxes alone. When two people cross, their boxes overlap
and are ambiguous; shoulders and noses still tell them apart, and a short extrapolation of each motion settles the rest.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pipeline.base.arrays import Floats
from pipeline.nets.pose.yolox import iou
from pipeline.skeleton import layout

_CORE = list(range(13))  # nose to hips: what co-speech footage shows of a body
_ANCHOR = [layout.NOSE, layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER]
_LEAST_POINTS = 4
_HISTORY = 3  # observations that a velocity is taken over
_HORIZON = 12  # frames over which a velocity is believed


@dataclass(frozen=True)
class TrackerSettings:
    """Thresholds for linking detections of one person.

    Attributes:
        max_gap: frames for which a person may disappear and keep the identity; 25 are 1 s.
        min_similarity: least mean of box overlap and pose similarity, 0..1, for a link.
        reach: how far, in box heights a second, somebody out of sight may have moved.
        duplicate: pose similarity, 0..1, from which two detections in one picture are one person.
        min_score: keypoints below it are not compared.
    """

    max_gap: int = 25
    min_similarity: float = 0.2
    reach: float = 1.0
    duplicate: float = 0.6
    min_score: float = 0.3


@dataclass
class _Track:
    number: int
    frames: list[int] = field(default_factory=list)
    anchors: list[Floats] = field(default_factory=list)
    box: Floats = field(default_factory=lambda: np.zeros(4))
    keypoints: Floats = field(default_factory=lambda: np.full((layout.K, 2), np.nan))

    def see(self, frame: int, box: Floats, keypoints: Floats) -> None:
        self.frames.append(frame)
        self.anchors.append(_anchors(box, keypoints))
        self.box, self.keypoints = box, keypoints

    def shift(self, frame: int) -> Floats:
        """Expected displacement since it was last seen, in pixels (2,)."""
        span = self.frames[-_HISTORY:]
        if len(span) < 2:
            return np.zeros(2)
        moves = self.anchors[-1] - self.anchors[-len(span)]  # rows: by the anchor, by the box
        known = moves[0] if np.isfinite(moves[0]).all() else moves[1]
        return np.asarray(known / (span[-1] - span[0]) * min(frame - span[-1], _HORIZON))


class Tracker:
    """Identities for the detections of one clip; same input, same output."""

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self._tracks: list[_Track] = []
        self._frame = -1

    def update(self, frame: int, boxes: Floats, keypoints: Floats, scores: Floats) -> NDArray[np.int64]:
        """Links one picture's detections to the tracks so far.

        Args:
            frame: number of the picture; it grows from call to call.
            boxes: (N, 4 or 5) x1, y1, x2, y2 and, if there is one, the detector's score.
            keypoints: (N, 133, 2) pixels, NaN where not found.
            scores: (N, 133).

        Returns:
            (N,) number of the track of each detection; -1 for a second detection of the same person.

        Raises:
            ValueError: the frames do not grow.
        """
        if frame <= self._frame:
            raise ValueError(f"frame {frame} comes after frame {self._frame}")
        self._frame = frame
        points = np.where((scores >= self.settings.min_score)[..., None], keypoints, np.nan)
        numbers = np.full(len(boxes), -1, np.int64)
        fresh = self._distinct(boxes, points)
        live = self.live(frame)
        for track, i in self._link(live, frame, boxes, points, fresh):
            numbers[i] = track
        for i in fresh:
            if numbers[i] < 0:
                numbers[i] = len(self._tracks)
                self._tracks.append(_Track(len(self._tracks)))
            self._tracks[numbers[i]].see(frame, boxes[i, :4].astype(np.float64), points[i])
        return numbers

    def live(self, frame: int) -> list[int]:
        """Tracks that a detection in `frame` may still continue."""
        return [t.number for t in self._tracks if frame - t.frames[-1] <= self.settings.max_gap]

    def last_seen(self, track: int) -> int:
        """Frame of a track's latest detection."""
        return self._tracks[track].frames[-1]

    def _distinct(self, boxes: Floats, points: Floats) -> list[int]:
        """Detections without duplicates, surest first: two boxes on one person give the same pose twice."""
        sureness = boxes[:, 4] if boxes.shape[1] > 4 else np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1)
        alike = pose_similarity(points, points, scales(boxes))
        kept: list[int] = []
        for i in np.argsort(-sureness, kind="stable"):
            if not kept or not (np.nan_to_num(alike[i, kept]) >= self.settings.duplicate).any():
                kept.append(int(i))
        return kept

    def _link(
        self, live: list[int], frame: int, boxes: Floats, points: Floats, fresh: list[int]
    ) -> list[tuple[int, int]]:
        """Matched (track, detection) pairs: by similarity first, then tracks out of sight by proximity."""
        tracks = [self._tracks[number] for number in live]
        links = _assign(self._likeness(tracks, frame, boxes[fresh], points[fresh]), self.settings.min_similarity)
        left = [t for k, t in enumerate(tracks) if k not in {a for a, _ in links} and len(t.frames) > 0]
        free = [k for k in range(len(fresh)) if k not in {b for _, b in links}]
        matches = [(tracks[a].number, fresh[b]) for a, b in links]
        near = self._nearness(left, frame, boxes[[fresh[k] for k in free]])
        return matches + [(left[a].number, fresh[free[b]]) for a, b in _assign(near, 0.0)]

    def _likeness(self, tracks: list[_Track], frame: int, boxes: Floats, points: Floats) -> Floats:
        """Mean of box overlap and pose similarity, (T, N), with each track extrapolated to this frame."""
        if not tracks or not len(boxes):
            return np.zeros((len(tracks), len(boxes)))
        shifts = np.stack([t.shift(frame) for t in tracks])
        expected = np.stack([t.box for t in tracks]) + np.tile(shifts, 2)
        overlap = iou(expected, boxes)
        poses = np.stack([t.keypoints for t in tracks]) + shifts[:, None]
        alike = pose_similarity(poses, points, np.minimum(scales(expected)[:, None], scales(boxes)), tolerance=0.3)
        return np.where(np.isfinite(alike), (overlap + alike) / 2, overlap)

    def _nearness(self, tracks: list[_Track], frame: int, boxes: Floats) -> Floats:
        """Proximity in -inf..1, (T, N): positive where a person of that size could have reached the box unseen."""
        near = np.full((len(tracks), len(boxes)), -np.inf)
        for a, track in enumerate(tracks):
            height = track.box[3] - track.box[1]
            for b, box in enumerate(boxes):
                far = np.abs((box[:2] + box[2:4] - track.box[:2] - track.box[2:]) / 2).max()
                allowed = height * (0.25 + self.settings.reach * (frame - track.frames[-1]) / 25)
                if 0.6 < (box[3] - box[1]) / max(height, 1) < 1.7:
                    near[a, b] = 1 - far / max(allowed, 1)
        return near


def pose_similarity(a: Floats, b: Floats, scale: Floats, tolerance: float = 0.1) -> Floats:
    """How alike poses are, in the manner of COCO's object keypoint similarity, over nose to hips.

    Args:
        a, b: (N, 133, 2) and (M, 133, 2) pixels, NaN for points not to be compared.
        scale: size of the people in pixels, (M,) or (N, M).
        tolerance: distance that counts as far, as a share of the scale.

    Returns:
        (N, M) in 0..1; NaN where fewer than four points can be compared.
    """
    distance = np.square(a[:, None, _CORE] - b[None, :, _CORE]).sum(-1)
    width = 2 * np.square(tolerance * np.maximum(scale, 1.0))
    alike = np.exp(-distance / width[..., None] if width.ndim == 2 else -distance / width[None, :, None])
    shared = np.isfinite(alike)
    mean = np.where(shared, alike, 0).sum(-1) / np.maximum(shared.sum(-1), 1)
    return np.where(shared.sum(-1) >= _LEAST_POINTS, mean, np.nan)


def scales(boxes: Floats) -> Floats:
    """(N,) square root of the area of boxes (N, 4), px."""
    return np.asarray(np.sqrt(np.clip(boxes[:, 2:4] - boxes[:, :2], 0, None).prod(-1)))


def _anchors(box: Floats, keypoints: Floats) -> Floats:
    """Anchors (2, 2): the mean of nose and shoulders, which gestures hardly move, and the box's centre."""
    return np.stack([keypoints[_ANCHOR].mean(0), (box[:2] + box[2:]) / 2])


def _assign(value: Floats, least: float) -> list[tuple[int, int]]:
    """Pairs (row, column) of the assignment with the greatest total value, each above `least`."""
    if not value.size:
        return []
    usable = value > least
    # Forbidden pairs are worth 0, so that they never displace an allowed one.
    rows, columns = linear_sum_assignment(-np.where(usable, value - least, 0))
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if usable[r, c]]
