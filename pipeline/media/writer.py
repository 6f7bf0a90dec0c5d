"""Writes clips: raw pictures through a pipe into the ffmpeg binary, whole files or none."""

import contextlib
import errno
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg
import imageio_ffmpeg
import numpy as np
import soundfile

from pipeline.base.files import failure_of
from pipeline.base.reasons import Failure, Reason
from pipeline.base.units import FPS, SAMPLE_RATE

PLANES = "yuv420p"  # the layout of pictures that come in the planes that they are coded in
VIDEO_CODEC, AUDIO_CODEC = "libx264", "aac"  # of clips; ffmpeg has to have them
_STDERR_KEPT = 2000
_PIPE_BYTES = (
    1 << 20
)  # a whole picture of 512 x 512 at once, not a dozen turns; where the system has no such pipe, its own
# The number of x264 threads changes its bytes, so "automatic" must not follow the machine.
_FIXED_THREADS = 4
_TAGGED = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
_TO_BT709 = "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int+bitexact," + _TAGGED


class WriteError(RuntimeError):
    """Raised when ffmpeg rejects its input or crashes; the message ends with its output."""


def ffmpeg_exe() -> str:
    """The ffmpeg binary: `$CSG405_FFMPEG` when set, else the one that imageio-ffmpeg carries."""
    chosen = os.environ.get("CSG405_FFMPEG")
    if chosen:
        return chosen

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def write_clip(
    path: str | Path,
    pictures: Iterable[np.ndarray],
    sound: np.ndarray | None,
    *,
    size: tuple[int, int],
    crf: int = 18,
    preset: str = "medium",
    threads: int = 0,
    deadline_seconds: float = 600,
    planes: bool = False,
) -> None:
    """Write an mp4 (H.264 yuv420p BT.709, AAC) at 25 pictures a second; equal input gives equal bytes.

    Args:
        path: the target; written beside it, fsynced and renamed.
        pictures: (H, W, 3) uint8 RGB arrays.
        sound: (samples,) float32 mono at 16 kHz in -1..1, or None; its first sample is heard with the first picture.
        size: (width, height) of the pictures, both even.
        crf: x264's quality, lower is better.
        preset: x264's speed.
        threads: x264's threads; part of the input as far as bytes go. 0 stands for 4 on every machine.
        deadline_seconds: after that long ffmpeg is killed.
        planes: pictures come as flat uint8 arrays in BT.709 4:2:0 of limited range: luma, then both planes of chroma, which lies on
            the left column.

    Raises:
        Failure: DISK_FULL; NOT_WRITABLE; TIMED_OUT at the deadline.
        WriteError: ffmpeg failed otherwise. ValueError: a picture or the sound has the wrong shape.
    """
    write_video(
        path,
        pictures,
        sound,
        size=size,
        options={"crf": crf, "preset": preset},
        threads=threads,
        deadline_seconds=deadline_seconds,
        planes=planes,
    )


def write_video(
    path: str | Path,
    pictures: Iterable[np.ndarray],
    sound: np.ndarray | None,
    *,
    size: tuple[int, int],
    fps: Fraction = Fraction(FPS),
    sound_rate: int = SAMPLE_RATE,
    video_codec: str = VIDEO_CODEC,
    audio_codec: str = AUDIO_CODEC,
    pixel_format: str = "yuv420p",
    options: Mapping[str, Any] | None = None,
    threads: int = 0,
    deadline_seconds: float = 600,
    planes: bool = False,
) -> None:
    """`write_clip` for other rates, codecs and containers (by suffix); for footage made for demos and tests.

    Args:
        fps: pictures a second.
        sound_rate: of `sound`, in Hz; sound may be (samples,) or (samples, channels).
        options: more ffmpeg output options, without the dash.
        (the others as in `write_clip`)
    """
    target = Path(path)
    width, height = size
    if pixel_format == "yuv420p" and (width % 2 or height % 2):
        raise ValueError(f"size {width}x{height}: yuv420p needs even sides")
    try:
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=target.parent) as folder:
            result = Path(folder) / f"clip{target.suffix}"
            wave = _write_sound(Path(folder), sound, sound_rate)
            chosen = _output_options(video_codec, audio_codec, pixel_format, options, threads)
            pipe: tuple[str, tuple[int, int]] = ("rgb24", size)
            shape: tuple[int, ...] = (height, width, 3)
            if planes:
                chosen["vf"] = _TAGGED
                pipe, shape = (PLANES, size), (width * height * 3 // 2,)
            command = _command(result, pipe, fps, wave, chosen)
            _run(command, pictures, shape, Path(folder) / "stderr", deadline_seconds)
            _commit(result, target)
    except OSError as error:
        raise _disk_failure(error, target) from error


def _write_sound(folder: Path, sound: np.ndarray | None, rate: int) -> Path | None:
    if sound is None:
        return None
    if sound.ndim not in (1, 2) or len(sound) == 0:
        raise ValueError(f"sound of shape {sound.shape}: (samples,) or (samples, channels), not empty")
    wave = folder / "sound.wav"
    try:
        soundfile.write(wave, np.asarray(sound, dtype=np.float32), rate, format="WAV", subtype="FLOAT")
    except soundfile.LibsndfileError as error:
        raise OSError(errno.ENOSPC, f"the sound could not be written: {error}") from error
    return wave


def _output_options(
    video_codec: str, audio_codec: str, pixel_format: str, options: Mapping[str, Any] | None, threads: int
) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "vcodec": video_codec,
        "acodec": audio_codec,
        "pix_fmt": pixel_format,
        "threads": threads or _FIXED_THREADS,
        "map_metadata": -1,
        "fflags": "+bitexact",
        "flags:v": "+bitexact",
        "flags:a": "+bitexact",
        "vf": _TO_BT709,
    }
    if video_codec == VIDEO_CODEC:
        # Without B-frames decoding order is presentation order: no reader needs the edit list to find picture 0.
        chosen |= {"bf": 0, "g": 50}
    return chosen | dict(options or {})


