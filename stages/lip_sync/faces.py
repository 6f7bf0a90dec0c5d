"""The faces of a clip whose lips can be compared with its sound."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.base.arrays import Picture
from pipeline.base.units import Row
from pipeline.media.patches import Patch, Patches
from pipeline.media.video import GridFrame
from pipeline.skeleton.face_crop import BORDER, SIDE, FaceTrack, crop_square, cut_face, lip_track
from stages.lip_sync.settings import LipSyncSettings


@dataclass(frozen=True)
class Face:
    """A face that is seen often enough, and large enough.

    Attributes:
        person: which of the clip's persons it belongs to.
        track: where it is, and in which frames it is seen.
    """

    person: int
    track: FaceTrack


def faces_of(persons: Sequence[Row], settings: LipSyncSettings) -> list[Face]:
    """The faces of these rows of `persons` that can be measured."""
    faces = []
    for number, person in enumerate(persons):
        points = np.asarray(person["keypoints"], np.float32).reshape(person["frames"], -1, 2)
        scores = np.asarray(person["scores"])
        track = lip_track(points, scores, settings.min_face_score, settings.min_face_share, settings.min_face_px)
        if track:
            faces.append(Face(number, track))
    return faces


def cut_faces(pictures: Iterable[GridFrame], first: int, faces: Sequence[Face]) -> Iterator[Picture]:
    """(faces, 224, 224, 3) BGR of every picture of the clip; one that does not decode repeats the one before."""
    shown = 0
    for picture in pictures:
        while shown <= picture.n - first:
            yield np.stack([cut_face(picture.pixels, face.track, shown)[..., ::-1] for face in faces])
            shown += 1


def kept_faces(found: Patches | None, faces: Sequence[Face]) -> Iterator[Picture] | None:
    """What `cut_faces` yields, from what was kept of the pictures; None where that lacks a face.

    Faces are grey in pictures that do not show them: windows with such a picture do not count.
    """
    if found is None:
        return None
    needed: list[list[Patch | None]] = []
    for face in faces:
        seen = face.track.seen[: found.pictures]
        own = [found.covering(n, crop_square(face.track, n)) if at else None for n, at in enumerate(seen.tolist())]
        if any(patch is None and at for patch, at in zip(own, seen, strict=True)):
            return None
        needed.append(own)
    return (
        np.stack([_cut(found, patch, face, n) for face, patch in zip(faces, patches, strict=True)])
        for n, patches in enumerate(zip(*needed, strict=True))
    )


def _cut(found: Patches, patch: Patch | None, face: Face, n: int) -> Picture:
    """(224, 224, 3) BGR of a face in picture n."""
    if patch is None:
        return np.full((SIDE, SIDE, 3), BORDER, np.uint8)
    return cut_face(patch.pixels(), face.track, n, (patch.x, patch.y), found.size)[..., ::-1]
