"""Keypoints from SimCC rows: a row of scores over x and one over y for each point (Li et al., ECCV 2022).

Refined by a parabola through the highest bin's neighbours: DWPose's own argmax moves in steps of half a pixel of its input, which
is several pixels of a large picture.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.base.arrays import Floats32

PEAK_NUMBERS = 10  # a point, from such a net
RATIO_KEY = "csg405.bins_a_pixel"  # in the metadata of a net that gives peaks in place of rows


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
    return decode_peaks(np.concatenate([_peaks(simcc_x), _peaks(simcc_y)], -1), ratio)


def decode_peaks(peaks: Floats32, ratio: float = 2.0) -> tuple[Floats32, Floats32]:
    """As `decode_simcc`, from what a net of `pipeline.nets.pose.prepare` found in its rows.

    Args:
        peaks: (N, K, 10): for x, then y, the highest bin, its height, and the heights of three bins around it, which are the
            first or last three of the row where the highest has but one neighbour.
        ratio: bins a pixel.
    """
    x, highest_x = _place(peaks[..., :5])
    y, highest_y = _place(peaks[..., 5:])
    scores = np.minimum(highest_x, highest_y)
    points = np.stack([x, y], -1) / np.float32(ratio)
    points[~(scores > 0)] = np.nan
    return points, scores


def _peaks(rows: Floats32) -> Floats32:
    """Of rows (..., B): the highest bin, its height, and the heights around it: (..., 5)."""
    at = rows.argmax(-1)[..., None]
    near = np.clip(at, 1, rows.shape[-1] - 2) + np.array([-1, 0, 1])
    heights = np.take_along_axis(rows, np.concatenate([at, near], -1), -1)
    return np.concatenate([at.astype(np.float32), heights], -1)


def _place(peaks: Floats32) -> tuple[Floats32, Floats32]:
    """Place and height of peaks (..., 5); the place at most half a bin from the highest, whole at the edges of the row."""
    at, highest, left, middle, right = np.moveaxis(peaks, -1, 0)
    bend = left - 2 * middle + right
    inside = (at > 0) & (middle == highest)  # else the highest is the last, as of two equal ones the first is taken
    curved = (bend < 0) & inside
    shift = np.where(curved, 0.5 * (left - right) / np.where(curved, bend, 1), 0)
    return (at + np.clip(shift, -0.5, 0.5)).astype(np.float32), highest
