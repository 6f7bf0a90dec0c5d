"""Compares the faces of each person of a clip with one another."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pipeline.base.arrays import Floats32, Picture
from pipeline.base.units import Row
from pipeline.engine.decoded_pictures import pictures
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.moments import FACES
from pipeline.media.reading import Reading
from pipeline.media.video import GridReader
from pipeline.nets.face.faces import Choice, aligned, aligned_area, candidates
from pipeline.nets.face.identity import IdentityNet, mean_identity
from pipeline.nets.footage import check_footage, footage_of
from pipeline.nets.server.client import open_net
from pipeline.nets.session import Device
from stages.same_face.settings import SameFaceSettings


class SameFaceWorker:
    """Turns clips into rows of `same_faces`, one for each person.

    Args:
        settings: of the stage.
        context: where videos lie, and how many threads decode.
        net: makes vectors of faces.
        limit: least agreement of one person's faces with this net; None where it is not known.
        footage: by the name of each net, the only footage that it can see, or "".
    """

    def __init__(
        self,
        settings: SameFaceSettings,
        context: Context,
        net: IdentityNet,
        limit: float | None,
        footage: Mapping[str, str],
    ) -> None:
        self._settings, self._context = settings, context
        self._net, self._limit, self._footage = net, limit, footage
        self._kept = pictures(context)

    @classmethod
    def from_context(cls, settings: SameFaceSettings, context: Context) -> "SameFaceWorker":
        """Open the net that the settings name. Raises ValueError: it is gone since the stage was planned."""
        device: Device = "cuda" if context.device == "cuda" else "cpu"
        file = context.nets.optional(settings.net)
        if file is None:
            raise ValueError(f"none of {', '.join(settings.net)} is here any more")
        session = open_net(file.path, device, context.threads, context.net_server)
        net = IdentityNet(session, settings.batch)
        return cls(settings, context, net, file.entry.same_person, {file.name: footage_of(session)})

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield a row for each person. Raises WrongFootage."""
        persons = unit.rows("persons")
        check_footage(self._footage, unit.row("videos")["footage"], "`same_face.net`")
        points = [_points(person) for person in persons]
        moments = [self._moments(person, own) for person, own in zip(persons, points, strict=True)]
        found = self._kept_faces(unit, points, moments) or self._cut_faces(unit, points, moments)
        for person, faces in zip(persons, found, strict=True):
            yield {**{key: person[key] for key in ("person_id", "clip_id", "video_id")}, **self._measures(faces)}

    def _moments(self, person: Row, points: Floats32) -> list[int]:
        """The surest frontal frame of each part of the clip that has one."""
        settings = self._settings
        choice = Choice(settings.moments, 1, settings.max_yaw_degrees, settings.min_face_score, settings.min_face_px)
        scores = np.asarray(person["scores"], np.float32)
        return [frame for [frame] in candidates(points, scores, (person["width"], person["height"]), choice)]

    def _kept_faces(
        self, unit: Unit, points: Sequence[Floats32], moments: Sequence[Sequence[int]]
    ) -> list[list[Picture]] | None:
        """The faces of each person, as `annotate` kept them; None where it did not keep all of them."""
        clip = unit.row("clips")
        kept = self._kept.get(FACES, unit.row("videos"), clip["first_frame"], clip["frames"])
        if kept is None:
            return None
        found: list[list[Picture]] = []
        for own, frames in zip(points, moments, strict=True):
            shown = [frame for frame in frames if frame < kept.pictures]
            whole = [
                picture
                for frame in shown
                if (picture := kept.around(frame, aligned_area(own[frame], kept.size))) is not None
            ]
            if len(whole) < len(shown):
                return None
            found.append([aligned(picture, own[frame]) for picture, frame in zip(whole, shown, strict=True)])
        return found

    def _cut_faces(
        self, unit: Unit, points: Sequence[Floats32], moments: Sequence[Sequence[int]]
    ) -> list[list[Picture]]:
        """The faces of each person, as far as the clip decodes."""
        pictures = self._pictures(unit, {frame for frames in moments for frame in frames})
        return [
            [aligned(pictures[frame], own[frame]) for frame in frames if frame in pictures]
            for own, frames in zip(points, moments, strict=True)
        ]

    def _pictures(self, unit: Unit, wanted: set[int]) -> dict[int, Picture]:
        """These frames of the clip, as far as they decode."""
        if not wanted:
            return {}
        video, first = unit.row("videos"), unit.row("clips")["first_frame"]
        path, threads = self._context.storage.local(video["path"]), self._context.threads
        with GridReader(path, threads=threads, reading=Reading.of(video)) as reader:
            return {frame.n - first: frame.pixels for frame in reader.at(first + frame for frame in wanted)}

    def _measures(self, faces: Sequence[Picture]) -> Row:
        if len(faces) < 2:
            return {"face_moments": len(faces)}
        agreement = mean_identity(self._net(faces))[1]
        margin = None if self._limit is None else agreement - self._limit
        return {"face_moments": len(faces), "face_agreement": agreement, "face_agreement_margin": margin}


def _points(person: Row) -> Floats32:
    """(F, 133, 2)."""
    return np.asarray(person["keypoints"], np.float32).reshape(person["frames"], -1, 2)


open_worker = SameFaceWorker.from_context
