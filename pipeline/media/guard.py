"""The guard against untrusted files: none is opened before it passes here."""

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from pipeline.base.files import tombstone_of
from pipeline.base.ids import ClipId, PersonId, check_clip_id, check_person_id, check_url, disk_name, safe_video_id
from pipeline.base.reasons import Failure, Reason, Reject

__all__ = [
    "AUDIO_CODECS",
    "VIDEO_CODECS",
    "ClipId",
    "Limits",
    "PersonId",
    "audio_streams",
    "check_clip_id",
    "check_person_id",
    "check_url",
    "disk_name",
    "open_container",
    "picture_streams",
    "safe_video_id",
]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Demuxers that read one file and nothing else. Playlists (hls, dash, concat, imf) and raw or text formats, which
# almost any bytes can be taken for, stay out.
DEMUXERS = ("mov", "mp4", "matroska", "webm", "mpegts", "mpeg", "avi", "flv", "asf", "ogg", "wav", "flac")

VIDEO_CODECS = _names(
    "h264 hevc vp8 vp9 libvpx-vp9 av1 libdav1d libaom-av1 mpeg1video mpeg2video mpegvideo mpeg4 msmpeg4 msmpeg4v1 msmpeg4v2 "
    "h263 h263p flv theora wmv1 wmv2 wmv3 vc1 mjpeg prores dnxhd ffv1 png rawvideo"
)
AUDIO_CODECS = _names(
    "aac aac_latm mp3 mp3float mp2 mp2float mp1 mp1float opus libopus vorbis flac alac ac3 eac3 wmav1 wmav2 wmapro amrnb amrwb "
    "libopencore_amrnb libopencore_amrwb pcm_s16le pcm_s16be pcm_s24le pcm_s24be pcm_s32le pcm_s32be pcm_u8 pcm_s8 "
    "pcm_f32le pcm_f32be pcm_f64le pcm_alaw pcm_mulaw pcm_dvd pcm_bluray adpcm_ms adpcm_ima_wav"
)

_OPEN_SECONDS = 60.0
_GUESSED = "mpeg"  # MPEG-TS and -PS declare no length: ffmpeg guesses it from their first and last times
_PATIENT = {"analyzeduration": str(60_000_000), "probesize": str(200 << 20)}  # microseconds, bytes
_STILLS = ("mjpeg", "png")
_COVER = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_SOUND_MAGIC = (
    (b"FORM", ("aiff",)),
    (b"caff", ("caf",)),
    (b"#!AMR", ("amr",)),
    (b"\x0bw", ("ac3", "eac3")),
    (b".snd", ("au",)),
    (b"riff", ("w64",)),
)
_MAGIC = (
    (0, b"\x1aE\xdf\xa3"),
    (0, b"RIFF"),
    (0, b"\x00\x00\x01\xba"),
    (0, b"FLV\x01"),
    (0, b"OggS"),
    (4, b"ftyp"),
    (4, b"moov"),
)


@dataclass(frozen=True)
class Limits:
    """Limits on what an untrusted file may take of this machine."""

    max_pixels: int = 8192 * 4320  # of one picture, coded or displayed
    max_duration_seconds: float = 6 * 3600.0
    max_streams: int = 32
    max_bytes: int = 64 << 30


def open_container(path: str | Path, limits: Limits | None = None, *, need_video: bool = True) -> Any:
    """An open av.container.InputContainer over one local file that passed every check.

    Args:
        path: a regular file; URLs and names that begin with `-` are refused.
        limits: bounds on what it may hold.
        need_video: refuse files without a picture stream (cover art does not count).

    Raises:
        Reject: BAD_LINK, EMPTY_FILE, NOT_MEDIA, CORRUPT, NO_VIDEO, UNKNOWN_CODEC, TOO_LARGE, TOO_LONG, TOO_MANY_STREAMS.
        Failure: SOURCE_MISSING when there is no such file, SOURCE_DISCARDED when it was freed on purpose.
    """
    limits = limits or Limits()
    local = _check_path(path, limits)
    head = _head(local)
    _refuse_text(head)
    try:
        container = _open(local, _options(limits, () if need_video else _sound_demuxers(head)))
    except (av.FFmpegError, ValueError, UnicodeError) as error:
        raise _unreadable(head, error) from error
    try:
        _check_container(container, limits)
        if need_video and _starts_late(container):
            container.close()
            container = _open(local, _options(limits) | _PATIENT)
            _check_container(container, limits)
        if need_video:
            _check_video(container, local, limits)
    except BaseException:
        container.close()
        raise
    return container


