"""Keypoints from SimCC rows: a row of scores over x and one over y for each point (Li et al., ECCV 2022).

Refined by a parabola through the highest bin's neighbours: DWPose's own argmax moves in steps of half a pixel of its input, which
is several pixels of a large picture.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.base.arrays import Floats32


def decode_outputs(outputs: Sequence[Floats32], size: tuple[int, int]) -> tuple[Floats32, Floats32]:
    """`pipeline.nets.pose.decoders.Decoder` for nets that put out (N, K, W r) and (N, K, H r)."""
    simcc_x, simcc_y = outputs
    return decode_simcc(simcc_x, simcc_y, simcc_x.shape[2] / size[1])


def decode_simcc(simcc_x: Floats32, simcc_y: Floats32, ratio: float = 2.0) -> tuple[Floats32, Floats32]:
    """Locations and scores from SimCC rows.

    Args:
        simcc_x, simcc_y: (N, K, W r) and (N, K, H r).
        ratio: bins a pixel, r.

    Returns:
        points (N, K, 2) in the net's pixels, NaN where the score is 0 or less, and scores (N, K): the lower of both
        rows' maxima, as they are (DWPose's pass 1).
    """
    x, highest_x = _peak(simcc_x)
    y, highest_y = _peak(simcc_y)
    scores = np.minimum(highest_x, highest_y)
    points = np.stack([x, y], -1) / np.float32(ratio)
    points[~(scores > 0)] = np.nan
    return points, scores


def _peak(rows: Floats32) -> tuple[Floats32, Floats32]:
    """Place and height of the highest bin of (..., B); the place at most half a bin from it, whole at the edges."""
    at = rows.argmax(-1)
    bins = rows.shape[-1]
    neighbours = np.clip(at, 1, bins - 2)[..., None] + np.array([-1, 0, 1])
    left, middle, right = np.moveaxis(np.take_along_axis(rows, neighbours, -1), -1, 0)
    bend = left - 2 * middle + right
    curved = (bend < 0) & (at > 0) & (at < bins - 1)
    shift = np.where(curved, 0.5 * (left - right) / np.where(curved, bend, 1), 0)
    highest = np.take_along_axis(rows, at[..., None], -1)[..., 0]
    return (at + np.clip(shift, -0.5, 0.5)).astype(np.float32), highest
