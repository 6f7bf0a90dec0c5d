"""Films for a rebuild whose every pixel is known: texture to measure a crop by, and tiles that carry the frame's number."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.pipeline.media.footage import counter_picture, read_counter, speckle

TILES = 8  # a side; those of one colour of the chess board carry the number, the others texture
GRAIN = 4  # pixels a block of texture at 720 lines


@dataclass(frozen=True)
class Film:
    """A film in a file. Frame k, shown at times[k], carries the number base + k."""

    path: Path
    video_id: str
    size: tuple[int, int]
    times: Sequence[Fraction]
    base: int
    wave: np.ndarray | None  # (samples,) 16 kHz
    lossless: bool

    @property
    def seconds(self) -> Fraction:
        return self.times[-1] + Fraction(1, 25)

    def frame_at(self, n: int) -> int:
        """The frame that the 25-fps grid shows as its picture n: the last one before n/25 + 1/50."""
        edge = Fraction(n, 25) + Fraction(1, 50)
        return int(np.searchsorted(self._ticks, float(edge) - 1e-9)) - 1 if edge > self.times[0] else 0

    @property
    def _ticks(self) -> np.ndarray:
        return _floats(tuple(self.times))

    def picture(self, k: int) -> np.ndarray:
        """(height, width, 3) frame k as drawn."""
        return draw(self.size, self.base, self.base + k)


@lru_cache(maxsize=128)
def _floats(times: tuple[Fraction, ...]) -> np.ndarray:
    return np.array([float(t) for t in times])


@lru_cache(maxsize=4)
def _texture(size: tuple[int, int], seed: int) -> np.ndarray:
    width, height = size
    grain = max(2, GRAIN * height // 720)
    blocks = np.random.default_rng(seed).integers(40, 216, (height // grain + 1, width // grain + 1), dtype=np.uint8)
    gray = np.repeat(np.repeat(blocks, grain, 0), grain, 1)[:height, :width]
    return np.repeat(gray[..., None], 3, 2)


def tile(size: tuple[int, int], row: int, column: int) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2 of a tile."""
    width, height = size
    return column * width // TILES, row * height // TILES, (column + 1) * width // TILES, (row + 1) * height // TILES


def draw(size: tuple[int, int], seed: int, number: int) -> np.ndarray:
    """(height, width, 3) texture with the number in every other tile."""
    picture = _texture(size, seed).copy()
    for row in range(TILES):
        for column in range(row % 2, TILES, 2):
            x1, y1, x2, y2 = tile(size, row, column)
            picture[y1:y2, x1:x2] = counter_picture(number, x2 - x1, y2 - y1)
    return picture


def number_in(crop: np.ndarray, box: tuple[int, int, int, int], size: tuple[int, int]) -> int | None:
    """The number in a square crop of a film's picture, read from the whole tile nearest to its middle."""
    x1, y1, x2, y2 = box
    side = max(x2 - x1, y2 - y1)
    left, top = x1 - (side - (x2 - x1)) // 2, y1 - (side - (y2 - y1)) // 2
    tiles = [tile(size, r, c) for r in range(TILES) for c in range(r % 2, TILES, 2)]
    whole = [t for t in tiles if t[0] >= x1 and t[1] >= y1 and t[2] <= x2 and t[3] <= y2]
    a, b, c, d = min(whole, key=lambda t: abs(t[0] + t[2] - x1 - x2) + abs(t[1] + t[3] - y1 - y2))
    scale = len(crop) / side
    at = [round(v * scale) for v in (a - left, b - top, c - left, d - top)]
    return read_counter(crop[at[1] : at[3], at[0] : at[2]])


def write_film(
    path: Path,
    video_id: str,
    size: tuple[int, int],
    times: Sequence[Fraction],
    base: int,
    *,
    sound: str | None = "pcm_s16le",
) -> Film:
    """Encode a film; `sound` is a codec of 16-kHz mono noise, or None."""
    wave = None
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 90000)
        stream.codec_context.gop_size = 12
        track: Any = None
        if sound:
            track = out.add_stream(sound, rate=16000, layout="mono")
            wave = np.round(speckle(float(times[-1]) + 0.2, seed=base) * 32767).astype(np.int16)
        for k, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(draw(size, base, base + k), format="rgb24")
            frame.pts, frame.time_base = round(time * 90000), Fraction(1, 90000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if track is not None and wave is not None:
            for at in range(0, len(wave), 1024):
                piece = np.ascontiguousarray(wave[None, at : at + 1024])
                if sound == "aac":
                    audio = av.AudioFrame.from_ndarray((piece / 32768).astype(np.float32), format="fltp", layout="mono")
                else:
                    audio = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
                audio.sample_rate, audio.pts, audio.time_base = 16000, at, Fraction(1, 16000)
                out.mux(track.encode(audio))
            out.mux(track.encode(None))
    return Film(path, video_id, size, tuple(times), base, wave, sound != "aac")