def picture_streams(container: Any) -> list[Any]:
    """The video streams that are moving pictures, best first: those with a decoder, films before thumbnails, default ones."""
    streams = [s for s in container.streams.video if not s.disposition & _COVER]
    order = lambda s: (not _decodable(s), _thumbnails(s), not s.disposition & Disposition.default, s.index)  # noqa: E731
    return sorted(streams, key=order)


def _thumbnails(stream: Any) -> bool:
    """Whether a stream looks like pictures of chapters or a preview, where a film is beside it."""
    rate = stream.average_rate
    return (rate is not None and 0 < rate < 1) or stream.codec_context is None or stream.codec_context.name in _STILLS


def audio_streams(container: Any, chosen: int | None = None) -> list[Any]:
    """The audio streams that can be decoded, best first: the chosen one, default ones, then in file order."""
    streams = [
        s for s in container.streams.audio if s.codec_context is not None and s.codec_context.name in AUDIO_CODECS
    ]
    return sorted(streams, key=lambda s: (s.index != chosen, not s.disposition & Disposition.default, s.index))


def _starts_late(container: Any) -> bool:
    """Whether its first seconds held no picture, so that nothing is known of those to come."""
    streams = picture_streams(container)
    guessed = container.format.name.startswith(_GUESSED)
    return guessed and bool(streams) and _decodable(streams[0]) and not streams[0].codec_context.width


def _decodable(stream: Any) -> bool:
    return stream.codec_context is not None and stream.codec_context.name in VIDEO_CODECS


def _open(local: Path, options: dict[str, str]) -> Any:
    # `file:` keeps ffmpeg from reading a protocol out of the name.
    return av.open(
        f"file:{local}",
        mode="r",
        options=options,
        metadata_errors="replace",
        timeout=(_OPEN_SECONDS, _OPEN_SECONDS),
    )


def _sound_demuxers(head: bytes) -> tuple[str, ...]:
    """What may read sound beside `DEMUXERS`, by how the file begins: the demuxers of bare streams take noise for theirs."""
    if head[:1] == b"\xff" and head[1:2] >= b"\xe0":
        return ("aac",) if head[1] & 0xF6 == 0xF0 else ("mp3",)
    if head.startswith(b"ID3"):  # either may follow
        return "mp3", "aac"
    return next((names for magic, names in _SOUND_MAGIC if head.startswith(magic)), ())


def _options(limits: Limits, more: tuple[str, ...] = ()) -> dict[str, str]:
    return {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join((*DEMUXERS, *more)),
        "codec_whitelist": ",".join(sorted(VIDEO_CODECS | AUDIO_CODECS)),
        "max_streams": str(limits.max_streams + 1),  # one more, so that too many can be told from unreadable
        "max_pixels": _decoder_pixels(limits),
        "enable_drefs": "0",
    }


