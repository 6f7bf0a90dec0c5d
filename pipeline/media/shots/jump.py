"""Jump cuts: time taken out of one take. Little of the picture changes, but at once, between pictures that hardly move."""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import minimum_filter1d

from pipeline.base.arrays import Floats32
from pipeline.media.shots.flags import Flags, Values
from pipeline.media.shots.settings import ShotSettings

_NOISE = 20  # levels of RGB: what coding and light change is less
_STIR_AROUND, _SCORE_AROUND = 6, 5  # pictures before and after with which one is compared
_LATE_AROUND = 3  # pictures
_STIR_AT_REST, _SCORE_AT_REST = 0.1, 0.3  # levels


def stirs(moved: Floats32) -> Floats32:
    """(pictures,) means of how much more than noise the places of very small pictures lie apart; moved: their `distances`."""
    return np.asarray(np.maximum(moved - np.float32(_NOISE), 0).mean((1, 2)), np.float32)


def find_jump_cuts(
    frame: npt.NDArray[np.int64], raw: Values, stirred: Values, held: Flags, settings: ShotSettings
) -> Flags:
    """(pictures,) a shot begins here after a jump in time.

    Args:
        frame: (pictures,) of the grid.
        raw: (pictures,) content score against the picture before, camera motion included.
        stirred: (pictures,) `stirs` against the picture before.
        held: (pictures,) the source shows the picture before once more; the next one makes up for it, which is no jump.
        settings: thresholds.
    """
    starts = np.zeros(len(frame), dtype=bool)
    since = pictures_since_a_new_one(frame, held)
    for k in np.flatnonzero(stirred / since >= settings.jump_cut_stir).tolist():
        stands_out = stirred[k] / since[k] >= settings.jump_cut_stir_ratio * (
            _most(stirred, k, _STIR_AROUND) + _STIR_AT_REST
        )
        score = settings.jump_cut_score_ratio * max(_most(raw, k, _SCORE_AROUND), _SCORE_AT_REST)
        starts[k] = stands_out and raw[k] / since[k] >= score
    return starts


def _most(values: Values, at: int, around: int) -> float:
    """The greatest value beside that at `at`; infinite where there are too few to compare with."""
    beside = np.concatenate([values[max(1, at - around) : at], values[at + 1 : at + 1 + around]])
    return float(beside.max()) if len(beside) >= around else float("inf")


def pictures_since_a_new_one(frame: npt.NDArray[np.int64], held: Flags) -> Values:
    """(pictures,) grid frames between this picture and the last one before it that was new."""
    since = np.ones(len(frame))
    new = np.flatnonzero(~held)
    since[new[1:]] = np.diff(frame[new])
    return since


def late_pictures(since: Values, held: Flags) -> Flags:
    """(pictures,) it makes up for pictures that were held or left out just before it, more than those around it."""
    least = minimum_filter1d(np.where(held, np.inf, since), 2 * _LATE_AROUND + 1, mode="nearest")
    return np.asarray(~held & (since > least), bool)
