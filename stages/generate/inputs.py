"""What a generation starts from: a person and a voice, from files or from clips of the shards."""

import zipfile
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.base.errors import StageError
from pipeline.base.ids import disk_name
from pipeline.base.reasons import Failure, Reject
from pipeline.base.units import CLIP_SIDE_PX, KEYPOINTS, SAMPLES_PER_FRAME, Row
from pipeline.engine.devices import torch_device
from pipeline.engine.session import Session
from pipeline.media.audio import read_wave
from pipeline.media.still import read_picture
from pipeline.model.generation.inputs import (
    BadInput,
    Person,
    Voice,
    picture_of_clip,
    to_whole_frames,
    voice_with_features,
)
from pipeline.nets.limited import NetStopped, limited
from pipeline.nets.pose.one_picture import largest_person
from pipeline.shards.format import SPLITS
from pipeline.shards.read import decode_audio, open_shards
from pipeline.storage import storage_of
from stages.generate.settings import InputSettings

PICTURE_SECONDS = 600.0  # to load the nets and see one picture, on a slow processor
LOUDEST = 10.0  # 20 dB over full scale: no voice, but integers stored as floating point
_UNREADABLE = (  # what numpy and zipfile raise over files that are damaged, or hold something else
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, MemoryError),
    *(ValueError, KeyError, TypeError, IndexError, OverflowError),
)
_ROW = (
    "clip_id",
    "video_id",
    "person",
    "frames",
    "keypoints",
    "scores",
    "audio",
    "audio_features",
    "audio_features_of",
    "video",
)


def find_inputs(asked: InputSettings, session: Session, audio_of: str) -> tuple[Person, Voice]:
    """The person and the voice that the settings name.

    Args:
        asked: the settings.
        session: whose nets annotate pictures, and whose shards hold clips.
        audio_of: what has to make the audio features.

    Raises:
        BadInput: too many of them are named, or one cannot be used.
    """
    for names in (("image", "skeleton", "reference_clip"), ("audio", "voice_clip")):
        if sum(bool(getattr(asked, name)) for name in names) > 1:
            raise BadInput(f"give one of {', '.join('--' + name.replace('_', '-') for name in names)}, not several")
    shards = Path(asked.shards) if asked.shards else storage_of(session.run).folder("shards")
    row_of = _Clips(shards, asked.reference_clip, asked.voice_clip)
    if asked.image:
        person = _of_picture(Path(asked.image), session)
    elif asked.skeleton:
        person = _of_skeleton(Path(asked.skeleton))
    else:
        person = _of_clip(row_of.reference(), shards.parent)
    voice = (
        _of_file(Path(asked.audio), session, audio_of) if asked.audio else _of_row(row_of.voice(), session, audio_of)
    )
    return person, voice


class _Clips:
    """Rows of the shards by clip_id; where none is named, held-out ones of two videos."""

    def __init__(self, shards: Path, reference: str, voice: str) -> None:
        self._shards, self._reference, self._voice = shards, reference, voice

    def reference(self) -> Row:
        return self._named(self._reference) if self._reference else self._held_out()[0]

    def voice(self) -> Row:
        return self._named(self._voice) if self._voice else self._held_out()[-1]

    def _named(self, clip_id: str) -> Row:
        for row in open_shards(self._shards).rows(_ROW):
            if row["clip_id"] == clip_id:
                return row
        raise BadInput(f"{self._shards} holds no clip {clip_id}: `csg405 table samples` lists them")

    def _held_out(self) -> list[Row]:
        """One row, or two of different videos, from test, then validation, then train."""
        rows: list[Row] = []
        for split in reversed(SPLITS):
            for row in open_shards(self._shards, split).rows(_ROW):
                if row["audio"] is not None and all(row["video_id"] != other["video_id"] for other in rows):
                    rows.append(row)
                if len(rows) == 2:
                    return rows
        if not rows:
            raise BadInput(f"{self._shards} holds no clip with sound: name a reference and a voice")
        return rows