def _decoder_pixels(limits: Limits) -> str:
    # Decoders count their padding too; what they hand out is checked again against the limit itself.
    return str(limits.max_pixels + limits.max_pixels // 4 + 65536)


def _check_path(path: str | Path, limits: Limits) -> Path:
    text = str(path)
    if text.startswith("-") or "://" in text or "\0" in text:
        raise Reject(Reason.BAD_LINK, f"not a local file: {text[:80]!r}")
    local = Path(text).absolute()
    try:
        status = local.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _missing(local) from error
    except OSError as error:
        raise Failure(Reason.SOURCE_MISSING, f"{local.name}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise Reject(Reason.NOT_MEDIA, f"{local.name} is not a regular file")
    if status.st_size == 0:
        raise Reject(Reason.EMPTY_FILE, "0 bytes")
    if status.st_size > limits.max_bytes:
        raise Reject(Reason.TOO_LARGE, f"{status.st_size} bytes, limit {limits.max_bytes}")
    return local


def _missing(path: Path) -> Failure:
    if tombstone_of(path).is_file():
        return Failure(Reason.SOURCE_DISCARDED, f"{path.name}: {Reason.SOURCE_DISCARDED.sentence}")
    return Failure(Reason.SOURCE_MISSING, f"no file {path.name}")


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(1024)
    except FileNotFoundError as error:
        raise _missing(path) from error
    except OSError as error:
        raise Failure(Reason.SOURCE_MISSING, f"{path.name}: {error.strerror}") from error


def _refuse_text(head: bytes) -> None:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n\0")[:512].lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<mpd", b"<script", b"<!--")):
        raise Reject(Reason.NOT_MEDIA, "a web page or XML document, not a video")
    if start.startswith((b"#extm3u", b"ffconcat", b"[playlist]", b"v=0")):
        raise Reject(Reason.NOT_MEDIA, "a playlist, not a video")


def _unreadable(head: bytes, error: Exception) -> Reject:
    known = any(head[at : at + len(magic)] == magic for at, magic in _MAGIC)
    detail = f"{type(error).__name__}: {getattr(error, 'strerror', None) or 'unreadable'}"
    if known:
        return Reject(Reason.CORRUPT, f"the container cannot be read ({detail})")
    return Reject(Reason.NOT_MEDIA, f"no video container recognised ({detail})")


def _check_container(container: Any, limits: Limits) -> None:
    count = len(container.streams)
    if count > limits.max_streams:
        raise Reject(Reason.TOO_MANY_STREAMS, f"more than {limits.max_streams} streams")
    if count == 0:
        raise Reject(Reason.NOT_MEDIA, "no streams")
    seconds = _declared_seconds(container)
    if seconds > limits.max_duration_seconds:
        raise Reject(Reason.TOO_LONG, f"{seconds:.0f} s declared, limit {limits.max_duration_seconds:.0f} s")


def _declared_seconds(container: Any) -> float:
    """The length of the pictures, else of the whole file; 0 where nothing declares one: what is read is measured as well."""
    if container.format.name.startswith(_GUESSED):
        return 0.0
    pictures = next(iter(picture_streams(container)), None)
    if pictures is not None and pictures.duration and pictures.time_base:
        return float(pictures.duration * pictures.time_base)
    return float((container.duration or 0) / av.time_base)


def _check_video(container: Any, local: Path, limits: Limits) -> None:
    streams = picture_streams(container)
    if not streams:
        raise Reject(Reason.NO_VIDEO, "no picture stream besides cover art")
    context = streams[0].codec_context
    if not _decodable(streams[0]):
        raise Reject(Reason.UNKNOWN_CODEC, f"codec {context.name if context else 'unknown'}")
    # The probing decoder wipes a size that it is not allowed to decode.
    width, height = (
        (context.width, context.height) if context.width else _declared_size(local, streams[0].index, limits)
    )
    if width * height > limits.max_pixels:
        raise Reject(Reason.TOO_LARGE, f"{width}x{height} pixels, limit {limits.max_pixels}")
    if context.width <= 0 or context.height <= 0:
        raise Reject(Reason.CORRUPT, "the picture size cannot be read")
    context.options = {**context.options, "max_pixels": _decoder_pixels(limits)}


def _declared_size(local: Path, index: int, limits: Limits) -> tuple[int, int]:
    """The picture size that the header claims, read with every decoder forbidden; (0, 0) when it claims none."""
    try:
        with _open(local, _options(limits) | {"codec_whitelist": "none"}) as container:
            context = container.streams[index].codec_context
            return context.width, context.height
    except (av.FFmpegError, ValueError, IndexError):
        return 0, 0
