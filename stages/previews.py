"""Small pictures for the report: what was kept with its skeleton drawn, and a sample of what was dropped."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from pipeline.base import files
from pipeline.base.arrays import Picture
from pipeline.base.ids import disk_name
from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.units import KEYPOINTS, Row
from pipeline.engine.settings import runtime
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.engine.unit import Unit

if TYPE_CHECKING:
    from pipeline.tables.store import Store

log = logging.getLogger(__name__)

FOLDER = "previews"
LOOP = ".loop.webp"  # beside a kept person's strip: the exported clip, with its skeleton, as a row of pictures


class Previews(Stage):
    """A contact strip a person, clip or video; for a kept person also a row of pictures of the exported clip.

    A unit is a video, so that a file is opened once; which videos are worth it is drawn by a seeded hash: those with kept
    people, and as many others as give each reason its share of pictures.
    """

    name: ClassVar[str] = "previews"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "small pictures of what was kept, and of a sample of what was dropped"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("videos", ("path", "sha256", "grid_frames")),
        Reads("clips", ("clip_id", "first_frame", "frames")),
        Reads("persons", ("clip_id", "keypoints", "scores")),
        Reads("pose_measures", ("crop_box",)),
        Reads("verdicts", ("keep", "reasons")),
        Reads("samples", ("video", "video_sha256", "keypoints", "scores")),
    )
    writes: ClassVar[str] = "previews"
    unit: ClassVar[str] = "video_id"
    resources: ClassVar[Resources] = Resources(seconds=900)

    dropped_a_reason: int = Field(
        200,
        ge=0,
        description="dropped people, clips or videos that are drawn for each reason, about",
        json_schema_extra=runtime(),  # decides which videos are drawn, not what a drawing looks like
    )
    dropped_a_video: int = Field(4, ge=0, description="dropped people of one video that are drawn for each reason")
    seed: int = Field(0, description="another number draws others")
    strip_frames: int = Field(4, ge=1, le=12, description="pictures in a strip, spread evenly over the clip")
    strip_height_px: int = Field(216, ge=32, le=1080, description="height of a strip, pixels")
    loop_frames: int = Field(10, ge=1, le=24, description="pictures of the exported clip, in a row")
    loop_step_frames: int = Field(5, ge=1, le=25, description="from one of them to the next, frames at 25 fps")
    loop_side_px: int = Field(256, ge=32, le=512, description="their width and height, pixels")
    quality: int = Field(72, ge=1, le=100, description="of the WebP files")

    _run: Path = PrivateAttr(default=Path())
    _threads: int = PrivateAttr(default=1)

    def setup(self, context: Context) -> None:
        self._run, self._threads = context.run, context.threads

    def choose(self, store: "Store", units: list[str]) -> list[str]:
        """The videos that hold something to show, among `units`."""
        chosen: set[str] = set()
        waiting: dict[str, Counter[str]] = defaultdict(Counter)  # reason -> dropped ones of each video
        for row in store.read("verdicts", ["video_id", "keep", "reasons"]).to_pylist():
            if row["keep"]:
                chosen.add(row["video_id"])
            else:
                waiting[next(iter(row["reasons"] or ()), "")][row["video_id"]] += 1
        for kind in ("clips", "persons"):
            for row in store.outcomes(kind).select(["unit", "status", "reason"]).to_pylist():
                if row["status"] == "rejected":
                    waiting[row["reason"]][row["unit"].split("/")[0]] += 1
        for videos in waiting.values():
            shown = 0
            for video in sorted(videos, key=self._draw):
                if shown >= self.dropped_a_reason:
                    break
                chosen.add(video)
                shown += min(videos[video], self.dropped_a_video)
        return [unit for unit in units if unit in chosen]

    def _draw(self, identity: str) -> bytes:
        return blake2b(f"{self.seed}:{identity}".encode(), digest_size=8).digest()

    def process(self, unit: Unit) -> Iterator[Row]:
        video = unit.row("videos")
        source = self._run / video["path"]
        clips = {row["clip_id"]: row for row in unit.rows("clips")}
        persons = unit.rows("persons")
        shown = [*self._people(unit, persons)]
        empty = sorted(set(clips) - {person["clip_id"] for person in persons}, key=self._draw)[: self.dropped_a_video]
        boxes = {row["person_id"]: row["crop_box"] for row in unit.rows("pose_measures")}
        samples = {row["person_id"]: row for row in unit.rows("samples")}
        for person in shown:
            clip, sample = clips[person["clip_id"]], samples.get(person["person_id"])
            strip = self._strip(source, clip["first_frame"], clip["frames"], person, boxes.get(person["person_id"]))
            loop = self._loop(sample) if sample else None
            yield from self._written(unit.id, person["person_id"], strip, loop)
        for clip_id in empty:
            clip = clips[clip_id]
            yield from self._written(unit.id, clip_id, self._strip(source, clip["first_frame"], clip["frames"]))
        if not clips:
            yield from self._written(unit.id, unit.id, self._strip(source, 0, video["grid_frames"] or 1))

    def _people(self, unit: Unit, persons: list[Row]) -> Iterator[Row]:
        """The kept ones, and a few of the dropped ones for each first reason."""
        verdicts = {row["person_id"]: row for row in unit.rows("verdicts")}
        taken: Counter[str] = Counter()
        for person in sorted(persons, key=lambda person: self._draw(person["person_id"])):
            verdict = verdicts.get(person["person_id"])
            if verdict is None:
                continue
            reason = next(iter(verdict["reasons"] or ()), "")
            taken[reason] += not verdict["keep"]
            if verdict["keep"] or taken[reason] <= self.dropped_a_video:
                yield person

    def _strip(
        self, source: Path, first: int, frames: int, person: Row | None = None, box: list[int] | None = None
    ) -> Picture | None:
        """Pictures of a clip side by side, (strip_height_px, any, 3); None when none of them decodes."""
        tiles = []
        for number in range(self.strip_frames):
            offset = int((number + 0.5) * frames / self.strip_frames)
            pixels = next(iter(self._pictures(source, first + offset, 1)), None)
            if pixels is not None:
                drawn = _scene(pixels, 2 * self.strip_height_px, *_skeleton(person, offset), box)
                tiles.append(_resized(drawn, height=self.strip_height_px))
        return _row(tiles) if tiles else None

    def _loop(self, sample: Row) -> Picture | None:
        """Pictures from the middle of an exported clip with its skeleton, side by side."""
        from pipeline.skeleton.draw import draw

        frames, step = len(sample["scores"]), self.loop_step_frames
        first = max(0, (frames - self.loop_frames * step) // 2)
        tiles = []
        for number, pixels in enumerate(self._pictures(self._run / sample["video"], first, self.loop_frames * step)):
            if number % step == 0:
                drawn = draw(*_skeleton(sample, first + number), background=pixels)
                tiles.append(_resized(drawn, height=self.loop_side_px))
        return _row(tiles, gap=0) if tiles else None

    def _pictures(self, source: Path, first: int, frames: int) -> Iterator[Picture]:
        """Grid pictures; fewer, or none, when the file ends early or does not decode: a preview is not worth a failure."""
        from pipeline.media.video import GridReader

        try:
            with GridReader(source, first, frames, threads=self._threads) as reader:
                for frame in reader:
                    yield frame.pixels
        except (Reject, Failure) as error:
            if error.reason is Reason.SOURCE_DISCARDED:  # counted, and made when the source is back
                raise
            log.info("no picture of %s: %s", source.name, error)

    def _written(
        self, video_id: str, identity: str, strip: Picture | None, loop: Picture | None = None
    ) -> Iterator[Row]:
        if strip is None:
            return
        path = strip_path(identity)
        self._save(path, strip)
        if loop is not None:
            self._save(loop_path(path), loop)
        yield {"preview_id": identity, "video_id": video_id, "path": path.as_posix()}

    def _save(self, path: Path, picture: Picture) -> None:
        import cv2

        done, data = cv2.imencode(".webp", picture[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, self.quality])
        if not done:
            raise RuntimeError(f"a picture of shape {picture.shape} could not be encoded")
        with files.replacing(self._run / path) as temporary:
            temporary.write_bytes(data.tobytes())

    def finish(self, context: Context, store: "Store") -> None:
        """Remove pictures that no row names."""
        strips = [Path(path) for path in store.read("previews", ["path"])["path"].to_pylist()]
        named = {path.name for path in strips} | {loop_path(path).name for path in strips}
        for path in (context.run / FOLDER).glob("*/*.webp"):
            if path.name not in named:
                path.unlink()


def strip_path(identity: str) -> Path:
    """Where the strip of a person, clip or video lies, relative to the run folder; ValueError-free for valid ids."""
    name = disk_name(identity)
    return Path(FOLDER, name[-2:], f"{name}.webp")


def loop_path(strip: Path) -> Path:
    """The row of pictures that belongs to a kept person's strip."""
    return strip.with_name(strip.name.removesuffix(".webp") + LOOP)


