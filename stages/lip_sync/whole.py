"""Measures clips by the whole pipeline of syncnet-python, and finds out of whom its faces are."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from pipeline.base.arrays import Floats32, Floats64, Picture
from pipeline.base.units import SAMPLE_RATE, Row
from pipeline.engine.decoded import sound_tracks
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.reading import Reading
from pipeline.media.video import GridFrame, GridReader, write_video
from pipeline.nets.pose.yolox import iou
from pipeline.nets.syncnet import WINDOW, samples_of
from pipeline.nets.syncnet.whole import FaceFound, WholePipeline
from stages.lip_sync.faces import Face

SAME_FACE_IOU = 0.3  # mean over the frames that show both: neighbours do not touch, detectors differ by a margin
LOSSLESS = {"qp": 0, "preset": "ultrafast"}  # the pipeline codes the film anew, and once is enough


class WholeMeasurer:
    """Measures films of clips, cut out of their videos.

    Args:
        context: where videos lie, and how many threads decode.
        pipeline: finds faces, and compares them with the sound.
    """

    def __init__(self, context: Context, pipeline: WholePipeline) -> None:
        self._context, self._pipeline = context, pipeline
        self._tracks = sound_tracks(context)

    def measured(self, unit: Unit, faces: list[Face]) -> dict[int, Row]:
        """person -> measures of the longest face that the pipeline tracked on it."""
        with tempfile.TemporaryDirectory(prefix="csg405-syncnet-") as place:
            folder = Path(place)
            wave = self._sound(unit)
            if wave is None or not self._write(unit, folder / "clip.mp4", wave):
                return {}
            wavfile.write(folder / "clip.wav", SAMPLE_RATE, samples_of(wave))
            work = folder / "work"
            work.mkdir()
            found = self._pipeline.faces(folder / "clip.mp4", folder / "clip.wav", work)
        return {face.person: measures_of(best) for face in faces if (best := face_of(face, found)) is not None}

    def _sound(self, unit: Unit) -> Floats32 | None:
        """The clip's sound, (frames x 640,); None where the video has none that decodes."""
        clip = unit.row("clips")
        return self._tracks.piece(unit.row("videos"), clip["first_frame"], clip["frames"])

    def _write(self, unit: Unit, path: Path, wave: Floats32) -> bool:
        """Write the clip as a film; False where no picture decodes."""
        clip, video = unit.row("clips"), unit.row("videos")
        source, threads = self._context.storage.local(video["path"]), self._context.threads
        first, frames = clip["first_frame"], clip["frames"]
        with GridReader(source, first, frames, threads=threads, reading=Reading.of(video)) as reader:
            pictures = whole_pictures(reader, first)
            opening = next(pictures, None)
            if opening is None:
                return False
            size = opening.shape[1], opening.shape[0]
            write_video(path, chain([opening], pictures), wave, size=size, pixel_format="yuv444p", options=LOSSLESS)
        return True


def whole_pictures(reader: Iterable[GridFrame], first: int) -> Iterator[Picture]:
    """Every picture of the clip; one that does not decode is that after it, as with the crops."""
    shown = 0
    for picture in reader:
        while shown <= picture.n - first:
            yield picture.pixels
            shown += 1


def face_of(face: Face, found: Sequence[FaceFound]) -> FaceFound | None:
    """The face that the pipeline tracked longest on a person's; None where it tracked none."""
    same = [one for one in found if mean_iou(face, one) >= SAME_FACE_IOU]
    return max(same, key=lambda one: len(one.frames), default=None)


def mean_iou(face: Face, found: FaceFound) -> float:
    """Mean overlap, 0..1, of both faces' squares over the frames that show both."""
    track = face.track
    shown = found.frames < len(track.seen)
    at, boxes = found.frames[shown], found.boxes[shown]
    both = track.seen[at]
    if not both.any():
        return 0.0
    at, boxes = at[both], boxes[both]
    ours = squares(track.x[at], track.y[at], track.half[at])
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(1) / 2
    return float(np.diagonal(iou(ours, squares(middle[:, 0], middle[:, 1], half))).mean())


def squares(x: Floats64, y: Floats64, half: Floats64) -> Floats64:
    """(n, 4) boxes of squares around middles."""
    return np.stack([x - half, y - half, x + half, y + half], 1)


def measures_of(found: FaceFound) -> Row:
    """Columns of `lip_syncs`; nothing is repaired."""
    return {
        "lip_offset_frames": found.offset,
        "lip_confidence": found.confidence,
        "lip_distance": found.distance,
        "lip_frames": max(0, len(found.frames) - WINDOW),
        "sound_shift_frames": None,
        "lip_offset_left_frames": float(abs(found.offset)),
    }
