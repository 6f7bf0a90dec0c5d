"""Decoded source frames in presentation order, from the start of a file or from a point within it."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.stream import Discard

from pipeline.base.reasons import Reason, Reject
from pipeline.base.units import FPS
from pipeline.media.deinterlacing import deinterlace, needs_the_one_before
from pipeline.media.guard import Limits, open_container, picture_streams
from pipeline.media.reading import AS_IT_STANDS, Reading
from pipeline.media.timeline import GridClock, presentation_zero, read_packets

# Containers whose index or timestamps let a seek be trusted. In the others (AVI, MPEG-PS, ASF, Ogg) timestamps after a
# seek are guesses, so they are decoded from their start.
_SEEKABLE = ("mov", "matroska", "mpegts", "flv")
_STEP_BACK_SECONDS = (0, 1, 5)
_MOST_HELD = 5000  # packets without a keyframe among them, then decoding begins with what there is
_GLANCE_PACKETS = 1000  # of a broken stream, then there is nothing to see
_NEAR_START = 25  # grid pictures; a seek would gain nothing


class _Count:
    frames = 0


_count = _Count()


def decoded_frames() -> int:
    """How many frames this process had decoded so far, with those that nobody was shown: what reading pictures costs."""
    return _count.frames


class FrameSource:
    """The best picture stream of one file as a stream of decoded frames; close it when done.

    Args:
        path: a local file.
        limits: bounds for the file.
        threads: decoder threads, 0 for as many as there are cores.
        reading: what a look at the file decided.

    Raises:
        Reject, Failure: what `open_container` raises.
    """

    def __init__(self, path: str | Path, limits: Limits, threads: int = 0, reading: Reading = AS_IT_STANDS) -> None:
        self._path = path
        self._reading = reading
        self._limits = limits
        self._threads = threads
        self.from_start = True  # whether the frames handed out begin with the file's first
        self.model: Any = None  # after a seek: the file's first frame, which the others are laid out like
        self._begun, self._opening = False, None
        self._open()

    def _open(self) -> None:
        self.container = open_container(self._path, self._limits)
        self.stream = picture_streams(self.container)[0]
        self.clock = GridClock(presentation_zero(self.container, self._reading.clock), self.stream.time_base)
        self.aspect = self.stream.codec_context.sample_aspect_ratio  # as the coded stream begins
        declared = self.stream.sample_aspect_ratio
        # A container may name an aspect of its own, which counts then.
        self._trusted = not declared or declared == self.aspect
        self.stream.thread_type = "AUTO"
        if self._threads:
            self.stream.codec_context.thread_count = self._threads
        for other in self.container.streams:
            if other.index != self.stream.index:
                other.discard = Discard.all

    @property
    def combed(self) -> str | None:
        """Which pictures are deinterlaced, as a `Reading` says."""
        return self._reading.combed

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def frames(self) -> Iterator[Any]:
        """All frames from the start, deinterlaced; call it on a source that has not been read yet."""
        return self._deinterlaced(self._decode(self._packets()))

    def near(self, picture: int) -> Iterator[Any]:
        """Frames from some keyframe near a grid picture on, not deinterlaced: to glance at, as seeks may miss."""
        return self.frames_from(picture) if self._reading.clock.turns else self._seek(picture, _GLANCE_PACKETS)

    def aspect_of(self, frame: Any) -> Fraction | None:
        """The shape of a frame's pixels, where it is not that of the first's."""
        return frame.opaque if self._trusted and isinstance(frame.opaque, Fraction) else None

    def _packets(self) -> Iterator[Any]:
        return read_packets(self.container, self.stream, clock=self._reading.clock)

    def frames_from(self, picture: int) -> Iterator[Any]:
        """Frames from the one shown in this grid picture, or an earlier one; the caller skips what is too early.

        A seek is proven by the first frame that comes out of it: one that lands late is repeated from further back,
        and at last the file is decoded from its start. It may be called again, which ends what it gave before.
        """
        seeks, again = picture > _NEAR_START and self._can_seek, self._begun
        self._begun, self.from_start, self.model = True, True, None
        if again and (not seeks or self._opening is None):
            self._open_again()
        if picture > _NEAR_START and self._reading.clock.turns:
            return self._walk_to(picture)
        if seeks:
            if self._opening is None:
                self._opening = next(self._decode(read_packets(self.container, self.stream)), None)
            self.model = self._opening
            for back in _STEP_BACK_SECONDS:
                decoded = self._seek(picture - round(back * FPS))
                first = next(decoded, None)
                if first is not None and self._early_enough(first, picture):
                    self.from_start = self.stream.start_time is not None and first.pts <= self.stream.start_time
                    return self._deinterlaced(_chain([first], decoded))
            self._open_again()
        return self.frames()

    def key_between(self, picture: int, later: int) -> bool:
        """Whether a keyframe lies between two grid pictures, by the file's index: then a seek to the later one saves decoding."""
        if not self._can_seek or later <= _NEAR_START:
            return False
        search = self.stream.index_entries.search_timestamp
        before, after = (search(self.clock.ticks(each), backward=True) for each in (picture, later))
        return bool(0 <= before != after)

    @property
    def _can_seek(self) -> bool:
        return not self._reading.clock.turns and self.container.format.name.startswith(_SEEKABLE)

    def _open_again(self) -> None:
        self.close()
        self._open()

    def _walk_to(self, picture: int) -> Iterator[Any]:
        """Frames from the last keyframe before this picture: no time of such a file can be sought, but packets are read fast."""
        packets, held = self._packets(), list[Any]()
        for packet in packets:
            early = packet.pts is not None and self.clock.first_picture(packet.pts) < picture
            if packet.is_keyframe and packet.size and early:
                self.from_start, held = self.from_start and not held, []
            held.append(packet)
            late = packet.dts is not None and self.clock.first_picture(packet.dts) > picture
            if late or len(held) > _MOST_HELD:
                break
        if self.from_start:
            return self._deinterlaced(self._decode(_chain(held, packets)))
        with closing(FrameSource(self._path, self._limits, self._threads)) as start:
            self.model = next(start._decode(start._packets()), None)
        return self._deinterlaced(self._decode_from_key(_chain(held, packets)))

    def _early_enough(self, first: Any, picture: int) -> bool:
        if first.pts is None:
            return False
        shown = self.clock.first_picture(first.pts)
        return shown < picture if needs_the_one_before(first, self._reading.combed) else shown <= picture

    def _deinterlaced(self, frames: Iterator[Any]) -> Iterator[Any]:
        return deinterlace(frames, self.stream.time_base, self._reading.combed)

    def _seek(self, picture: int, most: int | None = None) -> Iterator[Any]:
        try:
            self.container.seek(self.clock.ticks(max(picture, 0)), stream=self.stream, backward=True)
        except av.FFmpegError:
            return iter(())
        return self._decode_from_key(islice(read_packets(self.container, self.stream), most))

    def _decode_from_key(self, packets: Iterator[Any]) -> Iterator[Any]:
        """Frames from the first keyframe on, without those that reference anything before it."""
        key = next((p for p in packets if p.is_keyframe and p.size and p.pts is not None), None)
        if key is None:
            return
        for frame in self._decode(_chain([key], packets)):
            if frame.pts is not None and frame.pts >= key.pts:
                yield frame

    def _decode(self, packets: Iterator[Any]) -> Iterator[Any]:
        """Decoded frames; packets that do not decode are skipped."""
        flushed, aspect = False, self.aspect
        context = self.stream.codec_context
        for packet in packets:
            flushed = packet.size == 0
            try:
                decoded = context.decode(packet if packet.size else None)
            except av.FFmpegError:
                continue
            _count.frames += len(decoded)
            for frame in decoded:
                if frame.key_frame:  # decoders that delay pictures know of a change too early
                    aspect = context.sample_aspect_ratio
                if aspect != self.aspect:
                    frame.opaque = Fraction(aspect or 1)  # of its pixels; PyAV asks for an object of its own
            yield from self._within_limits(decoded)
        if not flushed:
            try:
                decoded = context.decode(None)
            except av.FFmpegError:
                return
            _count.frames += len(decoded)
            yield from self._within_limits(decoded)

    def _within_limits(self, decoded: list[Any]) -> list[Any]:
        for frame in decoded:
            if frame.width * frame.height > self._limits.max_pixels:
                raise Reject(Reason.TOO_LARGE, f"{frame.width}x{frame.height} pixels inside the stream")
        return decoded


def _chain(first: Iterable[Any], rest: Iterator[Any]) -> Iterator[Any]:
    yield from first
    yield from rest
