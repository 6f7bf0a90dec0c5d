"""Facts about a video file, measured from its packets and pictures instead of trusted from its header."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from pipeline.base.reasons import Reason, Reject
from pipeline.media.clock import Clock
from pipeline.media.frames import FrameSource
from pipeline.media.guard import Limits, open_container, picture_streams
from pipeline.media.look import PacketScan
from pipeline.media.picture import Geometry, geometry_of
from pipeline.media.reading import READER_VERSION, Reading
from pipeline.media.timeline import GridClock, read_packets

_LOOK_AT_FRAMES = 5
_LOOK_AT_PACKETS = 1000


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
    clock: str | None  # how its times are mended, as `Clock.text`; None where they run on
    reader_version: int

    @property
    def reading(self) -> Reading:
        """How the file is to be read."""
        return Reading(Clock.of(self.clock))


def probe(path: str | Path, limits: Limits | None = None) -> Probe:
    """Measure a video: reads all packets, decodes its first pictures and one near its end.

    Raises:
        Reject: what `open_container` raises; CORRUPT when nothing decodes; TOO_LONG by measured length.
        Failure: SOURCE_MISSING.
    """
    limits = limits or Limits()
    with open_container(path, limits) as container:
        scan = PacketScan(container)
        fps, variable = scan.rate()
        stream, video = scan.stream, scan.video
        assert stream is not None and video is not None, "there is no rate without them"
        grid_frames = max(GridClock(scan.zero, stream.time_base).first_picture(video.end_pts), 1)
        seconds = float(video.end)
        if seconds > limits.max_duration_seconds:
            raise Reject(Reason.TOO_LONG, f"{seconds:.0f} s, limit {limits.max_duration_seconds:.0f} s")
        context = scan.sound_stream.codec_context if scan.sound_stream else None
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
            "audio_end_seconds": float(scan.sound.end) if scan.sound else None,
            "video_codec": stream.codec_context.codec.canonical_name,
        }
        truncated, reading = scan.truncated(), Reading(scan.clock)
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
        truncated=truncated or not _end_decodes(path, limits, video.last_pts, reading),
        clock=reading.clock.text(),
        reader_version=READER_VERSION,
    )


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


def _end_decodes(path: str | Path, limits: Limits, last_pts: int, reading: Reading) -> bool:
    """Whether pictures of the last second decode (last_pts: ticks of the last picture packet)."""
    source = FrameSource(path, limits, reading=reading)
    try:
        wanted = max(source.clock.first_picture(last_pts), 0)
        decoded = [frame.pts for frame in source.frames_from(wanted) if frame.pts is not None][-1:]
        return bool(decoded) and (last_pts - decoded[0]) * source.clock.time_base < 1
    finally:
        source.close()
