"""Draws the previews of a video."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2

from pipeline.base.arrays import Picture
from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.reading import AS_IT_STANDS, Reading
from pipeline.media.video import GridReader
from pipeline.skeleton.draw import draw
from stages.previews.paths import loop_path, strip_path
from stages.previews.pictures import resized, scene, side_by_side, skeleton_at
from stages.previews.settings import PreviewsSettings, draw_order

log = logging.getLogger(__name__)


class Source(NamedTuple):
    """A file, and how it is to be read."""

    path: Path
    reading: Reading = AS_IT_STANDS


class PreviewDrawer:
    """Opens a video once, and draws what is worth showing of it."""

    def __init__(self, settings: PreviewsSettings, context: Context) -> None:
        self._settings, self._storage, self._threads = settings, context.storage, context.threads

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield a row for each person, clip or video that is drawn."""
        video = unit.row("videos")
        source = Source(self._storage.local(video["path"]), Reading.of(video))
        clips = {row["clip_id"]: row for row in unit.rows("clips")}
        persons = unit.rows("persons")
        shown = [*self._people(unit, persons)]
        empty = sorted(set(clips) - {person["clip_id"] for person in persons}, key=self._order)
        boxes = {row["person_id"]: row["crop_box"] for row in unit.rows("pose_measures")}
        samples = {row["person_id"]: row for row in unit.rows("samples")}
        for person in shown:
            clip, sample = clips[person["clip_id"]], samples.get(person["person_id"])
            strip = self._strip(source, clip["first_frame"], clip["frames"], person, boxes.get(person["person_id"]))
            loop = self._loop(sample) if sample else None
            yield from self._written(unit.id, person["person_id"], strip, loop)
        for clip_id in empty[: self._settings.dropped_a_video]:
            clip = clips[clip_id]
            yield from self._written(unit.id, clip_id, self._strip(source, clip["first_frame"], clip["frames"]))
        if not clips:
            yield from self._written(unit.id, unit.id, self._strip(source, 0, video["grid_frames"] or 1))

    def _people(self, unit: Unit, persons: list[Row]) -> Iterator[Row]:
        """The kept ones, and a few of the dropped ones for each first reason."""
        verdicts = {row["person_id"]: row for row in unit.rows("verdicts")}
        taken: Counter[str] = Counter()
        for person in sorted(persons, key=lambda person: self._order(person["person_id"])):
            verdict = verdicts.get(person["person_id"])
            if verdict is None:
                continue
            reason = next(iter(verdict["reasons"] or ()), "")
            taken[reason] += not verdict["keep"]
            if verdict["keep"] or taken[reason] <= self._settings.dropped_a_video:
                yield person

    def _strip(
        self, source: Source, first: int, frames: int, person: Row | None = None, box: list[int] | None = None
    ) -> Picture | None:
        """Pictures of a clip side by side, (strip_height_px, any, 3); None when none of them decodes."""
        tiles = []
        for number in range(self._settings.strip_frames):
            offset = int((number + 0.5) * frames / self._settings.strip_frames)
            pixels = next(iter(self._pictures(source, first + offset, 1)), None)
            if pixels is not None:
                drawn = scene(pixels, 2 * self._settings.strip_height_px, *skeleton_at(person, offset), box)
                tiles.append(resized(drawn, height=self._settings.strip_height_px))
        return side_by_side(tiles) if tiles else None

    def _loop(self, sample: Row) -> Picture | None:
        """Pictures from the middle of an exported clip with its skeleton, side by side."""
        frames, step = len(sample["scores"]), self._settings.loop_step_frames
        shown = self._settings.loop_frames * step
        first = max(0, (frames - shown) // 2)
        tiles = []
        for number, pixels in enumerate(self._pictures(Source(self._storage.local(sample["video"])), first, shown)):
            if number % step == 0:
                drawn = draw(*skeleton_at(sample, first + number), background=pixels)
                tiles.append(resized(drawn, height=self._settings.loop_side_px))
        return side_by_side(tiles, gap=0) if tiles else None

    def _pictures(self, source: Source, first: int, frames: int) -> Iterator[Picture]:
        """Grid pictures; fewer, or none, when the file ends early or does not decode: a preview is not worth a failure."""
        try:
            with GridReader(source.path, first, frames, threads=self._threads, reading=source.reading) as reader:
                for frame in reader:
                    yield frame.pixels
        except (Reject, Failure) as error:
            if error.reason in (Reason.SOURCE_DISCARDED, Reason.SOURCE_MISSING):  # made when the source is back
                raise
            log.info("no picture of %s: %s", source.path.name, error)

    def _written(
        self, video_id: str, identity: str, strip: Picture | None, loop: Picture | None = None
    ) -> Iterator[Row]:
        if strip is None:
            return
        path = strip_path(identity)
        row: Row = {"preview_id": identity, "video_id": video_id, "path": path.as_posix()}
        row["bytes"], row["sha256"] = self._save(path, strip)
        if loop is not None:
            row["loop"] = loop_path(path).as_posix()
            row["loop_bytes"], row["loop_sha256"] = self._save(loop_path(path), loop)
        yield row

    def _save(self, path: Path, picture: Picture) -> tuple[int, str]:
        """Write a picture; returns its size in bytes and its sha256."""
        done, data = cv2.imencode(".webp", picture[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, self._settings.quality])
        if not done:
            raise RuntimeError(f"a picture of shape {picture.shape} could not be encoded")
        with self._storage.writing(path.as_posix()) as temporary:
            temporary.write_bytes(data.tobytes())
        return data.nbytes, hashlib.sha256(data.tobytes()).hexdigest()

    def _order(self, identity: str) -> bytes:
        return draw_order(self._settings.seed, identity)
