"""Skeletons as video: drawn on black, side by side where there are several, with the voice they move to."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.media.writer import write_clip
from pipeline.skeleton.draw import Picture, draw


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
        size: (width, height) of each; odd sides are drawn one pixel larger, which H.264 asks for.
        deadline_seconds: as of `pipeline.media.writer.write_clip`.

    Raises:
        as `write_clip`.
    """
    width, height = (side + side % 2 for side in size)
    frames = min(len(keypoints) for keypoints, _ in skeletons)

    def pictures() -> Iterator[Picture]:
        for n in range(frames):
            yield np.concatenate(
                [draw(points[n], _of(scores, n), (width, height)) for points, scores in skeletons], axis=1
            )

    write_clip(path, pictures(), wave, size=(width * len(skeletons), height), deadline_seconds=deadline_seconds)


def _of(scores: NDArray[np.floating], frame: int) -> NDArray[np.floating]:
    return scores if scores.ndim == 1 else scores[frame]
