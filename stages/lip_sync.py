"""Do the lips say what is heard? SyncNet, for every person of the clips that the gate lets through."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from pipeline.base.arrays import Floats32
from pipeline.base.units import Row
from pipeline.engine.gate import DEFAULT, Gate
from pipeline.engine.settings import runtime
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.engine.unit import Unit
from pipeline.nets.footage import check_footage, footage_of

if TYPE_CHECKING:
    from pipeline.media.last_wave import LastWave
    from pipeline.media.video import GridFrame
    from pipeline.nets.session import Device
    from pipeline.nets.syncnet import Score, SyncNet
    from pipeline.skeleton.face_crop import FaceTrack
    from pipeline.tables.store import Store

AHEAD_PICTURES = 8  # decoded while the net runs


@dataclass(frozen=True)
class _Face:
    """A person of the clip whose lips can be compared: which row, its face, and the windows that count."""

    row: int
    track: "FaceTrack"


class LipSync(Stage):
    """Offset, confidence and distance of lips and sound, a row a person of the clip; nulls without sound or a face.

    Offsets are in frames of 40 ms; positive: the sound comes before the lips. Of several people, the one who speaks is the one
    whose lips fit. A face that moves to other words fits at no offset, which shows in the confidence; sound that is late or early
    fits at its offset, up to 15 frames.

    With `repair_offset`, sound that fits at a constant offset is moved by it: `export` cuts it there. The fit is measured again.
    """

    name: ClassVar[str] = "lip_sync"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "whether lips say what is heard, and how far off the sound is, for every person"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("persons", ("person_id", "clip_id", "video_id", "frames", "keypoints", "scores")),
        Reads("clips", ("first_frame", "frames")),
        Reads("videos", ("path", "sha256", "audio_codec", "footage")),
    )
    writes: ClassVar[str] = "lip_syncs"
    unit: ClassVar[str] = "clip_id"
    resources: ClassVar[Resources] = Resources(seconds=1800, memory_gb=8, gpu=True)

    net: tuple[str, ...] = Field(
        ("syncnet",), min_length=1, description="lip-sync nets in the model registry, best first"
    )
    min_face_score: float = Field(
        0.3, ge=0, le=1, description="mean score of the face's keypoints in a frame that counts"
    )
    min_face_share: float = Field(
        0.5, ge=0, le=1, description="share of frames with a face; with fewer nothing is measured"
    )
    min_face_px: float = Field(
        24.0, ge=1, description="median side of the face in the source; smaller ones have no lips to read"
    )
    repair_offset: bool = Field(False, description="move sound that fits the lips at a constant offset")
    repair_min_confidence: float = Field(4.0, ge=0, description="confidence from which an offset is believed")
    max_repair_frames: int = Field(15, ge=0, le=15, description="largest offset that is repaired, frames of 40 ms")
    gate: Gate = Field(
        DEFAULT,
        description="conditions on cheap measures: clips in which nobody meets all of them are not looked at",
        json_schema_extra=runtime(),
    )
    batch: int = Field(16, ge=1, description="windows of five pictures a run of the net", json_schema_extra=runtime())

    _context: Context = PrivateAttr()
    _net: "SyncNet" = PrivateAttr()
    _waves: "LastWave" = PrivateAttr()
    _footage: dict[str, str] = PrivateAttr(default_factory=dict)

    def model_names(self) -> tuple[tuple[str, ...], ...]:
        return (self.net,)

    def choose(self, store: "Store", units: list[str]) -> list[str]:
        from pipeline.engine.gate import through

        worth = through(store, self.gate, "clip_id")
        return [unit for unit in units if unit in worth]

    def setup(self, context: Context) -> None:
        from pipeline.media.last_wave import LastWave
        from pipeline.nets.session import open_session
        from pipeline.nets.syncnet import SyncNet

        assert context.models is not None, "the driver hands every worker a model registry"
        self._context, self._waves = context, LastWave()
        device: Device = "cuda" if context.device == "cuda" else "cpu"
        found = context.models.resolve(self.net)
        session = open_session(found.path, device, context.threads)
        self._net = SyncNet(session, self.batch)
        self._footage = {found.name: footage_of(session)}

    def process(self, unit: Unit) -> Iterator[Row]:
        persons, clip, video = unit.rows("persons"), unit.row("clips"), unit.row("videos")
        check_footage(self._footage, video["footage"], "`lip_sync.net`")
        measured: dict[int, Row] = {}
        if video["audio_codec"] and (faces := self._faces(persons)):
            path, first, frames = self._context.run / video["path"], clip["first_frame"], clip["frames"]
            lips = self._lips(path, first, frames, faces)

            @cache  # people of one clip may need the same
            def sound(shift: int) -> Floats32 | None:
                """Embeddings of the clip's sound moved later by so many frames."""
                wave = self._waves.piece(path, first - shift, frames)
                return None if wave is None else self._net.sound(wave, lips.shape[1])

            measured = self._measure(faces, lips, sound)
        best = max(measured, key=lambda k: (measured[k]["lip_confidence"], -k), default=None)
        for number, person in enumerate(persons):
            row: Row = {key: person[key] for key in ("person_id", "clip_id", "video_id")}
            yield {**row, **measured.get(number, {}), **({"best_lips": number == best} if measured else {})}

    def _faces(self, persons: list[Row]) -> list[_Face]:
        """The people whose face is there often enough, and large enough."""
        from pipeline.skeleton.face_crop import lip_track

        found = []
        for number, person in enumerate(persons):
            points = np.asarray(person["keypoints"], np.float32).reshape(person["frames"], -1, 2)
            scores = np.asarray(person["scores"])
            track = lip_track(points, scores, self.min_face_score, self.min_face_share, self.min_face_px)
            if track:
                found.append(_Face(number, track))
        return found

    def _lips(self, path: Path, first: int, frames: int, faces: list[_Face]) -> Floats32:
        """(faces, windows, 1024): decoded once, cut for all faces, and given to the net in batches of both."""
        from pipeline.media.ahead import reading_ahead
        from pipeline.media.video import GridReader
        from pipeline.nets.syncnet import lips_of, windows_of

        reader = GridReader(path, first, frames, threads=self._context.threads)
        with reader, reading_ahead(reader, AHEAD_PICTURES) as pictures:
            lips = lips_of(self._net, _cut(pictures, first, faces), len(faces))
        return lips[:, : windows_of(frames)]

    def _measure(self, faces: list[_Face], lips: Floats32, sound: Callable[[int], Floats32 | None]) -> dict[int, Row]:
        from pipeline.nets.syncnet import whole_windows

        heard = sound(0) if lips.shape[1] else None
        rows: dict[int, Row] = {}
        if heard is None:
            return rows
        for face, own in zip(faces, lips, strict=True):
            used = whole_windows(face.track.seen, len(own))
            found = self._score(own, heard, used)
            if found is None:
                continue
            shift = self._repair(found)
            moved = sound(shift) if shift else None
            again = found if moved is None else self._score(own, moved, used)
            if shift and (again is None or abs(again.offset) >= abs(found.offset)):
                shift, again = 0, found  # measured again, it did not help
            rows[face.row] = {
                "lip_offset_frames": found.offset,
                "lip_confidence": found.confidence,
                "lip_distance": found.distance,
                "lip_frames": int(used.sum()),
                "sound_shift_frames": shift or None,
                "lip_offset_left_frames": float(abs(again.offset)) if again else None,
            }
        return rows

    def _score(self, lips: Floats32, sound: Floats32, used: NDArray[np.bool_]) -> "Score | None":
        from pipeline.nets.syncnet import distances, score

        return score(distances(lips, sound), used) if used.any() else None

    def _repair(self, found: "Score") -> int:
        """Frames by which the sound is to be moved later; 0 leaves it."""
        steady = max(abs(half - found.offset) for half in found.halves) <= 1
        sure = found.confidence >= self.repair_min_confidence and abs(found.offset) <= self.max_repair_frames
        return found.offset if self.repair_offset and steady and sure else 0


def _cut(pictures: "Iterable[GridFrame]", first: int, faces: list[_Face]) -> Iterator[NDArray[np.uint8]]:
    """(faces, 224, 224, 3) BGR of every picture of the clip; a picture that does not decode is the one before."""
    from pipeline.skeleton.face_crop import cut_face

    shown = 0
    for picture in pictures:
        while shown <= picture.n - first:
            yield np.stack([cut_face(picture.pixels, face.track, shown)[..., ::-1] for face in faces])
            shown += 1


if __name__ == "__main__":
    from pipeline.cli.main import stage_main

    stage_main("lip_sync")
