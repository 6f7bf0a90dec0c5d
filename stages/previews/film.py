"""Small films of what was dropped, with the sound that was measured: picture and sound stand as the stages saw them."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from pipeline.base.arrays import Floats32, Picture
from pipeline.base.hashes import sha256_of
from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.units import FPS, Row
from pipeline.engine.decoded import sound_tracks
from pipeline.engine.decoded_pictures import pictures
from pipeline.engine.stage import Context
from pipeline.media.moments import STILL, STRIP
from pipeline.media.reading import AS_IT_STANDS, Reading
from pipeline.media.video import GridFrame, GridReader, write_video
from stages.previews.pictures import resized_to
from stages.previews.settings import PreviewsSettings

log = logging.getLogger(__name__)
_PRESET = "veryfast"


@dataclass(frozen=True)
class Source:
    """A file, and how it is to be read.

    Attributes:
        path: of the file.
        reading: as its row of `videos` says.
        heard: that row, by which its sound is found; None where it is silent.
        seen: the row by which what was kept of its pictures is found: `video_id`, `sha256`, and how it is read.
    """

    path: Path
    reading: Reading = AS_IT_STANDS
    heard: Row | None = None
    seen: Row = field(default_factory=dict)


@dataclass
class Span:
    """Grid pictures [first, first + frames) of a source, and those of them that were asked for.

    Attributes:
        wanted: offsets from `first` whose pictures are kept.
        kept: offset -> picture at full size, (H, W, 3).
        size: (width, height) of the pictures; (0, 0) before one was read.
    """

    source: Source
    first: int
    frames: int
    wanted: tuple[int, ...] = ()
    kept: dict[int, Picture] = field(default_factory=dict)
    size: tuple[int, int] = (0, 0)

    def note(self, frame: GridFrame) -> None:
        """Remember what is wanted of a picture."""
        self.size = (frame.pixels.shape[1], frame.pixels.shape[0])
        if frame.n - self.first in self.wanted:
            self.kept[frame.n - self.first] = frame.pixels


class Filmer:
    """Reads spans of videos, and writes them as small mp4s.

    Args:
        settings: of the stage.
        context: where the films lie, and how many threads decode.
    """

    def __init__(self, settings: PreviewsSettings, context: Context) -> None:
        self._settings, self._storage, self._threads = settings, context.storage, context.threads
        self._tracks, self._kept = sound_tracks(context), pictures(context)
        self._open: tuple[Source, GridReader] | None = None
        self._closing = ExitStack()

    @contextmanager
    def glimpses(self) -> Iterator[None]:
        """Keep a file open between glimpses of it, until the block ends."""
        try:
            yield
        finally:
            self._open = None
            self._closing.close()

    def glimpse(self, span: Span) -> None:
        """Read the wanted pictures of a span alone; those that `annotate` kept are not decoded."""
        if self._found(span):
            return
        try:
            for frame in self._reader(span.source).at(span.first + offset for offset in span.wanted):
                span.note(frame)
        except (Reject, Failure) as error:
            _unless_source_is_gone(error)
            log.info("no picture of %s: %s", span.source.path.name, error)

    def _found(self, span: Span) -> bool:
        """Whether the wanted pictures were all kept, of those that decode; the span has them then."""
        kept = self._kept.get(STRIP, span.source.seen, span.first, span.frames)
        if kept is None:
            return False
        there = {offset: kept.whole(offset) for offset in span.wanted if offset < kept.pictures}
        whole = {offset: picture for offset, picture in there.items() if picture is not None}
        if len(whole) < len(there):
            return False
        span.kept.update(whole)
        span.size = kept.size if whole else span.size
        return True

    def still(self, source: Source, first: int, frames: int) -> Picture | None:
        """One picture of an exported clip where `attributes` kept it; None where it did not.

        Args:
            source: the clip.
            first: its picture's number.
            frames: of the clip.
        """
        kept = self._kept.get(STILL, source.seen, 0, frames)
        return None if kept is None else kept.whole(first)

    def _reader(self, source: Source) -> GridReader:
        """A reader of a file, the one from before where it is the same."""
        if self._open is None or self._open[0] is not source:
            self._open = None
            self._closing.close()
            reader = GridReader(source.path, threads=self._threads, reading=source.reading)
            self._open = source, self._closing.enter_context(reader)
        return self._open[1]

    def pictures(self, source: Source, first: int, frames: int) -> Iterator[GridFrame]:
        """Grid pictures; fewer, or none, when the file ends early or does not decode: a preview is not worth a failure."""
        try:
            with GridReader(source.path, first, frames, threads=self._threads, reading=source.reading) as reader:
                yield from reader
        except (Reject, Failure) as error:
            _unless_source_is_gone(error)
            log.info("no picture of %s: %s", source.path.name, error)

    def write(self, key: str, span: Span) -> tuple[int, str] | None:
        """Film a span, at most `clip_max_seconds` of it; the file's size in bytes and sha256, None where nothing decodes."""
        frames = min(span.frames, int(self._settings.clip_max_seconds * FPS))
        read = self.pictures(span.source, span.first, frames)
        begin = next(read, None)
        if begin is None:
            return None
        span.note(begin)
        size = even_size(span.size, self._settings.clip_height_px)
        with self._storage.writing(key) as target:
            write_video(
                target,
                _small(chain([begin], read), span, frames, size),
                self._sound(span, frames),
                size=size,
                options=self._options(),
            )
            return target.stat().st_size, sha256_of(target)

    def _options(self) -> dict[str, Any]:
        settings = self._settings
        rate = {"maxrate": f"{settings.clip_max_kbps}k", "bufsize": f"{2 * settings.clip_max_kbps}k"}
        return {"crf": settings.clip_crf, "preset": _PRESET, "b:a": "48k", **rate}

    def _sound(self, span: Span, frames: int) -> Floats32 | None:
        """(frames x 640,) at 16 kHz, as `measure_sound` heard it; None without a track that decodes."""
        if span.source.heard is None:
            return None
        try:
            return self._tracks.piece(span.source.heard, span.first, frames)
        except (Reject, Failure) as error:
            _unless_source_is_gone(error)
            log.info("no sound of %s: %s", span.source.path.name, error)
            return None


def even_size(picture: tuple[int, int], height: int) -> tuple[int, int]:
    """(width, height), both even, of a film of pictures of this (width, height): as high as asked, never enlarged."""
    tall = max(2, min(height, picture[1]) // 2 * 2)
    return max(2, round(picture[0] * tall / picture[1] / 2) * 2), tall


def _small(read: Iterator[GridFrame], span: Span, frames: int, size: tuple[int, int]) -> Iterator[Picture]:
    """Exactly `frames` pictures of this size; one that is missing shows the one before it."""
    small: Picture | None = None
    shown = 0
    for frame in read:
        span.note(frame)
        if small is None or not frame.repeated:
            small = resized_to(frame.pixels, size)
        while shown <= frame.n - span.first:
            yield small
            shown += 1
    for _ in range(frames - shown if small is not None else 0):
        assert small is not None
        yield small


def _unless_source_is_gone(error: Reject | Failure) -> None:
    """Raise what another try mends: the preview is made when the source is back."""
    if error.reason in (Reason.SOURCE_DISCARDED, Reason.SOURCE_MISSING):
        raise error
