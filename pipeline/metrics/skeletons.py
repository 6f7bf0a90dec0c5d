"""Metrics of generated skeletons without any net: error, diversity, jitter, and how the mouth follows the sound.

Keypoints are (F, 133, 2) in pixels of the 512 crop with NaN where not seen; a point whose score is too low is to be NaN
(`pipeline.skeleton.layout.visible`). What cannot be measured is NaN. Errors and jitter come by part: `body` (17 points),
`face` (68), `mouth` (20 of them), `hands` (42) and `all` (133).
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats64, Points
from pipeline.base.units import FPS, SAMPLES_PER_FRAME
from pipeline.skeleton import layout

PARTS: dict[str, slice] = {
    "body": layout.BODY,
    "face": layout.FACE,
    "mouth": layout.MOUTH,
    "hands": slice(layout.LEFT_HAND.start, layout.RIGHT_HAND.stop),
    "all": slice(0, layout.K),
}
LIMBS = {
    "upper arm": ((layout.LEFT_SHOULDER, layout.LEFT_ELBOW), (layout.RIGHT_SHOULDER, layout.RIGHT_ELBOW)),
    "forearm": ((layout.LEFT_ELBOW, layout.LEFT_WRIST), (layout.RIGHT_ELBOW, layout.RIGHT_WRIST)),
    "shoulders": ((layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER),),
}
_UPPER_LIP = slice(layout.INNER_LIPS.start + 1, layout.INNER_LIPS.start + 4)
_LOWER_LIP = [layout.INNER_LIPS.start + k for k in (7, 6, 5)]  # below those three
_NAN = float("nan")


def joint_error(made: Points, true: Points) -> dict[str, float]:
    """Mean distance to the truth, px, over all points and frames seen in both, by part.

    The mean per-joint position error (MPJPE; Ionescu et al., PAMI 2014), in the picture plane and without aligning anything.

    Raises:
        ValueError: the two are not of one shape (F, 133, 2).
    """
    _check_pair(made, true)
    return _by_part(_norms(np.asarray(made, float) - true))


def velocity_error(made: Points, true: Points, fps: float = FPS) -> dict[str, float]:
    """Mean length of the difference of velocities, px/s, over points seen in both and in two frames running, by part.

    The velocity difference of TalkSHOW (Yi et al., CVPR 2023; there with L1, of landmarks). Unlike `joint_error` it forgives a
    constant displacement.

    Raises:
        ValueError: the two are not of one shape (F, 133, 2).
    """
    _check_pair(made, true)
    return _by_part(_norms(np.diff(np.asarray(made, float) - true, axis=0)) * fps)


def jitter(points: Points, fps: float = FPS) -> dict[str, float]:
    """Mean length of the third derivative (jerk), px/s^3, over points seen in four frames running, by part.

    TransPose's jitter (Yi et al., SIGGRAPH 2021), in the picture plane. It says nothing by itself: detector noise of the truth
    has one too, and still skeletons have none. Compare with the truth's.
    """
    return _by_part(_norms(np.diff(np.asarray(points, float), n=3, axis=0)) * fps**3)


def diversity(motions: Sequence[Points]) -> float:
    """Mean absolute difference of coordinates between two motions, px, over all pairs of motions.

    The L1 diversity of co-speech work: "average L1 distance between clips" (Li et al., Audio2Gestures, ICCV 2021; Liu et al.,
    EMAGE, CVPR 2024), here divided by the number of coordinates, over points seen in both. EMAGE's published code measures
    `spread` instead. Different people at different places differ too: compare motions made from one reference, or local
    coordinates.

    Args:
        motions: N >= 2 of one shape (F, 133, 2).

    Raises:
        ValueError: fewer than two, or of different shapes.
    """
    if len(motions) < 2:
        raise ValueError(f"diversity needs at least two motions, not {len(motions)}")
    distances = []
    for one, other in combinations(motions, 2):
        _check_pair(one, other)
        distances.append(_mean(np.abs(np.asarray(one, float) - other)))
    return _mean(np.array(distances))


def spread(points: Points) -> float:
    """Mean absolute deviation of coordinates from their own mean over time, px: how much one motion moves.

    What EMAGE's code calls L1div, there summed over coordinates.
    """
    known = np.asarray(points, float)[:, layout.seen(points).any(0)]
    return _mean(np.abs(known - np.nanmean(known, axis=0))) if known.size else _NAN


def limb_lengths(points: Points) -> dict[str, float]:
    """Median length of each of `LIMBS`, px, left and right together, where it is seen; NaN where it never is."""
    points = np.asarray(points, float)
    return {
        name: _median(np.concatenate([_norms(points[:, a] - points[:, b]) for a, b in ends]))
        for name, ends in LIMBS.items()
    }


def limb_error_percent(made: Points, true: Points) -> float:
    """How far limbs are from the truth's lengths, %: mean over `LIMBS`, each by its median over time.

    In the picture plane, where a limb that points at the camera is short: of other gestures than the truth's it is not zero.

    Args:
        made, true: (F, 133, 2) and (F', 133, 2).
    """
    lengths, wanted = limb_lengths(made), limb_lengths(true)
    return _mean(np.array([100 * abs(lengths[name] / wanted[name] - 1) for name in LIMBS]))


def mouth_opening(points: Points) -> Floats64:
    """(F,) distance of the inner lips, px: the mean over their three middle pairs; NaN where one is not seen."""
    points = np.asarray(points, float)
    return np.asarray(np.linalg.norm(points[:, _UPPER_LIP] - points[:, _LOWER_LIP], axis=-1).mean(1))


def loudness(wave: NDArray[np.floating], frames: int) -> Floats64:
    """(frames,) root mean square of a wave at 16 kHz over the 80 ms around each picture, 25 a second; silence beyond its ends."""
    hop = SAMPLES_PER_FRAME
    whole = np.zeros((frames + 2) * hop)
    samples = min(len(wave), frames * hop)
    whole[hop : hop + samples] = wave[:samples]
    windows = np.lib.stride_tricks.sliding_window_view(whole, 2 * hop)[::hop][:frames]
    return np.asarray(np.sqrt(np.square(windows).mean(1)))


def mouth_follows_sound(points: Points, wave: NDArray[np.floating]) -> float:
    """Pearson correlation, -1..1, of the mouth's opening and the sound's loudness; NaN where one of them does not change.

    Lip-sync without a net, and coarse: people open their mouths silently and hum through closed ones. Compare with the truth's.
    SyncNet's measures (`pipeline.metrics.sync`) hear more, and need pictures.

    Args:
        points: (F, 133, 2), 25 a second.
        wave: (samples,) at 16 kHz, of the same time.
    """
    opening = mouth_opening(points)
    loud = loudness(wave, len(opening))
    known = np.isfinite(opening)
    if known.sum() < 3 or min(np.ptp(opening[known]), np.ptp(loud[known])) < 1e-9:
        return _NAN
    return float(np.corrcoef(opening[known], loud[known])[0, 1])


def _check_pair(made: Points, true: Points) -> None:
    if made.shape != true.shape or made.ndim != 3 or made.shape[1:] != (layout.K, 2):
        raise ValueError(
            f"skeletons of {made.shape} and {true.shape} cannot be compared: both must be (F, {layout.K}, 2)"
        )


def _norms(vectors: Floats64) -> Floats64:
    return np.asarray(np.linalg.norm(vectors, axis=-1))


def _by_part(values: Floats64) -> dict[str, float]:
    """The mean of what is known of (F, 133), by part."""
    return {name: _mean(values[:, part]) for name, part in PARTS.items()}


def _mean(values: Floats64) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else _NAN


def _median(values: Floats64) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else _NAN
