"""Measures faces that the keypoints locate, and repairs sound that is late or early."""

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.base.arrays import Floats32, Picture
from pipeline.base.units import Row
from pipeline.engine.decoded import sound_tracks
from pipeline.engine.decoded_pictures import pictures
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.ahead import reading_ahead
from pipeline.media.moments import FACES
from pipeline.media.reading import Reading
from pipeline.media.video import GridReader
from pipeline.nets.syncnet import Score, whole_windows
from stages.lip_sync.faces import Face, cut_faces, kept_faces
from stages.lip_sync.fits import Comparer, Fits
from stages.lip_sync.settings import LipSyncSettings

AHEAD_PICTURES = 8  # decoded while the net runs


class CropMeasurer:
    """Measures faces on crops that are cut by keypoints.

    Args:
        settings: of the stage.
        context: where videos lie, and how many threads decode.
        comparer: what compares lips with sound.
    """

    def __init__(self, settings: LipSyncSettings, context: Context, comparer: Comparer) -> None:
        self._settings, self._context, self._comparer = settings, context, comparer
        self._tracks, self._kept = sound_tracks(context), pictures(context)

    def measured(self, unit: Unit, faces: list[Face]) -> dict[int, Row]:
        """person -> measures of its face."""
        clip, video = unit.row("clips"), unit.row("videos")
        first, frames = clip["first_frame"], clip["frames"]

        def wave(shift: int) -> Floats32 | None:
            return self._tracks.piece(video, first - shift, frames)

        with self._crops(unit, faces) as crops, self._comparer.fits(crops, len(faces), frames, wave) as fits:
            rows = {face.person: self._measures(number, face, fits) for number, face in enumerate(faces)}
        return {person: row for person, row in rows.items() if row is not None}

    @contextmanager
    def _crops(self, unit: Unit, faces: list[Face]) -> Iterator[Iterator[Picture]]:
        """The faces in every picture: as `annotate` kept them, else the clip is decoded."""
        clip, video = unit.row("clips"), unit.row("videos")
        first, frames = clip["first_frame"], clip["frames"]
        kept = kept_faces(self._kept.get(FACES, video, first, frames), faces)
        if kept is not None:
            yield kept
            return
        path, reading = self._context.storage.local(video["path"]), Reading.of(video)
        reader = GridReader(path, first, frames, threads=self._context.threads, reading=reading)
        with reader, reading_ahead(reader, AHEAD_PICTURES) as shown:
            yield cut_faces(shown, first, faces)

    def _measures(self, number: int, face: Face, fits: Fits) -> Row | None:
        """Measures of a face; None where it fills no window, or there is no sound."""
        used = whole_windows(face.track.seen, fits.windows) if fits.windows else face.track.seen[:0]
        fit = fits.fit(number, 0, used) if used.any() else None
        if fit is None:
            return None
        shift = self._repair(fit)
        left = fits.fit(number, shift, used) if shift else None
        if left is None or abs(left.offset) >= abs(fit.offset):
            shift, left = 0, fit  # there is nothing to repair, or measured again it did not help
        return {
            "lip_offset_frames": fit.offset,
            "lip_confidence": fit.confidence,
            "lip_distance": fit.distance,
            "lip_frames": int(used.sum()),
            "sound_shift_frames": shift or None,
            "lip_offset_left_frames": float(abs(left.offset)),
        }

    def _repair(self, fit: Score) -> int:
        """Frames by which the sound is to be moved later; 0 leaves it."""
        settings = self._settings
        steady = max(abs(half - fit.offset) for half in fit.halves) <= 1
        sure = fit.confidence >= settings.repair_min_confidence and abs(fit.offset) <= settings.max_repair_frames
        return fit.offset if settings.repair_offset and steady and sure else 0
