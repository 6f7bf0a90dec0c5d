"""Motions that videos follow, fitted to the person of the reference."""

import numpy as np

from pipeline.base.arrays import Floats32
from pipeline.base.reasons import Reason, Reject
from pipeline.skeleton import align
from pipeline.skeleton.layout import visible
from stages.evaluate.cast import Subject


class Motion:
    """What a video follows: keypoints (F, 133, 2) px of the reference's picture, scores (F, 133)."""

    def __init__(self, keypoints: Floats32, scores: Floats32) -> None:
        self.keypoints, self.scores = keypoints, scores


def brought_onto(made: Motion, reference: Subject) -> Motion:
    """Fit a generated motion to the reference where it is off, as a back-end gets it."""
    person = reference.person()
    motion, still = visible(made.keypoints, made.scores), visible(person.keypoints, person.scores)
    _, fitted = align.align_if_off(motion, still)
    return made if fitted is None else Motion(fitted.apply(made.keypoints).astype(np.float32), made.scores)


def transferred(reference: Subject, voice: Subject, *, fit: bool) -> Motion:
    """The true motion of the voice, fitted to the reference if asked. Raises Reject where nothing can be fitted."""
    if not fit:
        return Motion(voice.keypoints, voice.scores)
    person = reference.person()
    _, fitted = align.align_motion(visible(voice.keypoints, voice.scores), visible(person.keypoints, person.scores))
    if fitted is None:
        raise Reject(Reason.NOT_GENERATED, "head, shoulders and hips are not seen well enough to fit the motion")
    return Motion(fitted.apply(voice.keypoints).astype(np.float32), voice.scores)
