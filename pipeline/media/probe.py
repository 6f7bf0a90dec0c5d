"""Facts about a video file, measured from its packets and pictures instead of trusted from its header."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from pipeline.base.reasons import Reason, Reject
from pipeline.media.frames import FrameSource
from pipeline.media.guard import Limits, audio_streams, open_container, picture_streams
from pipeline.media.picture import Geometry, geometry_of
from pipeline.media.timeline import GridClock, Span, SpanMeter, presentation_zero, read_packets

_LOOK_AT_FRAMES = 5
_LOOK_AT_PACKETS = 1000
_MISSING_SECONDS = 0.25
_MISSING_SHARE = 0.01


@dataclass(frozen=True)
class Probe:
    """Facts about one video. Times are presentation seconds; sizes are pixels."""

    container: str
    bytes: int
    duration_seconds: float  # to the end of the last picture
    grid_frames: int  # pictures of the 25-fps grid; a broken stream may yield fewer
    width: int  # upright, square pixels
    height: int
    coded_width: int
    coded_height: int
    rotation_degrees: int  # clockwise, already applied to width and height
    sample_aspect: Fraction
    interlaced: bool
    source_fps: float
    variable_rate: bool
    video_codec: str
    pixel_format: str
    video_streams: int
    audio_streams: int
    audio_codec: str | None
    audio_sample_rate: int | None
    audio_channels: int | None
    audio_start_seconds: float | None
    audio_end_seconds: float | None
    truncated: bool  # ends before what its container declares, or in the middle of a picture


def probe(path: str | Path, limits: Limits | None = None) -> Probe:
    """Measure a video: reads all packets, decodes its first pictures and one near its end.

    Raises:
        Reject: what `open_container` raises; CORRUPT when nothing decodes; TOO_LONG by measured length.
        Failure: SOURCE_MISSING.
    """
    limits = limits or Limits()
    with open_container(path, limits) as container:
        scan = _Scan(container)
        stream, video = scan.stream, scan.video
        if video is None:
            raise Reject(Reason.CORRUPT, "no picture packet carries a time")
        grid_frames = max(scan.clock.first_picture(video.end_pts), 1)
        seconds = float(video.end)
        if seconds > limits.max_duration_seconds:
            raise Reject(Reason.TOO_LONG, f"{seconds:.0f} s, limit {limits.max_duration_seconds:.0f} s")
        fps, variable = _rate(video, scan.clock.time_base)
        sound = scan.sound
        context = sound.codec_context if sound else None
        facts: dict[str, Any] = {
            "container": container.format.name,
            "bytes": container.size,
            "duration_seconds": seconds,
            "grid_frames": grid_frames,
            "source_fps": fps,
            "variable_rate": variable,
            "video_streams": len(picture_streams(container)),
            "audio_streams": len(container.streams.audio),
            "audio_codec": context.codec.canonical_name if context else None,
            "audio_sample_rate": context.sample_rate if context else None,
            "audio_channels": context.channels if context else None,
            "audio_start_seconds": scan.sound_start(),
            "audio_end_seconds": float(scan.sound_span.end) if scan.sound_span else None,
            "video_codec": stream.codec_context.codec.canonical_name,
        }
        truncated = scan.truncated()
    geometry, interlaced, pixel_format = _first_pictures(path, limits)
    return Probe(
        **facts,
        width=geometry.width,
        height=geometry.height,
        coded_width=geometry.coded_width,
        coded_height=geometry.coded_height,
        rotation_degrees=geometry.orientation.degrees,
        sample_aspect=geometry.sample_aspect,
        interlaced=interlaced,
        pixel_format=pixel_format,
        truncated=truncated or not _end_decodes(path, limits, video.last_pts),
    )


class _Scan:
    """One pass over all packets of the file, nothing decoded."""

    def __init__(self, container: Any) -> None:
        self._container = container
        self.zero = presentation_zero(container)
        self.stream = picture_streams(container)[0]
        self.clock = GridClock(self.zero, self.stream.time_base)
        self.sound = next(iter(audio_streams(container)), None)
        timed = [s for s in container.streams if s.type in ("video", "audio") and s.time_base]
        meters = {s.index: SpanMeter(GridClock(self.zero, s.time_base)) for s in timed}
        self._in_order = False
        for packet in read_packets(container, *timed):
            self._in_order = packet.size == 0
            if packet.stream_index in meters:  # others can turn up in broken files
                meters[packet.stream_index].add(packet)
        spans = {index: meter.span() for index, meter in meters.items()}
        self.video = spans[self.stream.index]
        self.sound_span = spans[self.sound.index] if self.sound else None
        self._spans = [span for span in spans.values() if span]

    def sound_start(self) -> float | None:
        """When the sound begins to be heard: priming samples (which have packets) do not count."""
        if self.sound is None or self.sound_span is None:
            return None
        if self.sound.start_time is None:
            return float(self.sound_span.start)
        return float(self.sound.start_time * self.sound.time_base - self.zero)

    def truncated(self) -> bool:
        """Whether the file stops before what it declares, or in the middle of a packet."""
        if not self._in_order or any(span.corrupt for span in self._spans):
            return True
        declared = (self._container.duration or 0) / av.time_base
        measured = float(max(span.end for span in self._spans))
        return declared - measured > max(_MISSING_SECONDS, _MISSING_SHARE * declared)


def _rate(video: Span, time_base: Fraction) -> tuple[float, bool]:
    """Mean frame rate, and whether more than 1 % of the steps (at least 2) are off the mean step."""
    steps = video.steps
    if not steps or not sum(steps):
        return float(1 / (video.end - video.start)) if video.end > video.start else 0.0, False
    mean = sum(steps) / len(steps)
    # Coarse clocks round steps by a tick either way.
    slack = 0.1 * mean + 1.01
    odd = sum(abs(step - mean) > slack for step in steps)
    return float(1 / (mean * float(time_base))), odd > max(1, 0.01 * len(steps))


def _first_pictures(path: str | Path, limits: Limits) -> tuple[Geometry, bool, str]:
    """Decode the first pictures of a freshly opened file."""
    source = FrameSource(path, limits)
    try:
        frames: list[Any] = []
        for number, packet in enumerate(read_packets(source.container, source.stream)):
            try:
                frames += source.stream.codec_context.decode(packet if packet.size else None)
            except av.FFmpegError:
                continue
            finally:
                enough = len(frames) >= _LOOK_AT_FRAMES or number > _LOOK_AT_PACKETS
            if enough:
                break
        if not frames:
            raise Reject(Reason.CORRUPT, f"no picture decodes ({source.stream.codec_context.name})")
        first = frames[0]
        interlaced = any(frame.interlaced_frame for frame in frames[:_LOOK_AT_FRAMES])
        return geometry_of(source.stream, first, limits), interlaced, first.format.name
    finally:
        source.close()


def _end_decodes(path: str | Path, limits: Limits, last_pts: int) -> bool:
    """Whether pictures of the last second decode (last_pts: ticks of the last picture packet)."""
    source = FrameSource(path, limits)
    try:
        wanted = max(source.clock.first_picture(last_pts), 0)
        decoded = [frame.pts for frame in source.frames_from(wanted) if frame.pts is not None][-1:]
        return bool(decoded) and (last_pts - decoded[0]) * source.clock.time_base < 1
    finally:
        source.close()
