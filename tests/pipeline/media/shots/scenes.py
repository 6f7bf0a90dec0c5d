"""Small pictures of drawn rooms and a waving figure, seen by a camera whose path is known."""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from pipeline.base.arrays import Picture

WIDTH, HEIGHT = 256, 144


def room(seed: int, width: int = 3 * WIDTH, height: int = 2 * HEIGHT) -> Picture:
    """(height, width, 3) a wall with shapes on it, coarse and fine."""
    rng = np.random.default_rng(seed)
    wall = np.empty((height, width, 3), np.uint8)
    wall[:] = rng.integers(60, 200, 3)
    for _ in range(90):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        w, h = (int(v) for v in rng.integers(8, 60, 2))
        cv2.rectangle(wall, (x, y), (x + w, y + h), rng.integers(0, 256, 3).tolist(), -1)
    return np.asarray(cv2.GaussianBlur(wall, (0, 0), 1.0), np.uint8)


def look(wall: Picture, x: float, y: float = HEIGHT / 2, zoom: float = 1.0) -> Picture:
    """The wall seen by a camera whose left upper corner is at (x, y) and which enlarges by `zoom` about its centre."""
    cx, cy = WIDTH / 2, HEIGHT / 2
    matrix = np.array([[zoom, 0, cx - zoom * (x + cx)], [0, zoom, cy - zoom * (y + cy)]], np.float64)
    moved = cv2.warpAffine(wall, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.uint8)


def with_figure(picture: Picture, phase: float, color: tuple[int, int, int] = (210, 160, 130)) -> Picture:
    """The picture with a figure in its middle whose arms stand at `phase` (turns)."""
    out = picture.copy()
    cv2.ellipse(out, (128, 130), (34, 60), 0, 0, 360, (40, 60, 90), -1)
    cv2.circle(out, (128, 52), 18, color, -1)
    for side in (-1, 1):
        angle = 2 * np.pi * phase * side
        hand = (int(128 + side * 62 + 18 * np.cos(angle)), int(92 + 40 * np.sin(angle)))
        cv2.line(out, (128 + side * 28, 90), hand, (40, 60, 90), 12)
        cv2.circle(out, hand, 10, color, -1)
    return out


def shot(seed: int, frames: int, xs: Iterable[float] | None = None, zooms: Iterable[float] | None = None,
         turns_per_second: float = 1.0) -> Iterator[Picture]:  # fmt: skip
    """A figure that waves before a room; xs, zooms: the camera's path, still by default."""
    wall = room(seed)
    paths = list(xs) if xs is not None else [WIDTH] * frames
    scales = list(zooms) if zooms is not None else [1.0] * frames
    for k in range(frames):
        yield with_figure(look(wall, paths[k], zoom=scales[k]), k * turns_per_second / 25)


def faded(pictures: list[Picture], into: int, level: int) -> list[Picture]:
    """The last `into` pictures blended towards one grey level, which the very last one reaches."""
    out = list(pictures)
    for k in range(into):
        share = (k + 1) / into
        at = len(out) - into + k
        out[at] = np.round(out[at] * (1 - share) + level * share).astype(np.uint8)
    return out
