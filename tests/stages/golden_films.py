"""Little films of each kind that the reader decides about, without loss: what comes out moves with the rules alone."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

SIDE, COUNT, RATE = 160, 60, 16_000
Colours = NDArray[np.uint8]


def subject(moment: float) -> Colours:
    """Somebody who sways and waves in front of a wall, at a time in pictures: (160, 160, 3) RGB."""
    scene = np.full((SIDE, SIDE, 3), (90, 110, 130), np.uint8)
    scene[20:60, 8:40] = (
        np.random.default_rng(1).integers(60, 200, (4, 4, 3), dtype=np.uint8).repeat(10, 0).repeat(8, 1)
    )
    head = (16 * (80 + 14 * np.sin(moment / 5)), 16 * (60 + 4 * np.sin(moment / 7)))
    cv2.ellipse(scene, (round(head[0]), round(head[1])), (16 * 18, 16 * 24), 0, 0, 360, (220, 180, 160), -1, 8, 4)
    hand = (16 * (120 + 20 * np.sin(moment / 4)), 16 * (110 + 18 * np.cos(moment / 4)))
    cv2.line(scene, (16 * 90, 16 * 150), (round(hand[0]), round(hand[1])), (230, 200, 120), 9, 8, 4)
    return scene


def voice(seconds: float, hertz: float = 4.0) -> NDArray[np.float32]:
    """(samples,) syllables of noise, so many a second."""
    time = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(2).uniform(-0.4, 0.4, len(time))
    spoken: NDArray[np.float32] = (noise * np.maximum(0, np.sin(np.pi * hertz * time)) ** 2).astype(np.float32)
    return spoken


def write(
    path: Path,
    pictures: Sequence[NDArray[Any]],
    sounds: Sequence[NDArray[np.float32]] = (),
    *,
    codec: tuple[str, str] = ("ffv1", "yuv420p"),
    transfer: int | None = None,
) -> Path:
    """Pictures (H, W, 3), RGB of 8 or 16 bits, at 25 a second, and sound tracks at 16 kHz."""
    with av.open(str(path), "w") as out:
        video: Any = out.add_stream(
            codec[0], rate=25, options={"qp": "0", "preset": "ultrafast"} if codec[0] != "ffv1" else {}
        )
        video.width, video.height, video.pix_fmt = SIDE, SIDE, codec[1]
        if transfer is not None:
            context = video.codec_context
            context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, transfer, 9, 1
        tracks: list[Any] = [
            out.add_stream("mp2" if path.suffix == ".ts" else "flac", rate=RATE, layout="mono") for _ in sounds
        ]
        for number, picture in enumerate(pictures):
            shown = av.VideoFrame.from_ndarray(picture, format="rgb24" if picture.dtype == np.uint8 else "rgb48le")
            frame = shown.reformat(format=codec[1], dst_colorspace=9 if transfer else None)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for track, sound in zip(tracks, sounds, strict=True):
            coded = np.rint(32767 * sound).astype(np.int16)
            for at in range(0, len(coded), 1152):
                piece = av.AudioFrame.from_ndarray(coded[None, at : at + 1152], format="s16", layout="mono")
                piece.sample_rate, piece.pts, piece.time_base = RATE, at, Fraction(1, RATE)
                out.mux(track.encode(piece))
            out.mux(track.encode(None))
    return path


def plain(folder: Path) -> Path:
    return write(folder / "plain.mkv", [subject(n) for n in range(COUNT)], [voice(2.4)])


def clock(folder: Path) -> Path:
    """Two takes, each of which begins at 0."""
    parts = [
        write(
            folder / f"{k}.ts",
            [subject(n + 100 * k) for n in range(40)],
            [voice(1.6, 3 + k)],
            codec=("libx264", "yuv420p"),
        )
        for k in range(2)
    ]
    path = folder / "clock.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def hdr(folder: Path, transfer: int) -> Path:
    pictures = [(subject(n) / 255 * 0.62 * 65535).astype(np.uint16) for n in range(COUNT)]
    return write(folder / f"hdr{transfer}.mkv", pictures, codec=("ffv1", "yuv420p10le"), transfer=transfer)


def combed(folder: Path) -> Path:
    pictures = [subject(n) for n in range(COUNT)]
    for n, picture in enumerate(pictures):
        picture[1::2] = subject(n + 0.5)[1::2]
    return write(folder / "combed.mkv", pictures, codec=("ffv1", "yuv444p"))


def telecine(folder: Path) -> Path:
    pictures = []
    for n in range(COUNT):
        top, bottom = ((0, 0), (1, 1), (1, 2), (2, 3), (3, 3))[n % 5]
        picture = subject(1.25 * (top + 4 * (n // 5)))
        picture[1::2] = subject(1.25 * (bottom + 4 * (n // 5)))[1::2]
        pictures.append(picture)
    return write(folder / "telecine.mkv", pictures, codec=("ffv1", "yuv444p"))


def second_track(folder: Path) -> Path:
    hum = (0.2 * np.sin(2 * np.pi * 100 * np.arange(round(3.2 * RATE)) / RATE)).astype(np.float32)
    return write(folder / "tracks.mkv", [subject(n) for n in range(80)], [hum, voice(3.2)])


def twelve(folder: Path) -> Path:
    """A camera of 12 pictures a second, each of which was coded twice."""
    traces = np.random.default_rng(3).integers(-2, 3, (COUNT, SIDE, SIDE, 1))
    pictures = [np.clip(subject(2 * (12 * n // 25)) + traces[n], 0, 255).astype(np.uint8) for n in range(COUNT)]
    return write(folder / "twelve.mkv", pictures)


FILMS: dict[str, Callable[[Path], Path]] = {
    "plain": plain,
    "clock": clock,
    "pq": lambda folder: hdr(folder, 16),
    "hlg": lambda folder: hdr(folder, 18),
    "combed": combed,
    "telecine": telecine,
    "second track": second_track,
    "twelve a second": twelve,
}
