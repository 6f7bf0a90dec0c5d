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
from pipeline.media.picture import geometry_of
from pipeline.media.reading import READER_VERSION, Reading
from pipeline.media.timeline import GridClock, read_packets
from pipeline.media.tone import MATRICES, TRANSFERS, is_hdr
from pipeline.media.voice_track import voice_track

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
    transfer: str | None  # of the first picture, as ffmpeg names it; None where it does not say
    matrix: str | None  # likewise
    bit_depth: int
    tone_mapped: bool | None  # some of the pictures looked at are HDR; None where none is
    clock: str | None  # how its times are mended, as `Clock.text`; None where they run on
    sound_track: int | None  # index of the stream with the voice; None for the default one
    reader_version: int

    @property
    def reading(self) -> Reading:
        """How the file is to be read."""
        return Reading(Clock.of(self.clock), self.sound_track)


def probe(path: str | Path, limits: Limits | None = None) -> Probe:
    """Measure a video: reads all packets, decodes its first pictures and one near its end.

    Raises:
        Reject: what `open_container` raises; CORRUPT when nothing decodes; TOO_LONG by measured length.
        Failure: SOURCE_MISSING.
    """
    limits = limits or Limits()
    track = voice_track(path, limits)
    with open_container(path, limits) as container:
        scan = PacketScan(container, track)
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
        truncated, reading = scan.truncated(), Reading(scan.clock, track)
    first, hdr = _first_pictures(path, limits)
    decodes, late_hdr = _end(path, limits, video.last_pts, reading)
    return Probe(
        **facts,
        **first,
        truncated=truncated or not decodes,
        tone_mapped=hdr or late_hdr or None,
        clock=reading.clock.text(),
        sound_track=reading.sound_track,
        reader_version=READER_VERSION,
    )


def _first_pictures(path: str | Path, limits: Limits) -> tuple[dict[str, Any], bool]:
    """What the first pictures of a freshly opened file say, and whether some of them are HDR."""
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
        geometry = geometry_of(source.stream, frames[0], limits)
        sizes = {"rotation_degrees": geometry.orientation.degrees}
        for name in ("width", "height", "coded_width", "coded_height", "sample_aspect"):
            sizes[name] = getattr(geometry, name)
        interlaced = any(frame.interlaced_frame for frame in frames[:_LOOK_AT_FRAMES])
        return {**sizes, "interlaced": interlaced, **_colours(frames[0])}, any(map(is_hdr, frames))
    finally:
        source.close()


def _colours(frame: Any) -> dict[str, Any]:
    return {
        "pixel_format": frame.format.name,
        "transfer": TRANSFERS.get(frame.color_trc),
        "matrix": MATRICES.get(frame.colorspace),
        "bit_depth": max((component.bits for component in frame.format.components), default=8),
    }


def _end(path: str | Path, limits: Limits, last_pts: int, reading: Reading) -> tuple[bool, bool]:
    """Whether pictures of the last second decode (last_pts: ticks of the last picture packet), and whether some are HDR."""
    source = FrameSource(path, limits, reading=reading)
    try:
        wanted, last, hdr = max(source.clock.first_picture(last_pts), 0), None, False
        for frame in source.frames_from(wanted):
            last, hdr = frame.pts if frame.pts is not None else last, hdr or is_hdr(frame)
        return last is not None and (last_pts - last) * source.clock.time_base < 1, hdr
    finally:
        source.close()
