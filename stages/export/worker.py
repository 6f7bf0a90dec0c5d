"""Exports kept speakers: pictures streamed from decoder to encoder, the skeleton refined in the pixels of the crop."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice

import numpy as np

from pipeline.base.arrays import Floats32, Picture
from pipeline.base.hashes import sha256_of
from pipeline.base.reasons import Reason, Reject
from pipeline.base.units import Box, Row
from pipeline.engine.decoded import sound_tracks
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.ahead import reading_ahead
from pipeline.media.audio import to_flac
from pipeline.media.guard import disk_name
from pipeline.media.planes import PlaneCrop
from pipeline.media.reading import Reading
from pipeline.media.video import GridFrame, GridReader, write_clip
from pipeline.media.writer import PLANES
from pipeline.skeleton.crop import LEFT_CHROMA, first_chroma, square
from pipeline.skeleton.crop import cut as cut_rgb
from pipeline.skeleton.refine import refine
from stages.export.settings import ExportSettings

FOLDER = "clips"
AHEAD_PICTURES = 4  # decoded while others are cut and encoded


class ExportWorker:
    """Turns kept persons into rows of `samples`, each with a clip in the storage.

    Args:
        settings: of the stage.
        context: where videos and clips lie, and how many threads decode.
    """

    def __init__(self, settings: ExportSettings, context: Context) -> None:
        self._settings, self._context, self._tracks = settings, context, sound_tracks(context)

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the person's sample. Raises Reject: NOT_MEASURED, CROP_TOO_SMALL, CORRUPT. What `write_clip` raises."""
        settings = self._settings
        verdict, person, frames = unit.row("verdicts"), unit.row("persons"), unit.row("clips")["frames"]
        box = crop_of(unit, settings)
        scores = np.asarray(person["scores"], np.float32)
        points = np.asarray(person["keypoints"], np.float32).reshape(frames, -1, 2)
        smoothing = None if person.get("smoothed") else settings.smoothing  # released poses came smoothed
        refined = refine(points, scores, box, settings.side_px, smoothing)
        sound = self.sound(unit)
        key = key_of(verdict["person_id"])
        size_bytes, sha256 = self._write(key, unit, box, sound)
        yield {
            **{name: verdict[name] for name in ("person_id", "clip_id", "video_id")},
            "frames": frames,
            "crop_box": list(box),
            "keypoints": refined.keypoints.reshape(frames, -1),
            "scores": scores,
            "local": refined.local.reshape(frames, -1),
            "neck": refined.neck,
            "video": key,
            "video_sha256": sha256,
            "video_bytes": size_bytes,
            "audio": None if sound is None else to_flac(sound),
        }

    def sound(self, unit: Unit) -> Floats32 | None:
        """The clip's sound (frames x 640,) at 16 kHz, moved as `lip_sync` repaired it; None without a track."""
        clip, video = unit.row("clips"), unit.row("videos")
        if not video["audio_codec"]:
            return None
        shifts = [row["sound_shift_frames"] or 0 for row in unit.rows("lip_syncs")]  # frames later
        first = clip["first_frame"] - (shifts[0] if shifts else 0)
        return self._tracks.piece(video, first, clip["frames"])

    def _write(self, key: str, unit: Unit, box: Box, sound: Floats32 | None) -> tuple[int, str]:
        """Stream the pictures from decoder to encoder; returns the file's size in bytes and its sha256."""
        settings, storage = self._settings, self._context.storage
        clip, video = unit.row("clips"), unit.row("videos")
        first, frames = clip["first_frame"], clip["frames"]
        source, reading = storage.local(video["path"]), Reading.of(video)
        wanted = PlaneCrop(box, settings.side_px) if keeps_planes(box, settings.side_px) else None
        reader = GridReader(source, first, frames, threads=self._context.threads, reading=reading, planes_of=wanted)
        with (
            storage.writing(key) as target,
            reader,
            reading_ahead(reader, AHEAD_PICTURES) as pictures,
        ):
            opening = list(islice(pictures, 1))  # with it the reader knows how the file is coded
            planes = reader.pixel_format == PLANES
            cut = None if planes else partial(cut_rgb, box=box, side=settings.side_px)
            write_clip(
                target,
                crops(chain(opening, pictures), first, frames, cut, settings.max_missing_share),
                sound,
                size=(settings.side_px, settings.side_px),
                crf=settings.crf,
                preset=settings.preset,
                threads=settings.encoder_threads,
                planes=planes,
            )
            return target.stat().st_size, sha256_of(target)


def key_of(person_id: str) -> str:
    """The storage key of a person's clip; a folder holds 1/256 of them."""
    name = disk_name(person_id)
    return f"{FOLDER}/{name[-10:-8]}/{name}.mp4"  # the name ends with ten hex digits of the id's hash


def crop_of(unit: Unit, settings: ExportSettings) -> Box:
    """The crop that was judged. Raises Reject: NOT_MEASURED, CROP_TOO_SMALL."""
    boxes = [row["crop_box"] for row in unit.rows("pose_measures") if row["crop_box"] is not None]
    if not boxes:
        raise Reject(Reason.NOT_MEASURED, "there is no crop: nothing of the upper body is seen")
    x1, y1, x2, y2 = (int(value) for value in boxes[0])
    left, _, right, _ = square((x1, y1, x2, y2))
    limit = settings.max_upscale
    if limit is not None and settings.side_px > limit * (right - left):
        raise Reject(Reason.CROP_TOO_SMALL, f"crop side {right - left} px, enlarged over {limit:g} times")
    return x1, y1, x2, y2


def keeps_planes(box: Box, side: int) -> bool:
    """Whether a crop may stay in the planes of its file.

    Of an odd number of pixels the chroma is half a sample wider, which scaling would take for its width; and a crop that is not
    scaled is copied, wherever its chroma lies.
    """
    left, _, right, _ = square(box)
    even = (right - left) % 2 == 0
    return even and (right - left != side or first_chroma(box) == LEFT_CHROMA)


def crops(
    reader: Iterable[GridFrame],
    first: int,
    frames: int,
    cut: Callable[[Picture], Picture] | None,
    max_missing_share: float,
) -> Iterator[Picture]:
    """Exactly `frames` crops; where the file ends early the last one stays. Without `cut` pictures are cut already.

    Raises:
        Reject: CORRUPT when more than this share of the pictures is missing.
    """
    crop: Picture | None = None
    shown = 0
    for frame in reader:
        if crop is None or not frame.repeated:
            crop = cut(frame.pixels) if cut else frame.pixels
        while shown <= frame.n - first:
            yield crop
            shown += 1
    missing = frames - shown
    if crop is None or missing > max_missing_share * frames:
        raise Reject(Reason.CORRUPT, f"{missing} of {frames} pictures do not decode")
    for _ in range(missing):
        yield crop


open_worker = ExportWorker
