"""Keypoints from heat maps, decoded as mmpose does for HRNet and similar nets.

mmpose's `MSRAHeatmap` with `unbiased=True`: the highest cell, moved to the top of the Gaussian that it is part of (DARK, Zhang et
al., CVPR 2020; blur of 11 cells as for sigma 2), then times input size over map size. Its score is the height of that cell.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats32

_BLUR = 11  # cells; mmpose's for maps trained with sigma 2
_REACH = 2  # cells to each side of the highest that the second derivatives look at
_FLOOR = 1e-3  # of what a logarithm is taken, as mmpose does
_FARTHEST = 1.0  # cells: a fit that leads farther than to the neighbours fits no peak


def decode_outputs(outputs: Sequence[Floats32], size: tuple[int, int]) -> tuple[Floats32, Floats32]:
    """`pipeline.nets.pose.decoders.Decoder` for nets that put out (N, K, h, w)."""
    maps = outputs[0]
    people, points, height, width = maps.shape
    at = maps.reshape(people, points, -1).argmax(-1)
    y, x = np.divmod(at, width)
    scores = np.take_along_axis(maps.reshape(people, points, -1), at[..., None], -1)[..., 0]
    cells = np.stack([x, y], -1) + _shift(maps, x, y, scores)
    keypoints = (cells * [size[1] / width, size[0] / height]).astype(np.float32)
    keypoints[~(scores > 0)] = np.nan
    return keypoints, scores


def _shift(maps: Floats32, x: NDArray[np.int64], y: NDArray[np.int64], highest: Floats32) -> NDArray[np.float64]:
    """From the highest cells (x, y) to the tops of their peaks: (N, K, 2) cells, 0 at the borders and where there is no peak."""
    near = _blurred(maps, x, y)
    # mmpose brings the top of the blurred map back to what it was; of that map only the surroundings of the peak are made here.
    near *= (np.maximum(highest, 0) / np.maximum(near.max((-2, -1)), 1e-12))[..., None, None]
    log = np.log(np.maximum(near, _FLOOR))
    middle = log[..., 2, 2]
    dx, dy = (log[..., 2, 3] - log[..., 2, 1]) / 2, (log[..., 3, 2] - log[..., 1, 2]) / 2
    dxx, dyy = (
        (log[..., 2, 4] - 2 * middle + log[..., 2, 0]) / 4,
        (log[..., 4, 2] - 2 * middle + log[..., 0, 2]) / 4,
    )
    dxy = (log[..., 3, 3] - log[..., 1, 3] - log[..., 3, 1] + log[..., 1, 1]) / 4
    bend = dxx * dyy - dxy**2
    height, width = maps.shape[2:]
    inside = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
    peak = inside & (bend > 0) & (dxx < 0)  # the surface falls to all sides
    safe = np.where(peak, bend, 1.0)
    shift = -np.stack([dyy * dx - dxy * dy, dxx * dy - dxy * dx], -1) / safe[..., None]
    return np.where(peak[..., None], np.clip(shift, -_FARTHEST, _FARTHEST), 0.0)


def _blurred(maps: Floats32, x: NDArray[np.int64], y: NDArray[np.int64]) -> NDArray[np.float64]:
    """The 5 x 5 cells around each (x, y) of the blurred maps, zero outside them: (N, K, 5, 5).

    133 maps a person are too many to be blurred whole for the sake of 25 cells each.
    """
    people, points, height, width = maps.shape
    away = np.arange(-(_BLUR // 2) - _REACH, _BLUR // 2 + _REACH + 1)
    rows, columns = y[..., None] + away, x[..., None] + away
    who, which = np.arange(people)[:, None, None, None], np.arange(points)[:, None, None]
    inside_y, inside_x = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
    seen = maps[who, which, np.clip(rows, 0, height - 1)[..., :, None], np.clip(columns, 0, width - 1)[..., None, :]]
    seen = np.where(inside_y[..., :, None] & inside_x[..., None, :], seen, 0).astype(np.float64)
    kernel = cv2.getGaussianKernel(_BLUR, 0)[:, 0]
    blur = np.stack([np.pad(kernel, (i, 2 * _REACH - i)) for i in range(2 * _REACH + 1)])  # (5, 15)
    return np.asarray(blur @ seen @ blur.T)
