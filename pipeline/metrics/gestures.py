"""A Frechet distance of gestures without a trained net: between sets of motions, on plain statistics of short windows.

This is not the FGD of Yoon et al. (SIGGRAPH Asia 2020), whose features come from an autoencoder that is trained on the data set in
question; its numbers cannot be compared with those of papers. What it sees is where head, arms and hands are, how far they range
and how fast they move, over two seconds. It sees neither the order of movements within them, nor their time to the
speech, nor fingers one by one.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats64, Points
from pipeline.base.units import FPS
from pipeline.metrics.frechet import Gaussian, frechet_distance
from pipeline.skeleton import layout
from pipeline.skeleton.measures import body_scale_px

WINDOW, STRIDE = 50, 25  # frames
_FROM_NECK = [layout.NOSE, layout.LEFT_ELBOW, layout.RIGHT_ELBOW, layout.LEFT_WRIST, layout.RIGHT_WRIST]
_HANDS = ((layout.LEFT_HAND, layout.LEFT_WRIST), (layout.RIGHT_HAND, layout.RIGHT_WRIST))
WIDTH = 6 * (len(_FROM_NECK) + len(_HANDS))


def gesture_features(
    keypoints: Points, scores: NDArray[np.floating] | None = None, window: int = WINDOW, stride: int = STRIDE
) -> Floats64:
    """(N, 42) features of a motion's windows; lengths are in shoulder widths, so that people of all sizes compare.

    Of nose, elbows and wrists from the neck, and of the fingertips' middle from each wrist: the mean place (x, y), its
    standard deviation (x, y), the mean speed and its standard deviation. A window in which one of the seven is unseen in more than
    half of the frames is left out.

    Args:
        keypoints: (F, 133, 2) px, 25 a second, NaN where not seen.
        scores: (F, 133); by default what is not NaN is seen.
        window, stride: frames; a rest at the end is not used.
    """
    sure = np.where(layout.seen(keypoints), 1.0, 0.0) if scores is None else scores
    paths = _paths(np.asarray(keypoints, float)) / body_scale_px(keypoints, sure)
    rows = [_statistics(paths[at : at + window]) for at in range(0, len(paths) - window + 1, stride)]
    return np.array([row for row in rows if row is not None], np.float64).reshape(-1, WIDTH)


def gesture_gaussian(motions: Iterable[Points]) -> Gaussian:
    """The Gaussian of all windows of motions (F, 133, 2)."""
    gathered = Gaussian(WIDTH)
    for motion in motions:
        gathered.add(gesture_features(motion))
    return gathered


def gesture_distance(made: Iterable[Points], true: Iterable[Points]) -> float:
    """The Frechet distance of two sets of motions (F, 133, 2), in squares of shoulder widths and of shoulder widths a second.

    Warns:
        FewSamples: one of the sets has no more than 42 windows.

    Raises:
        ValueError: one of the sets has fewer than two windows.
    """
    return frechet_distance(gesture_gaussian(made), gesture_gaussian(true))


def _paths(points: Floats64) -> Floats64:
    """(F, 7, 2) of keypoints (F, 133, 2), each from its own root."""
    neck = points[:, [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER]].mean(1, keepdims=True)
    tips = [
        points[:, [hand.start + tip for tip in layout.FINGERTIPS]].mean(1) - points[:, wrist] for hand, wrist in _HANDS
    ]
    return np.concatenate([points[:, _FROM_NECK] - neck, np.stack(tips, 1)], 1)


def _statistics(paths: Floats64) -> Floats64 | None:
    """(42,) of a window (W, 7, 2); None where too little is seen."""
    speeds = np.linalg.norm(np.diff(paths, axis=0), axis=-1) * FPS
    if (np.isfinite(paths).all(-1).mean(0) < 0.5).any() or (~np.isfinite(speeds)).all(0).any():
        return None
    parts = [np.nanmean(paths, 0), np.nanstd(paths, 0), np.nanmean(speeds, 0)[:, None], np.nanstd(speeds, 0)[:, None]]
    return np.concatenate(parts, 1).ravel()
