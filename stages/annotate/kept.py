"""What later stages need of a clip's pictures, kept while they are in hand: faces to read lips from, the report's strip."""

import logging
import threading
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Picture
from pipeline.base.units import Box, Row
from pipeline.media.moments import FACES, STRIP, STRIP_PICTURES, spread
from pipeline.media.patch_cache import PatchCache
from pipeline.media.patches import Patch, Patches
from pipeline.nets.face.faces import aligned_area, can_align
from pipeline.skeleton.face_crop import area_around, crop_square, lip_track

log = logging.getLogger(__name__)

MOST_BYTES = 64 << 20  # of a clip's faces in memory: of a crowd, or of faces that fill large pictures, none are kept
LARGEST_SHARE = 0.125  # of the pictures, in the mean: larger faces cost more to keep than to decode twice
LOOKED_AT = 32  # pictures, before which that is not known
LEAST_SEEN = 0.8  # of the clip, in which somebody is seen whose lips are worth reading, as gates have it


class Keeper:
    """Keeps of one clip what is wanted of its pictures. Faces are cut by several threads at once.

    Args:
        cache: where it goes.
        video, clip: rows of `videos` and `clips`.
    """

    def __init__(self, cache: PatchCache, video: Row, clip: Row) -> None:
        self._cache, self._video = cache, video
        self._first, self._frames = clip["first_frame"], clip["frames"]
        # People get the points of the picture before where one was coded again, and nobody looks for a face there.
        self.faces = cache.wants(FACES, video) and not clip.get("repeats")
        self._strip = set(spread(self._frames, STRIP_PICTURES)) if cache.wants(STRIP, video) else set()
        self._pictures: list[tuple[int, Picture]] = []
        self._found: dict[int, list[Patch]] = {}
        self._bytes, self._share, self._guard = 0, 0.0, threading.Lock()

    def picture(self, n: int, picture: Picture) -> None:
        """Keep a picture of the strip."""
        if n in self._strip:
            self._pictures.append((n, picture))

    def face(self, n: int, picture: Picture, points: NDArray[np.float32], scores: NDArray[np.float32]) -> None:
        """Keep the face of somebody in picture n: points (133, 2), scores (133,)."""
        area = area_of(points, scores, (picture.shape[1], picture.shape[0])) if self.faces else None
        try:
            patch = None if area is None else Patch.of(n, picture, area)
        except ValueError:  # it lies outside of the picture
            return
        with self._guard:
            if patch is None or not self.faces:
                return
            self._found.setdefault(n, []).append(patch)
            self._bytes += len(patch.data)
            self._share += patch.width * patch.height / (picture.shape[0] * picture.shape[1])
            if self._bytes > MOST_BYTES or self._share > LARGEST_SHARE * max(n + 1, LOOKED_AT):
                self.faces = False
                self._found.clear()

    def finish(self, persons: list[Row], pictures: int, size: tuple[int, int], repeats: Collection[int]) -> None:
        """Put what the clip's people need, where there are some whose lips can be read.

        Args:
            persons: rows of `persons`.
            pictures: how many of the clip's decode.
            size: (width, height) of each.
            repeats: pictures that the reader holds: people have one pose, and so one face, in all that show the same.
        """
        for run in _runs(repeats):
            seen = [patch for n in run for patch in self._found.get(n, ())]
            self._found.update({n: [replace(patch, n=n) for patch in seen] for n in run})
        found = Patches(pictures, size, tuple(patch for patches in self._found.values() for patch in patches))
        needed = [faces_of(person, found) for person in persons]
        faces = dict.fromkeys(patch for own in needed if own for patch in own)
        if faces and _worth_keeping(faces, pictures, size):
            self._put(FACES, Patches(pictures, size, tuple(faces)))
        if self._pictures and any(own is not None for own in needed):
            self._put(STRIP, Patches(pictures, size, tuple(Patch.of(n, picture) for n, picture in self._pictures)))

    def _put(self, kind: str, patches: Patches) -> None:
        self._cache.put(kind, self._video, self._first, self._frames, patches)


def _runs(repeats: Collection[int]) -> Iterator[range]:
    """Pictures that are the same, together: each run ends where no repeat follows."""
    for n in sorted(repeats):
        if n - 1 not in repeats:
            yield range(n - 1, next(end for end in count(n) if end not in repeats))


def _worth_keeping(faces: Collection[Patch], pictures: int, size: tuple[int, int]) -> bool:
    """Whether faces are within the limits, each counted as often as its picture is shown."""
    share = sum(patch.width * patch.height for patch in faces) / (size[0] * size[1])
    return sum(len(patch.data) for patch in faces) <= MOST_BYTES and share <= LARGEST_SHARE * max(pictures, LOOKED_AT)


def area_of(points: NDArray[np.float32], scores: NDArray[np.float32], size: tuple[int, int]) -> Box | None:
    """What of a picture (width, height) lip_sync and same_face may look at for a face: points (133, 2), scores (133,)."""
    area = area_around(points, scores)
    if area is None or not can_align(points, size):
        return area
    (x1, y1, x2, y2), (left, top, right, bottom) = area, aligned_area(points, size)
    more = (x2 - x1) / 2  # a few points that are far off make a face of any size
    if left < x1 - more or top < y1 - more or right > x2 + more or bottom > y2 + more:
        return area
    return min(x1, left), min(y1, top), max(x2, right), max(y2, bottom)


def faces_of(person: Row, found: Patches) -> list[Patch] | None:
    """The patches that the crops of a person's face need, none where one lacks; None where their lips are not worth reading."""
    frames = person["frames"]
    if person["frames_seen"] < LEAST_SEEN * frames:
        return None
    track = lip_track(np.asarray(person["keypoints"]).reshape(frames, -1, 2), np.asarray(person["scores"]))
    if track is None:
        return None
    patches = []
    for n in np.flatnonzero(track.seen).tolist():
        patch = found.covering(n, crop_square(track, n))
        if patch is None:
            log.debug("of %s the face is not kept: it moves too fast in picture %d", person["person_id"], n)
            return []
        patches.append(patch)
    return patches
