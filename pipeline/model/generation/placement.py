"""Placement of a reference in the model's frame: compared with the training data, and fitted where it is off."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.model.audio_to_skeleton import NEVER_SEEN, Reference
from pipeline.model.generation.inputs import MIN_SCORE, BadInput, Person
from pipeline.model.space import SkeletonSpace, to_picture
from pipeline.skeleton import align
from pipeline.skeleton.layout import UPPER_BODY


@dataclass(frozen=True)
class Placed:
    """A reference in the model's frame.

    Attributes:
        reference: the model's input, px of the 512 crop.
        into: picture px -> px of the 512 crop.
        check: of the reference as placed.
        notes: lines to show the user before anything costly starts.
    """

    reference: Reference
    into: align.Similarity
    check: align.Check
    notes: tuple[str, ...]


def place(
    person: Person, space: SkeletonSpace, how: Literal["auto", "always", "never"] = "auto", sure_score: float = 0.0
) -> Placed:
    """Place a person in the model's frame.

    The whole picture is letterboxed first. When shoulder width or neck position are unlike those of training (or always, or
    never), a similarity maps head, shoulders and hips to where training has them.

    Args:
        person: the reference.
        space: the model's.
        how: when to fit.
        sure_score: points scored lower help to locate the body, but are masked for the model: it was trained on references
            without such points, and would trust a wrong one.

    Raises:
        BadInput: no shoulders, so the size of the body is unknown.
    """
    points = np.where((np.nan_to_num(person.scores) >= MIN_SCORE)[:, None], person.keypoints, np.nan).astype(float)
    framing = space.framing.cpu().numpy().astype(float)
    into = align.letterbox(*person.size)
    try:
        check = align.check(into.apply(points), framing)
    except ValueError as error:
        raise BadInput(f"{person.name}: {error}") from error
    notes = [f"reference {person.name}: {warning}" for warning in check.warnings]
    if how == "always" or (how == "auto" and check.warnings):
        fitted = align.fit(points, mean_skeleton(space))
        if fitted is None:
            notes.append("too little of head, shoulders and hips is seen to fit the reference: it is used as it is")
        else:
            into, check = fitted, align.check(fitted.apply(points), framing)
            within = "; ".join(check.warnings) or "now within the range of training"
            notes.append(f"fitted: {fitted.scale:.2f} x, turned by {np.degrees(fitted.angle):.0f} degrees; {within}")
    reference = Reference.of(into.apply(points), person.scores, MIN_SCORE, sure_score)
    unsure = [name for name, k in UPPER_BODY.items() if np.isfinite(points[k]).all() and not reference.valid[k]]
    if unsure:
        why = f"scored under {sure_score:g} and, as in training, not used"
        notes.append(f"reference {person.name}: {why}: {', '.join(unsure)}")
    return Placed(reference, into, check, tuple(notes))


def mean_skeleton(space: SkeletonSpace) -> NDArray[np.float64]:
    """The mean skeleton of training at the median neck, (133, 2) px; NaN for points hardly ever seen."""
    neck = space.framing[1:, 1]
    points = space.mean if space.picture else to_picture(space.mean, neck)
    skeleton = points.cpu().numpy().astype(float)
    skeleton[space.seen.cpu().numpy() < NEVER_SEEN] = np.nan
    return skeleton