def _skeleton(row: Row | None, frame: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(133, 2) keypoints and (133,) scores of a frame; nothing seen where there is no row or no such frame."""
    if row is None or frame >= len(row["scores"]):
        return np.full((KEYPOINTS, 2), np.nan, np.float32), np.zeros(KEYPOINTS, np.float32)
    return np.asarray(row["keypoints"][frame]).reshape(-1, 2), np.asarray(row["scores"][frame])


def _scene(
    pixels: Picture, height: int, points: NDArray[np.float32], scores: NDArray[np.float32], box: list[int] | None
) -> Picture:
    """A picture scaled to `height` with the skeleton, dimmed outside the crop box, whose edge is drawn."""
    import cv2

    from pipeline.skeleton.draw import draw

    scale = height / pixels.shape[0]
    small = _resized(pixels, height=height)
    if box is not None:
        x1, y1, x2, y2 = (round(value * scale) for value in box)
        inside = np.zeros(small.shape[:2], bool)
        inside[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = True
        small = np.where(inside[..., None], small, (small * 0.45).astype(np.uint8))
        cv2.rectangle(small, (x1, y1), (x2 - 1, y2 - 1), (255, 255, 255), 2)
    return draw((points + 0.5) * scale - 0.5, scores, background=small)


def _resized(picture: Picture, height: int) -> Picture:
    import cv2

    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    how = cv2.INTER_AREA if height < picture.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=how), np.uint8)


def _row(tiles: list[Picture], gap: int = 4) -> Picture:
    """Pictures of one height side by side, a dark gap between them."""
    space = np.full((tiles[0].shape[0], gap, 3), 24, np.uint8)
    parts = [part for tile in tiles for part in (space, tile)][1:]
    return np.concatenate(parts, axis=1)


if __name__ == "__main__":
    from pipeline.cli.main import stage_main

    stage_main("previews")
