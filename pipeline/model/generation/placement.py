"""Where a reference lies in the model's frame: checked against training, mended where it is off, and said."""

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
        reference: what the model is given, px of the 512 crop.
        into: picture px -> px of the 512 crop.
        check: of the reference as it is given.
        said: what the user should know, before anything costly starts.
    """

    reference: Reference
    into: align.Similarity
    check: align.Check
    said: tuple[str, ...]


def place(
    person: Person, space: SkeletonSpace, how: Literal["auto", "always", "never"] = "auto", sure_score: float = 0.0
) -> Placed:
    """Bring a person into the model's frame.

    The whole picture is laid into the square first. When the shoulders' width or the neck's place are not those of training
    (or always, or never), a similarity brings head, shoulders and hips to where training has them.

    Args:
        person: the reference.
        space: the model's.
        how: whether it is fitted.
        sure_score: points scored lower say where the body is, but the model is not given them: it has learned from references
            that lack such points, and would take a wrong one at its word.

    Raises:
        BadInput: no shoulders, so that nothing says how large the body is.
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
        fitted = align.fit(points, usual(space))
        if fitted is None:
            notes.append("too little of head, shoulders and hips is seen to fit it: it is used as it is")
        else:
            into, check = fitted, align.check(fitted.apply(points), framing)
            notes.append(
                f"fitted: {fitted.scale:.2f} x, turned by {np.degrees(fitted.angle):.0f} degrees; "
                + ("; ".join(check.warnings) if check.warnings else "now as in training")
            )
    reference = Reference.of(into.apply(points), person.scores, MIN_SCORE, sure_score)
    unsure = [name for name, k in UPPER_BODY.items() if np.isfinite(points[k]).all() and not reference.valid[k]]
    if unsure:
        notes.append(
            f"reference {person.name}: scored under {sure_score:g}, as in training not used: {', '.join(unsure)}"
        )
    return Placed(reference, into, check, tuple(notes))


def usual(space: SkeletonSpace) -> NDArray[np.float64]:
    """(133, 2) px: the mean skeleton of training at the median neck; NaN for points hardly ever seen."""
    neck = space.framing[1:, 1]
    points = space.mean if space.picture else to_picture(space.mean, neck)
    skeleton = points.cpu().numpy().astype(float)
    skeleton[space.seen.cpu().numpy() < NEVER_SEEN] = np.nan
    return skeleton
