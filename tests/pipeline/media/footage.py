"""Tiny videos with known truth: every picture carries its source frame number in blocks that survive lossy coding."""

import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from pipeline.media.video import ffmpeg_exe
from tests.encoders import ordinary_scheduling

WIDTH, HEIGHT = 96, 64
COLUMNS, ROWS = 4, 4  # 12 bits of number, 4 of check sum


def counter_picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """(height, width, 3) uint8 with the number (0..4095) as 16 black or white blocks."""
    check = (number ^ (number >> 4) ^ (number >> 8) ^ 0b1001) & 15
    bits = [(number << 4 | check) >> shift & 1 for shift in range(15, -1, -1)]
    ys = np.arange(height) * ROWS // height
    xs = np.arange(width) * COLUMNS // width
    blocks = np.array(bits, dtype=np.uint8).reshape(ROWS, COLUMNS) * 200 + 30
    return np.repeat(blocks[ys][:, xs][:, :, None], 3, axis=2)


def read_counter(pixels: np.ndarray) -> int | None:
    """The number in a picture of any size; None when the check sum is wrong (turned, mirrored, torn)."""
    gray = pixels if pixels.ndim == 2 else pixels.mean(axis=2)
    height, width = gray.shape
    bits = 0
    for row in range(ROWS):
        for column in range(COLUMNS):
            y = slice(int(height * (row + 0.3) / ROWS), int(height * (row + 0.7) / ROWS) + 1)
            x = slice(int(width * (column + 0.3) / COLUMNS), int(width * (column + 0.7) / COLUMNS) + 1)
            bits = bits << 1 | int(gray[y, x].mean() > 128)
    number, check = bits >> 4, bits & 15
    return number if check == (number ^ (number >> 4) ^ (number >> 8) ^ 0b1001) & 15 else None


def constant_times(fps: Fraction | int, count: int, start: Fraction | int = 0) -> list[Fraction]:
    """Presentation times, in seconds, of `count` frames at a constant rate."""
    return [start + k / Fraction(fps) for k in range(count)]


def write_footage(
    path: Path,
    times: Sequence[Fraction],
    *,
    time_base: Fraction = Fraction(1, 90000),
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    size: tuple[int, int] = (WIDTH, HEIGHT),
    options: dict[str, str] | None = None,
    sample_aspect: Fraction | None = None,
    rotation: int | None = None,
    sound: np.ndarray | None = None,
    sound_rate: int = 16000,
    sound_start: Fraction = Fraction(0),
    sound_codec: str = "aac",
    gop: int = 12,
) -> Path:
    """One video stream whose frame k is shown at times[k], and one sound stream when `sound` is given.

    rotation: degrees clockwise that a player must turn the picture; the counter is upright as coded.
    """
    with ordinary_scheduling(), av.open(str(path), "w") as out:
        stream: Any = out.add_stream(codec, rate=25, options={"preset": "ultrafast"} | (options or {}))
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = time_base
        stream.time_base = time_base
        stream.codec_context.gop_size = gop
        if sample_aspect:
            stream.codec_context.sample_aspect_ratio = sample_aspect
        if rotation is not None:
            stream.set_display_rotation(rotation)
        track = None
        if sound is not None:
            track = out.add_stream(sound_codec, rate=sound_rate, layout="mono" if sound.ndim == 1 else "stereo")
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(counter_picture(number, *size), format="rgb24")
            frame.pts, frame.time_base = round(time / time_base), time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if track is not None and sound is not None:
            _mux_sound(out, track, sound, sound_rate, sound_start)
    return path


def _mux_sound(out: Any, track: Any, sound: np.ndarray, rate: int, start: Fraction) -> None:
    channels = sound.reshape(len(sound), -1).T.astype(np.float32)
    at = 0
    while at < channels.shape[1]:
        piece = np.ascontiguousarray(channels[:, at : at + 1024])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=track.layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, at + round(start * rate), Fraction(1, rate)
        out.mux(track.encode(frame))
        at += 1024
    out.mux(track.encode(None))


def expected_counters(times: Sequence[Fraction], end: Fraction) -> list[int]:
    """The rule, by brute force: picture n is the last frame with time < n/25 + 1/50, until `end` (seconds)."""
    out: list[int] = []
    n = 0
    while not out or Fraction(n, 25) + Fraction(1, 50) <= end:
        edge = Fraction(n, 25) + Fraction(1, 50)
        out.append(max((k for k, time in enumerate(times) if time < edge), default=0))
        n += 1
    return out


def ffmpeg(*arguments: object) -> str:
    """Run the ffmpeg binary; returns what it said; CalledProcessError when it fails."""
    command = [ffmpeg_exe(), "-hide_banner", "-y", "-nostdin", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stderr


def has_encoder(name: str) -> bool:
    """Whether PyAV's own ffmpeg can encode with this codec."""
    try:
        av.codec.Codec(name, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def speckle(seconds: float, rate: int = 16000, seed: int = 7) -> np.ndarray:
    """(samples,) float32 noise, band-limited enough to survive lossy coding recognisably."""
    noise = np.random.default_rng(seed).standard_normal(int(seconds * rate) + 32)
    return (0.1 * np.convolve(noise, np.hanning(16), "same")[16:-16]).astype(np.float32)
