"""Measures how well the lips of a clip's people fit its sound, and repairs sound that is late or early."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats32
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.ahead import reading_ahead
from pipeline.media.last_wave import LastWave
from pipeline.media.reading import Reading
from pipeline.media.video import GridReader
from pipeline.nets.footage import check_footage, footage_of
from pipeline.nets.session import Device, open_session
from pipeline.nets.syncnet import Score, SyncNet, distances, lips_of, score, whole_windows, windows_of
from stages.lip_sync.faces import Face, cut_faces, faces_of
from stages.lip_sync.settings import LipSyncSettings

AHEAD_PICTURES = 8  # decoded while the net runs


class LipSyncWorker:
    """Turns clips into rows of `lip_syncs`, one for each person.

    Args:
        settings: of the stage.
        context: where videos lie, and how many threads decode.
        net: embeds lips and sound.
        footage: by the name of each net, the only footage that it can see, or "".
    """

    def __init__(self, settings: LipSyncSettings, context: Context, net: SyncNet, footage: Mapping[str, str]) -> None:
        self._settings, self._context = settings, context
        self._net, self._footage = net, footage
        self._waves = LastWave()  # clips of one video come one after the other

    @classmethod
    def from_context(cls, settings: LipSyncSettings, context: Context) -> "LipSyncWorker":
        """Open the net that the settings name."""
        device: Device = "cuda" if context.device == "cuda" else "cpu"
        file = context.nets.resolve(settings.net)
        session = open_session(file.path, device, context.threads)
        return cls(settings, context, SyncNet(session, settings.batch), {file.name: footage_of(session)})

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield a row for each person, of ids alone where nothing can be measured. Raises WrongFootage."""
        persons, video = unit.rows("persons"), unit.row("videos")
        check_footage(self._footage, video["footage"], "`lip_sync.net`")
        faces = faces_of(persons, self._settings) if video["audio_codec"] else []
        measured = self._measured(unit, faces) if faces else {}
        best = max(measured, key=lambda k: (measured[k]["lip_confidence"], -k), default=None)
        for number, person in enumerate(persons):
            row: Row = {key: person[key] for key in ("person_id", "clip_id", "video_id")}
            yield {**row, **measured.get(number, {}), **({"best_lips": number == best} if measured else {})}

    def _measured(self, unit: Unit, faces: list[Face]) -> dict[int, Row]:
        """person -> measures of its face."""
        clip, video = unit.row("clips"), unit.row("videos")
        path, reading = self._context.storage.local(video["path"]), Reading.of(video)
        first, frames = clip["first_frame"], clip["frames"]
        lips = self._lips(GridReader(path, first, frames, threads=self._context.threads, reading=reading), clip, faces)

        @cache  # several people of a clip may need the same shift
        def sound(shift: int) -> Floats32 | None:
            """(windows, 1024) embeddings of the clip's sound moved later by so many frames; None where there is none."""
            wave = self._waves.piece(path, first - shift, frames, reading)
            return None if wave is None else self._net.sound(wave, lips.shape[1])

        if not lips.shape[1] or sound(0) is None:
            return {}
        rows = {face.person: self._measures(face, own, sound) for face, own in zip(faces, lips, strict=True)}
        return {person: row for person, row in rows.items() if row is not None}

    def _lips(self, reader: GridReader, clip: Row, faces: list[Face]) -> Floats32:
        """(faces, windows, 1024): decoded once, cut for all faces, and given to the net in batches of both."""
        with reader, reading_ahead(reader, AHEAD_PICTURES) as pictures:
            lips = lips_of(self._net, cut_faces(pictures, clip["first_frame"], faces), len(faces))
        return lips[:, : windows_of(clip["frames"])]

    def _measures(self, face: Face, lips: Floats32, sound: Callable[[int], Floats32 | None]) -> Row | None:
        """Measures of a face with these embeddings (windows, 1024); None where it fills no window."""
        used = whole_windows(face.track.seen, len(lips))
        fit = _fit(lips, sound(0), used)
        if fit is None:
            return None
        shift = self._repair(fit)
        left = _fit(lips, sound(shift), used) if shift else None
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


def _fit(lips: Floats32, sound: Floats32 | None, used: NDArray[np.bool_]) -> Score | None:
    """How well lips and sound (windows, 1024) fit over the windows that count; None without sound or such windows."""
    return score(distances(lips, sound), used) if sound is not None and used.any() else None
