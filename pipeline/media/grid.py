"""The frame grid: 25 pictures a second out of any video, the same for annotation and for export."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import numpy as np

from pipeline.base.pulse import beat
from pipeline.base.units import FPS
from pipeline.media.fit import Fitter
from pipeline.media.frames import FrameSource
from pipeline.media.guard import Limits
from pipeline.media.look import look
from pipeline.media.planes import PlaneCrop, PlaneFitter, is_plain
from pipeline.media.reading import Reading
from pipeline.media.timeline import last_step
from pipeline.media.writer import PLANES

Convert: TypeAlias = Callable[[Any], np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class GridFrame:
    """One picture of the grid.

    n: its number; its time is n/25 s. pixels: (H, W, 3) uint8 RGB, (H, W) uint8, or flat planes; repeated pictures share one array,
    so do not write into it. repeated: it shows the same source frame as picture n-1.
    """

    n: int
    pixels: np.ndarray
    repeated: bool


class GridReader:
    """Iterates over grid pictures [first_frame, first_frame + frames) of one video.

    Picture n is the last source frame with presentation time strictly before n/25 + 1/50 s; before the first frame it
    is the first frame, in gaps the one before the gap. Pictures are upright, in square pixels, deinterlaced. Broken
    frames are passed over; when the video ends early, so does the iteration. Memory does not grow with the length.

    Args:
        path: a local file.
        first_frame: the first grid picture wanted.
        frames: how many; None for all to the end.
        size: (width, height) to scale to; None for the display size.
        pixel_format: "rgb24", "gray" or "coarse", as of `Converter`.
        planes_of: where the file is coded as our clips are, pictures are this crop of them, as `PlaneFitter` gives it, else whole
            and RGB; `pixel_format` of the reader is "yuv420p" or "rgb24" from the first picture on.
        limits: bounds for the file.
        threads: decoder threads, 0 for as many as there are cores; never changes the pictures.
        reading: what a look at the file decided; None: it is looked at here, which reads all its packets.

    Raises:
        Reject, Failure: on entering, what `open_container` raises; ValueError for impossible arguments.
    """

    def __init__(
        self,
        path: str | Path,
        first_frame: int = 0,
        frames: int | None = None,
        *,
        size: tuple[int, int] | None = None,
        pixel_format: str = "rgb24",
        planes_of: PlaneCrop | None = None,
        limits: Limits | None = None,
        threads: int = 0,
        reading: Reading | None = None,
    ) -> None:
        if first_frame < 0 or (frames is not None and frames < 0):
            raise ValueError(f"first_frame {first_frame}, frames {frames}: not below 0")
        self._path = path
        self._first = first_frame
        self._limits = limits or Limits()
        longest = int(self._limits.max_duration_seconds * FPS)
        self._stop = min(longest, first_frame + frames) if frames is not None else longest
        if planes_of is not None and (size is not None or pixel_format != "rgb24"):
            raise ValueError("planes are neither scaled nor gray")
        self._size = size
        self._crop = planes_of
        self.pixel_format = pixel_format
        self._threads = threads
        self._reading = reading
        self._source: FrameSource | None = None
        self._pictures: Iterator[GridFrame] | None = None

    def __enter__(self) -> Self:
        reading = look(self._path, self._limits) if self._reading is None else self._reading
        self._source = FrameSource(self._path, self._limits, self._threads, reading)
        self._pictures = self._read(self._source)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pictures = None
        if self._source is not None:
            self._source.close()
            self._source = None

    def __iter__(self) -> Iterator[GridFrame]:
        if self._pictures is None:
            raise RuntimeError("use GridReader in a with statement")
        return self._pictures

    @property
    def coded_size(self) -> tuple[int, int]:
        """(width, height) as the file declares them, before anything is decoded; of our own clips those of the pictures, too."""
        if self._source is None:
            raise RuntimeError("use GridReader in a with statement")
        context = self._source.stream.codec_context
        return context.width, context.height

    def at(self, wanted: Iterable[int]) -> Iterator[GridFrame]:
        """Grid pictures of these numbers alone, in order; fewer where the video ends early.

        The file is opened once, however often this is called, and decoded on from one picture to the next unless a keyframe
        between them saves that. Iterating over the reader itself begins elsewhere: do one or the other.
        """
        if self._source is None:
            raise RuntimeError("use GridReader in a with statement")
        runs: list[list[int]] = []
        for n in sorted({*wanted}):
            if runs and not self._source.key_between(runs[-1][-1], n):
                runs[-1].append(n)
            else:
                runs.append([n])
        for run in runs:
            yield from self._picked(self._source, run)

    def _picked(self, source: FrameSource, wanted: list[int]) -> Iterator[GridFrame]:
        """Of the pictures that one stretch of decoding gives, those that are wanted; others are not converted."""
        convert: Convert | None = None
        for frame, begin, end in _shown(source, wanted[0], wanted[-1] + 1):
            convert = convert or self._fitter(source, frame)
            here = [n for n in wanted if begin <= n < end]
            if here:
                pixels = convert(frame)
            for n in here:
                beat(frames=1)
                yield GridFrame(n, pixels, n > begin)

    def _read(self, source: FrameSource) -> Iterator[GridFrame]:
        """Walk over (frame, first picture, picture after its last); convert only what is shown, and once."""
        convert: Convert | None = None
        for frame, begin, end in _shown(source, self._first, self._stop):
            convert = convert or self._fitter(source, frame)
            pixels = convert(frame)
            for n in range(max(begin, self._first), end):
                beat(frames=1)
                yield GridFrame(n, pixels, n > begin)

    def _fitter(self, source: FrameSource, frame: Any) -> Convert:
        """One size for all reads, even where the size changes on the way."""
        model = source.model or frame
        if self._crop is not None and is_plain(source, model, self._limits):
            self.pixel_format = PLANES
            return PlaneFitter(source, model, self._limits, self._crop)
        return Fitter(source, model, self._limits, self._size, self.pixel_format)


def _shown(source: FrameSource, first: int, stop: int) -> Iterator[tuple[Any, int, int]]:
    """Frames that are shown in pictures [first, stop): each with the range of pictures it fills."""
    if first >= stop:
        return
    first_picture = source.clock.first_picture
    held: Any = None
    begin = 0
    pts = step = 0
    for frame in source.frames_from(first):
        now = frame.pts if frame.pts is not None else (frame.dts if frame.dts is not None else pts + step)
        if held is None:
            # The first frame of the file also fills what comes before it.
            begin = 0 if source.from_start else max(first_picture(now), 0)
        elif now <= pts:
            continue  # time does not run backwards: a broken timestamp
        else:
            end = max(first_picture(now), 0)
            if end > max(begin, first):
                yield held, begin, min(end, stop)
            if end >= stop:
                return
            step = now - pts
            begin = max(begin, end)
        held, pts = frame, now
    if held is not None:
        end_pts = pts + last_step(held.duration or 0, step, source.clock.time_base)
        end = max(first_picture(end_pts), 1)
        if end > max(begin, first):
            yield held, begin, min(end, stop)
