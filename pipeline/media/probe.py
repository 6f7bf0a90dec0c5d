"""Facts about a video file, measured from its packets and pictures instead of trusted from its header."""

from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from pipeline.base.reasons import Reason, Reject
from pipeline.media.clock import Clock
from pipeline.media.combing import PROGRESSIVE
from pipeline.media.frames import FrameSource
from pipeline.media.glances import Seen, first_frames, look_at_end, look_within
from pipeline.media.guard import Limits, open_container, picture_streams
from pipeline.media.look import PacketScan
from pipeline.media.picture import geometry_of
from pipeline.media.readers import READER_VERSION
from pipeline.media.reading import Reading
from pipeline.media.timeline import GridClock
from pipeline.media.tone import MATRICES, TRANSFERS
from pipeline.media.voice_track import voice_track


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
    combed: str | None  # which pictures are deinterlaced, as `Combing.rule`; None for those whose flags say so
    combed_share: float | None  # of the moving pictures looked at; None where nothing moves
    sample_aspects: str | None  # shapes of pixels in the order seen, where they change on the way
    clock: str | None  # how its times are mended, as `Clock.text`; None where they run on
    sound_track: int | None  # index of the stream with the voice; None for the default one
    reader_version: int

    @property
    def reading(self) -> Reading:
        """How the file is to be read."""
        return Reading(Clock.of(self.clock), self.sound_track, self.combed)


def probe(path: str | Path, limits: Limits | None = None) -> Probe:
    """Measure a video: reads all packets, decodes its first pictures, its last ones, and some between them.

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
    seen = Seen()
    first = _first_pictures(path, limits, seen)
    look_within(path, limits, reading, seconds, seen)
    decodes = look_at_end(path, limits, reading, video.last_pts, seen)
    combing = seen.combing
    return Probe(
        **facts,
        **first,
        interlaced=seen.flagged if combing.rule is None else combing.rule != PROGRESSIVE,
        truncated=truncated or not decodes,
        tone_mapped=seen.hdr or None,
        combed=combing.rule,
        combed_share=combing.share,
        sample_aspects=seen.aspects_text(),
        clock=reading.clock.text(),
        sound_track=reading.sound_track,
        reader_version=READER_VERSION,
    )


def _first_pictures(path: str | Path, limits: Limits, seen: Seen) -> dict[str, Any]:
    """What the first pictures of a freshly opened file say."""
    with closing(FrameSource(path, limits)) as source:
        frames = first_frames(source)
        if not frames:
            raise Reject(Reason.CORRUPT, f"no picture decodes ({source.stream.codec_context.name})")
        seen.add(source, frames)
        geometry = geometry_of(source.stream, frames[0], limits)
        sizes = {"rotation_degrees": geometry.orientation.degrees}
        for name in ("width", "height", "coded_width", "coded_height", "sample_aspect"):
            sizes[name] = getattr(geometry, name)
        return {**sizes, **_colours(frames[0])}


def _colours(frame: Any) -> dict[str, Any]:
    return {
        "pixel_format": frame.format.name,
        "transfer": TRANSFERS.get(frame.color_trc),
        "matrix": MATRICES.get(frame.colorspace),
        "bit_depth": max((component.bits for component in frame.format.components), default=8),
    }
