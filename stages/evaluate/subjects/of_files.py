"""Subjects from the files of PATS or TED-talks, annotated by the profile's nets."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.base.hashes import sha256_of
from pipeline.base.reasons import Reason, Reject
from pipeline.base.units import FPS, SAMPLE_RATE, Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media import sequence
from pipeline.media.audio import cut, read_wave, to_flac
from pipeline.media.probe import probe
from stages.evaluate.annotation import annotate, annotator
from stages.evaluate.cast import held, onto_square, whole_body_frame
from stages.evaluate.collection import SAID_FPS, Collection, speaker_of
from stages.evaluate.protocols import SIDES
from stages.evaluate.subjects.settings import SubjectsSettings

MAX_FRAMES = 3000
# Frames that last longer or shorter than their sound, by more than both, were not taken at the rate that was said.
_UNLIKE_SECONDS, _UNLIKE_SHARE = 0.3, 0.03


class FileAnnotator:
    """Holds the nets, and knows what lies in the folder."""

    def __init__(self, settings: SubjectsSettings, context: Context) -> None:
        self._settings = settings
        self._nets = annotator(settings, context)
        self._collection = Collection(Path(settings.source), settings.protocol)

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the row of a clip. Raises Reject where it cannot be tested on."""
        yield self._of_file(unit.id)

    def _of_file(self, name: str) -> Row:
        path, side = self._collection.path(name), SIDES[self._settings.protocol]
        frames, fps = self._length(path)
        if frames > MAX_FRAMES:
            raise Reject(Reason.TOO_LONG, f"{frames} frames at 25 fps, a clip of a test set has {MAX_FRAMES} at most")
        wave = self._wave(name, path)
        if wave is not None and fps is not None:
            _check_rate(frames, fps, len(wave))
        person = annotate(held(path, frames, fps), *self._nets)
        if person is None:
            raise Reject(Reason.NO_PERSON, "nobody is seen in it")
        points, scores, size = person
        sha256 = sequence.sha256_of(path) if path.is_dir() else sha256_of(path)
        return {
            "subject": name,
            "video_id": f"file:{sha256[:16]}",
            "speaker": speaker_of(name, self._settings.protocol),
            "film": str(path.resolve()),
            "film_sha256": sha256,
            "fps": fps,
            "frames": len(points),
            "side": side,
            "keypoints": onto_square(points, *size, side).reshape(len(points), -1),
            "scores": scores,
            "reference_frame": whole_body_frame(scores),
            "audio": None if wave is None else to_flac(cut(wave, 0, len(points))),
        }

    def _length(self, path: Path) -> tuple[int, float | None]:
        """Pictures on the 25-fps grid, and the rate of the frames where the clip does not say it, or says it wrong."""
        if path.is_dir():
            return sequence.grid_frames(
                len(sequence.frames_in(path)), self._settings.frames_fps
            ), self._settings.frames_fps
        about = probe(path)
        if self._settings.protocol == "ted" and not about.audio_streams and abs(about.source_fps - SAID_FPS) < 0.01:
            count = round(about.duration_seconds * SAID_FPS)
            return sequence.grid_frames(count, self._settings.frames_fps), self._settings.frames_fps
        return about.grid_frames, None

    def _wave(self, name: str, path: Path) -> np.ndarray | None:
        """(samples,) at 16 kHz: a video's own sound, or else that of the file of its name."""
        wave = None if path.is_dir() else read_wave(path)
        sound = self._collection.sound(name) if wave is None else None
        if sound is None:
            return wave
        try:
            return read_wave(sound)
        except Reject as reject:
            raise Reject(reject.reason, f"its sound, {sound.name}: {reject.detail}") from reject


def _check_rate(frames: int, fps: float, samples: int) -> None:
    """Raise Reject(LATE_SOUND) where pictures on the 25-fps grid and samples at 16 kHz cannot be of one clip."""
    shown, sounding = frames / FPS, samples / SAMPLE_RATE
    if abs(shown - sounding) > max(_UNLIKE_SECONDS, _UNLIKE_SHARE * shown):
        fits = f": {shown * fps / sounding:.4g} frames a second would fit (--frames-fps)" if sounding else ""
        raise Reject(
            Reason.LATE_SOUND, f"its frames last {shown:.2f} s at {fps:g} fps, its sound {sounding:.2f} s{fits}"
        )
