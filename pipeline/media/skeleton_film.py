"""Skeletons as video: drawn on black, side by side where there are several, with the voice they move to."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Picture
from pipeline.media.writer import write_clip
from pipeline.skeleton.draw import draw

LONG_SIDE_PX = (
    2048  # of a video at most: a reference may have 100 Mpx, which no player shows and no encoder is quick with
)


def drawn_size(size: tuple[int, int], count: int = 1) -> tuple[int, int]:
    """(width, height) px at which each of `count` skeletons side by side is drawn for keypoints in a picture of `size`.

    Sides are even, as H.264 asks for: odd ones grow by a pixel. Where the video would be larger than `LONG_SIDE_PX` both are
    made smaller alike.
    """
    scale = _scale(size, count)
    width, height = (2 * ceil(side * scale / 2) for side in size)
    return width, height


def _scale(size: tuple[int, int], count: int) -> Fraction:
    """Exact, so that the long side is the limit and not two pixels more."""
    widest = LONG_SIDE_PX // count // 2 * 2
    return min(Fraction(1), Fraction(widest, size[0]), Fraction(LONG_SIDE_PX, size[1]))


def write_skeletons(
    path: Path,
    skeletons: Sequence[tuple[NDArray[np.floating], NDArray[np.floating]]],
    wave: NDArray[np.float32] | None,
    size: tuple[int, int] = (512, 512),
    *,
    deadline_seconds: float = 24 * 3600,
) -> None:
    """Write an mp4 of skeletons at 25 pictures a second, the first to the left.

    Args:
        path: the target.
        skeletons: keypoints (F, 133, 2) px and scores (F, 133) or (133,) of each.
        wave: (samples,) at 16 kHz, or None.
        size: (width, height) px of the picture that the keypoints of each lie in; drawn at `drawn_size`.
        deadline_seconds: as of `pipeline.media.writer.write_clip`.

    Raises:
        as `write_clip`.
    """
    width, height = drawn_size(size, len(skeletons))
    scale = float(_scale(size, len(skeletons)))
    frames = min(len(keypoints) for keypoints, _ in skeletons)

    def drawn(points: NDArray[np.floating]) -> NDArray[np.floating]:
        return points if scale == 1 else (points + 0.5) * scale - 0.5

    def pictures() -> Iterator[Picture]:
        for n in range(frames):
            yield np.concatenate(
                [draw(drawn(points[n]), _of(scores, n), (width, height)) for points, scores in skeletons], axis=1
            )

    write_clip(path, pictures(), wave, size=(width * len(skeletons), height), deadline_seconds=deadline_seconds)


def _of(scores: NDArray[np.floating], frame: int) -> NDArray[np.floating]:
    return scores if scores.ndim == 1 else scores[frame]