def _of_picture(path: Path, session: Session) -> Person:
    """The largest person in a picture, by the annotator of the run's profile."""
    try:
        picture = read_picture(path)
    except (Reject, FileNotFoundError) as error:
        raise BadInput(f"--image {path}: {getattr(error, 'detail', 'there is no such file')}") from error
    annotate = session.profile.settings("annotate")
    finder, poser = (session.models.resolve(names) for names in (annotate.detector, annotate.pose))  # type: ignore[attr-defined]
    detector, pose = finder.path, poser.path
    seen = partial(largest_person, backend=annotate.backend, released=poser.original)  # type: ignore[attr-defined]
    try:
        annotated = limited(PICTURE_SECONDS, seen, picture, detector, pose)
    except NetStopped as error:
        raise StageError(f"--image {path}: {detector.stem} and {pose.stem}: {error}") from error
    if annotated is None:
        hint = "take another picture"
        if session.profile.name == "demo":
            hint = "the demo's nets see its puppets alone, add --profile folder --model FILE for real people"
        raise BadInput(f"--image {path}: {detector.stem} and {pose.stem} see nobody in it: {hint}")
    return Person(path.stem, annotated[0], annotated[1], (picture.shape[1], picture.shape[0]), picture=lambda: picture)


def _of_skeleton(path: Path) -> Person:
    """The first frame of an .npz: keypoints (133, 2) or (F, 133, 2) px; scores, or 1 where seen; size, or 512 x 512."""
    try:
        with np.load(path, allow_pickle=False) as file:
            points = np.asarray(file["keypoints"], np.float32)
            points = points[0] if points.ndim == 3 else points
            scores = file["scores"] if "scores" in file else np.isfinite(points).all(-1)
            scores = np.asarray(scores, np.float32).reshape(-1, len(points))[0]
            size = [int(side) for side in file["size"]] if "size" in file else [CLIP_SIDE_PX] * 2
    except _UNREADABLE as error:
        trouble = next(iter(str(error).splitlines()), type(error).__name__)
        raise BadInput(f"--skeleton {path}: no .npz with keypoints (133, 2) and scores (133,): {trouble}") from error
    if points.shape != (KEYPOINTS, 2) or len(size) != 2 or not all(1 <= side <= 16384 for side in size):
        raise BadInput(
            f"--skeleton {path}: keypoints of shape {points.shape}, size {size}; wanted (133, 2) and (width, height)"
        )
    return Person(path.stem, points, scores, (size[0], size[1]))


def _of_clip(row: Row, run: Path) -> Person:
    points, scores = np.asarray(row["keypoints"][0], np.float32), np.asarray(row["scores"][0], np.float32)
    name = disk_name(f"{row['clip_id']}#{row['person']}")
    size = (CLIP_SIDE_PX, CLIP_SIDE_PX)
    return Person(name, points, scores, size, row["clip_id"], partial(picture_of_clip, run, row["video"] or ""))


def _of_file(path: Path, session: Session, audio_of: str) -> Voice:
    try:
        wave = read_wave(path.absolute())  # a name that begins with a dash is one all the same
    except (Reject, Failure) as error:
        raise BadInput(f"--audio {path}: {error.detail or error}") from error
    if wave is None or len(wave) < SAMPLES_PER_FRAME or not wave.any():
        raise BadInput(f"--audio {path}: there is no sound in it")
    if np.abs(wave).max() > LOUDEST:
        raise BadInput(
            f"--audio {path}: samples up to {np.abs(wave).max():.0f}, where 1 is full scale: scale it, or store it as integers"
        )
    return voice_with_features(path.stem, wave, audio_of, session.models, torch_device(session.profile))


def _of_row(row: Row, session: Session, audio_of: str) -> Voice:
    name = disk_name(f"{row['clip_id']}#{row['person']}")
    if row["audio"] is None:
        raise BadInput(f"clip {row['clip_id']} has no sound")
    wave = to_whole_frames(decode_audio(row["audio"]), row["frames"])
    if row["audio_features"] is not None and row["audio_features_of"] == audio_of:
        voice = Voice(name, wave, row["audio_features"], row["clip_id"])
    else:
        voice = voice_with_features(name, wave, audio_of, session.models, torch_device(session.profile), row["clip_id"])
    return replace(voice, skeleton=(np.asarray(row["keypoints"], np.float32), np.asarray(row["scores"], np.float32)))