def _command(
    result: Path, pipe: tuple[str, tuple[int, int]], fps: Fraction, wave: Path | None, options: dict[str, Any]
) -> list[str]:
    """ffmpeg's call; `pipe`: pixel format and (width, height) of the pictures that it gets."""
    pixels, (width, height) = pipe
    rate = f"{fps.numerator}/{fps.denominator}"
    given = ffmpeg.input("pipe:0", format="rawvideo", pix_fmt=pixels, s=f"{width}x{height}", framerate=rate)
    streams = [given.video]
    if wave is not None:
        streams.append(ffmpeg.input(f"file:{wave}").audio)
    else:
        options = {key: value for key, value in options.items() if key not in ("acodec", "flags:a")}
    if result.suffix in (".mp4", ".mov", ".m4v"):
        options = {"movflags": "+faststart"} | options
    made = ffmpeg.output(*streams, f"file:{result}", **options).global_args(
        "-hide_banner", "-nostats", "-loglevel", "error", "-protocol_whitelist", "file,pipe"
    )
    return [str(part) for part in made.overwrite_output().compile(cmd=ffmpeg_exe())]


def _run(
    command: list[str], pictures: Iterable[np.ndarray], shape: tuple[int, ...], log: Path, deadline_seconds: float
) -> None:
    """Feed ffmpeg and wait for it; its exit status and output decide what is raised."""
    late = threading.Event()
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=stderr, pipesize=_PIPE_BYTES
        )

        def stop() -> None:
            late.set()
            process.kill()

        alarm = threading.Timer(deadline_seconds, stop)
        alarm.start()
        try:
            assert process.stdin is not None
            _feed(process.stdin, pictures, shape)
            status = process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            alarm.cancel()
            process.wait()
    if late.is_set():
        raise Failure(Reason.TIMED_OUT, f"ffmpeg ran past {deadline_seconds:.0f} s and was stopped")
    output = log.read_text(errors="replace")[-_STDERR_KEPT:].strip()
    if "No space left on device" in output:
        raise OSError(errno.ENOSPC, "No space left on device")
    if status != 0:
        raise WriteError(f"ffmpeg ended with status {status}: {output}")


def _feed(stdin: Any, pictures: Iterable[np.ndarray], shape: tuple[int, ...]) -> None:
    """Write all pictures; a pipe that breaks is left to ffmpeg's exit status to explain."""
    count = 0
    with contextlib.suppress(BrokenPipeError), stdin:
        for picture in pictures:
            if picture.shape != shape or picture.dtype != np.uint8:
                raise ValueError(f"picture {count} is {picture.shape} {picture.dtype}, wanted {shape} uint8")
            stdin.write(np.ascontiguousarray(picture).data)
            count += 1
    if count == 0:
        raise ValueError("no pictures")


def _commit(result: Path, target: Path) -> None:
    with result.open("rb") as file:
        os.fsync(file.fileno())
    result.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _disk_failure(error: OSError, target: Path) -> Exception:
    known = failure_of(OSError(error.errno, error.strerror, str(target)))
    return known or Failure(Reason.NOT_WRITABLE, f"{target.name}: {error.strerror or error}")
