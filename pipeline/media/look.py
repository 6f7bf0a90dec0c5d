"""A look at a file: all its packets, some of its pictures, and how it is to be read."""

from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from pipeline.base.reasons import Reason, Reject
from pipeline.media.clock import Clock
from pipeline.media.frames import FrameSource
from pipeline.media.glances import Seen, first_frames, look_at_end, look_within
from pipeline.media.guard import Limits, audio_streams, open_container, picture_streams
from pipeline.media.pieces import PacketTimes, clock_of
from pipeline.media.reading import Reading
from pipeline.media.timeline import GridClock, Span, presentation_zero, read_packets, span_of
from pipeline.media.voice_track import voice_track

_MISSING_SECONDS = 0.25
_MISSING_SHARE = 0.01
_LEAST_FPS = 1.0
_MOST_FPS = 2000.0


class PacketScan:
    """One pass over all packets of an open file.

    Attributes:
        clock: how its times are mended.
        video, sound: what its best picture and sound streams span on the mended clock; None where there is nothing.
    """

    def __init__(self, container: Any, sound_track: int | None = None) -> None:
        self._container = container
        self.stream = next(iter(picture_streams(container)), None)
        self.sound_stream = next(iter(audio_streams(container, sound_track)), None)
        timed = [s for s in container.streams if s.type in ("video", "audio") and s.time_base]
        timed.sort(key=lambda s: (s is not self.stream, s is not self.sound_stream, s.index))
        times = {s.index: PacketTimes(s.index, s.time_base) for s in timed}
        self._in_order = False
        for order, packet in enumerate(read_packets(container, *timed)):
            self._in_order = packet.size == 0
            if packet.stream_index in times:  # others can turn up in broken files
                times[packet.stream_index].add(packet, order)
        self.clock = clock_of([times[s.index] for s in timed], presentation_zero(container))
        self.zero = presentation_zero(container, self.clock)
        self._times = list(times.values())
        spans = {index: self._span(kept, self.zero, self.clock) for index, kept in times.items()}
        self.video = spans.get(self.stream.index) if self.stream else None
        self.sound = spans.get(self.sound_stream.index) if self.sound_stream else None

    def _span(self, times: PacketTimes, zero: Fraction, clock: Clock) -> Span | None:
        return span_of(times, GridClock(zero, times.time_base), clock)

    def sound_start(self) -> float | None:
        """When the sound begins to be heard, seconds: priming samples (which have packets) do not count."""
        if self.sound_stream is None or self.sound is None:
            return None
        if self.sound_stream.start_time is None or not self.clock.runs_on:
            return float(self.sound.start)
        return float(self.sound_stream.start_time * self.sound_stream.time_base - self.zero)

    def truncated(self) -> bool:
        """Whether the file stops before what it declares, or in the middle of a packet."""
        if not self._in_order or any(times.corrupt for times in self._times if len(times.usable)):
            return True
        zero = presentation_zero(self._container)
        ends = [span.end for times in self._times if (span := self._span(times, zero, Clock()))]  # as it counts itself
        declared = (self._container.duration or 0) / av.time_base
        if self._container.format.name.startswith("matroska"):
            declared -= float(zero)  # it declares when it ends, on its own clock
        return declared - float(max(ends)) > max(_MISSING_SECONDS, _MISSING_SHARE * declared)

    def rate(self) -> tuple[float, bool]:
        """Mean frame rate, and whether more than 1 % of the steps (at least 2) are off the mean step.

        Raises:
            Reject: CORRUPT where pictures carry no usable time, or one that no camera keeps.
        """
        if self.video is None or self.stream is None:
            raise Reject(Reason.CORRUPT, "no picture packet carries a time")
        fps, variable = _rate(self.video, self.stream.time_base)
        if not _LEAST_FPS <= fps <= _MOST_FPS:
            raise Reject(Reason.CORRUPT, f"{fps:.3g} pictures a second: its clock is damaged, or it is no video")
        return fps, variable


def look(path: str | Path, limits: Limits | None = None, *, need_video: bool = True) -> Reading:
    """How a file is to be read: its packets are read, and some of its pictures and, of several sound tracks, their first minutes.

    Raises:
        Reject, Failure: what `open_container` raises.
    """
    limits = limits or Limits()
    with open_container(path, limits, need_video=need_video) as container:
        scan = PacketScan(container)
    reading = Reading(scan.clock, voice_track(path, limits, need_video=need_video))
    return replace(reading, combed=_combed(path, limits, reading, scan.video)) if need_video and scan.video else reading


def _combed(path: str | Path, limits: Limits, reading: Reading, video: Span) -> str | None:
    """Which of its pictures are to be deinterlaced, by the same glances as when it was probed."""
    seen = Seen()
    with closing(FrameSource(path, limits)) as source:
        seen.add(source, first_frames(source))
    look_within(path, limits, reading, float(video.end), seen)
    look_at_end(path, limits, reading, video.last_pts, seen)
    return seen.combing.rule


def _rate(video: Span, time_base: Fraction) -> tuple[float, bool]:
    steps = video.steps
    if not len(steps) or not steps.sum():
        return float(1 / (video.end - video.start)) if video.end > video.start else 0.0, False
    mean = int(steps.sum()) / len(steps)
    # Coarse clocks round steps by a tick either way.
    slack = 0.1 * mean + 1.01
    odd = int((abs(steps - mean) > slack).sum())
    return float(1 / (mean * float(time_base))), odd > max(1, 0.01 * len(steps))
