"""Makes the previews of a video."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from pipeline.base.arrays import Floats32, Picture
from pipeline.base.units import FPS, Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.moments import middle, spread
from pipeline.media.reading import Reading
from pipeline.skeleton.draw import draw
from stages.previews import pose
from stages.previews.chosen import draw_order, dropped_by_reason, nearness, picked
from stages.previews.film import Filmer, Source, Span, even_size
from stages.previews.paths import clip_path, loop_path, pose_path, strip_path
from stages.previews.pictures import resized, scene, side_by_side, skeleton_at
from stages.previews.settings import PreviewsSettings


class PreviewDrawer:
    """Makes what the report shows of a video: strips of pictures, small films with sound, skeletons."""

    def __init__(self, settings: PreviewsSettings, context: Context) -> None:
        self._settings, self._storage = settings, context.storage
        self._filmer = Filmer(settings, context)
        self._filmed: tuple[str, Span, Row] | None = None  # the last clip: several people may be dropped in one
        self._glimpsed: tuple[str, Span] | None = None  # likewise of those who are kept

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield a row for each person, clip or video that is shown."""
        video = unit.row("videos")
        heard = video if video["audio_codec"] else None
        source = Source(self._storage.local(video["path"]), Reading.of(video), heard, video)
        with self._filmer.glimpses():
            yield from self._persons(unit, source)
            yield from self._empty(unit, source)
        self._filmed = self._glimpsed = None

    def _persons(self, unit: Unit, source: Source) -> Iterator[Row]:
        clips = {row["clip_id"]: row for row in unit.rows("clips")}
        boxes = {row["person_id"]: row["crop_box"] for row in unit.rows("pose_measures")}
        samples = {row["person_id"]: row for row in unit.rows("samples")}
        people = self._people(unit)
        filmed = {person["clip_id"] for person in people if person["person_id"] not in samples}
        for person in people:
            clip, person_id = clips[person["clip_id"]], person["person_id"]
            span = self._span(source, clip["first_frame"], clip["frames"])
            if person_id in samples:
                span = self._seen(person["clip_id"], span, filmed=person["clip_id"] in filmed)
                yield from self._kept(unit.id, person, samples[person_id], span, boxes.get(person_id))
            else:
                yield from self._dropped(unit.id, person, span, boxes.get(person_id))

    def _empty(self, unit: Unit, source: Source) -> Iterator[Row]:
        """What is shown of clips without people, or of a video without clips."""
        clips = {row["clip_id"]: row for row in unit.rows("clips")}
        empty = sorted(set(clips) - {person["clip_id"] for person in unit.rows("persons")}, key=self._order)
        for clip_id in empty[: self._settings.dropped_a_video]:
            clip = clips[clip_id]
            yield from self._plain(unit.id, clip_id, self._span(source, clip["first_frame"], clip["frames"]))
        if not clips:
            yield from self._plain(unit.id, unit.id, self._span(source, 0, unit.row("videos")["grid_frames"] or 1))

    def _people(self, unit: Unit) -> list[Row]:
        """The kept ones, and a few of the dropped ones for each first reason; people of one clip follow each other."""
        verdicts = unit.rows("verdicts")
        shown = {row["person_id"] for row in verdicts if row["keep"]}
        count, share = self._settings.dropped_a_video, self._settings.nearest_share
        for dropped in dropped_by_reason(verdicts).values():
            candidates = ((row["person_id"], nearness(row)) for row in dropped)
            shown.update(picked(candidates, count, share, self._settings.seed))
        people = (row for row in unit.rows("persons") if row["person_id"] in shown)
        return sorted(people, key=lambda row: str(row["person_id"]))

    def _span(self, source: Source, first: int, frames: int) -> Span:
        return Span(source, first, frames, spread(frames, self._settings.strip_frames))

    def _kept(self, video_id: str, person: Row, sample: Row, span: Span, box: list[int] | None) -> Iterator[Row]:
        """A strip of the source; of the exported clip, which is played where it lies, a still and the skeleton."""
        for row in self._stripped(video_id, person["person_id"], span, person, box):
            still, size = self._still(sample)
            if still is None:
                yield row
            else:
                row |= self._save_picture("loop", loop_path(Path(row["path"])), still)
                yield row | self._save_pose(person["person_id"], _points(sample), _scores(sample), size)

    def _dropped(self, video_id: str, person: Row, span: Span, box: list[int] | None) -> Iterator[Row]:
        """A strip, the film of the clip, and the skeleton in the pixels of that film."""
        span, filmed = self._film(person["clip_id"], span)
        for row in self._stripped(video_id, person["person_id"], span, person, box):
            yield row | filmed | (self._pose_on_film(person, span, box) if filmed else {})

    def _plain(self, video_id: str, identity: str, span: Span) -> Iterator[Row]:
        """What holds nobody: a strip and a film."""
        span, filmed = self._film(identity, span)
        for row in self._stripped(video_id, identity, span):
            yield row | filmed

    def _seen(self, identity: str, span: Span, *, filmed: bool) -> Span:
        """The span with the pictures of its strip: those of the film where one is made of it, else read alone, once a clip."""
        if filmed and (found := self._film(identity, span))[1]:
            return found[0]
        if self._glimpsed is None or self._glimpsed[0] != identity:
            self._filmer.glimpse(span)
            self._glimpsed = identity, span
        return self._glimpsed[1]

    def _film(self, identity: str, span: Span) -> tuple[Span, Row]:
        """The span as it was read, with the pictures of its strip, and the columns of its film."""
        if self._filmed is not None and self._filmed[0] == identity:
            return self._filmed[1:]
        path = clip_path(identity).as_posix()
        made = self._filmer.write(path, span)
        row: Row = {} if made is None else {"clip": path, "clip_bytes": made[0], "clip_sha256": made[1]}
        if made is not None and span.frames > self._settings.clip_max_seconds * FPS:
            span.kept.clear()  # the strip goes on past the film's end
            self._filmer.glimpse(span)
        self._filmed = identity, span, row
        return span, row

    def _stripped(
        self, video_id: str, identity: str, span: Span, person: Row | None = None, box: list[int] | None = None
    ) -> Iterator[Row]:
        """The row of a strip, (strip_height_px, any, 3); none where no picture decodes."""
        height, tiles = self._settings.strip_height_px, []
        for offset, pixels in sorted(span.kept.items()):
            tiles.append(resized(scene(pixels, 2 * height, *skeleton_at(person, offset), box), height=height))
        if tiles:
            row: Row = {"preview_id": identity, "video_id": video_id, "tiles": len(tiles)}
            yield row | self._save_picture("path", strip_path(identity), side_by_side(tiles))

    def _still(self, sample: Row) -> tuple[Picture | None, tuple[int, int]]:
        """Pictures from the middle of an exported clip with its skeleton, side by side; and the clip's (width, height)."""
        step, frames = self._settings.loop_step_frames, len(sample["scores"])
        shown = (self._settings.loop_frames - 1) * step + 1
        first = middle(frames, shown)
        tiles, size = [], (0, 0)
        for number, pixels in enumerate(self._shown(sample, first, shown)):
            size = pixels.shape[1], pixels.shape[0]
            if number % step == 0:
                drawn = draw(*skeleton_at(sample, first + number), background=pixels)
                tiles.append(resized(drawn, height=self._settings.loop_side_px))
        return side_by_side(tiles, gap=0) if tiles else None, size

    def _shown(self, sample: Row, first: int, shown: int) -> Iterator[Picture]:
        """Pictures of an exported clip; a single one may have been kept."""
        told = {"video_id": sample["video_id"], "sha256": sample["video_sha256"]}
        clip = Source(self._storage.local(sample["video"]), seen=told)
        kept = self._filmer.still(clip, first, len(sample["scores"])) if shown == 1 else None
        if kept is not None:
            yield kept
        else:
            yield from (frame.pixels for frame in self._filmer.pictures(clip, first, shown))

    def _pose_on_film(self, person: Row, span: Span, box: list[int] | None) -> Row:
        """The columns of a dropped person's skeleton, as long as the film."""
        width, height = small = even_size(span.size, self._settings.clip_height_px)
        scale = np.array([width / span.size[0], height / span.size[1]], np.float32)
        frames = int(self._settings.clip_max_seconds * FPS)
        points = (_points(person)[:frames] + np.float32(0.5)) * scale - np.float32(0.5)
        corners = None if box is None else [float(edge * scale[i % 2]) for i, edge in enumerate(box)]
        return self._save_pose(person["person_id"], points, _scores(person)[:frames], small, corners)

    def _save_pose(
        self,
        person_id: str,
        points: Floats32,
        scores: Floats32,
        size: tuple[int, int],
        box: list[float] | None = None,
    ) -> Row:
        """Write a skeleton and return its columns; the page asks for it by the name of its file."""
        path = pose_path(person_id)
        return self._save("pose", path, pose.script(path.name.split(".")[0], points, scores, size, box))

    def _save_picture(self, column: str, path: Path, picture: Picture) -> Row:
        done, data = cv2.imencode(".webp", picture[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, self._settings.quality])
        if not done:
            raise RuntimeError(f"a picture of shape {picture.shape} could not be encoded")
        return self._save(column, path, data.tobytes())

    def _save(self, column: str, path: Path, data: bytes) -> Row:
        """Write a file; returns the columns that name it."""
        with self._storage.writing(path.as_posix()) as temporary:
            temporary.write_bytes(data)
        stem = "" if column == "path" else f"{column}_"
        return {column: path.as_posix(), f"{stem}bytes": len(data), f"{stem}sha256": hashlib.sha256(data).hexdigest()}

    def _order(self, identity: str) -> bytes:
        return draw_order(self._settings.seed, identity)


def _points(row: Row) -> Floats32:
    """(F, 133, 2) keypoints of a row of `persons` or `samples`."""
    return np.asarray(row["keypoints"], np.float32).reshape(len(row["scores"]), -1, 2)


def _scores(row: Row) -> Floats32:
    return np.asarray(row["scores"], np.float32)


open_worker = PreviewDrawer
