"""Little films for the stages' tests: coloured rooms with planted cuts, and sound with planted pauses."""

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, FPS, RATE = 160, 96, 25, 16_000


def picture(shot: int, frame: int) -> NDArray[np.uint8]:
    """A room of its own for every shot, and a ball that swings in it."""
    rng = np.random.default_rng(shot)
    small = rng.integers(0, 256, (6, 10, 3), dtype=np.uint8)
    room: NDArray[np.uint8] = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    cv2.resize(small, (WIDTH, HEIGHT), dst=room, interpolation=cv2.INTER_NEAREST)
    x = int(WIDTH / 2 + 20 * np.sin(frame / 6))
    cv2.circle(room, (x, HEIGHT // 2), 10, (200, 160, 140), -1)
    return room


def speechlike(seconds: float, pauses: list[tuple[float, float]]) -> NDArray[np.float32]:
    """(samples,) noise at 16 kHz, and nothing at all in the pauses."""
    wave = np.random.default_rng(0).uniform(-0.3, 0.3, round(seconds * RATE)).astype(np.float32)
    for start, end in pauses:
        wave[round(start * RATE) : round(end * RATE)] = 0
    return wave


def write_film(path: Path, shots: list[int], sound: NDArray[np.float32] | None = None, seed: int = 0) -> Path:
    """An MP4 of shots of so many frames each; another `seed` gives another film."""
    with av.open(str(path), "w") as out:
        video: Any = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "18"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio: Any = None
        if sound is not None:
            audio = out.add_stream("aac", rate=RATE, layout="mono")
        for number, frames in enumerate(shots):
            for frame in range(frames):
                shown = av.VideoFrame.from_ndarray(picture(100 * seed + number, frame), format="rgb24")
                out.mux(video.encode(shown))
        out.mux(video.encode(None))
        if audio is not None and sound is not None:
            for at in range(0, len(sound), 1024):
                piece = av.AudioFrame.from_ndarray(sound[None, at : at + 1024], format="fltp", layout="mono")
                piece.sample_rate, piece.pts = RATE, at
                out.mux(audio.encode(piece))
            out.mux(audio.encode(None))
    return path
