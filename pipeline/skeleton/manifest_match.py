"""Match manifest crops to tracked people: a manifest gives a crop and no identity."""

from dataclasses import dataclass

import numpy as np

from pipeline.base.arrays import Floats
from pipeline.base.units import Box


@dataclass(frozen=True)
class CropMatch:
    """How a tracked person relates to the manifest's crops.

    Attributes:
        clips_person: whether a crop was matched to this person; None where there is no manifest.
        overlap: share of the person's boxes that lies in the manifest's crop; None without a crop.
        box: the matched crop in whole pixels; for people without a match, the crop that holds most of them.
    """

    clips_person: bool | None = None
    overlap: float | None = None
    box: Box | None = None


NO_MATCH = CropMatch()


def match_crops(boxes: list[Floats], crops: list[list[float]]) -> list[CropMatch]:
    """Match crops to people one to one: each crop goes to the person with the largest mean area inside it.

    A person that no crop touches has no match. Without crops, the largest person is the match.

    Args:
        boxes: per person (F, 4) x1, y1, x2, y2 in source pixels, NaN where unseen; an unseen frame has area 0.
        crops: x1, y1, x2, y2 each, in source pixels.

    Returns:
        one match per person, in order.
    """
    whole = np.array([_area(b[:, 0], b[:, 1], b[:, 2], b[:, 3]) for b in boxes])
    if not crops:
        largest = int(np.argmax(whole))
        return [CropMatch(i == largest and whole[i] > 0) for i in range(len(boxes))]
    held = np.array([[_held(b, crop) for crop in crops] for b in boxes])  # (persons, crops)
    crop_of = _pairs(held)
    matches = []
    for i in range(len(boxes)):
        nearest = crop_of.get(i, int(np.argmax(held[i])))
        share = float(held[i, nearest] / whole[i]) if whole[i] else 0.0
        matches.append(CropMatch(i in crop_of, share, _whole_pixels(crops[nearest])))
    return matches


def _pairs(held: Floats) -> dict[int, int]:
    """Greedy one-to-one assignment, person -> crop, largest area first."""
    crop_of: dict[int, int] = {}
    left = held.copy()
    while left.size and left.max() > 0:
        person, crop = (int(v) for v in np.unravel_index(np.argmax(left), left.shape))
        crop_of[person] = crop
        left[person, :], left[:, crop] = 0, 0
    return crop_of


def _held(boxes: Floats, crop: list[float]) -> float:
    """Mean area of the boxes inside the crop, px^2."""
    x1, y1, x2, y2 = crop
    return _area(
        np.maximum(boxes[:, 0], x1),
        np.maximum(boxes[:, 1], y1),
        np.minimum(boxes[:, 2], x2),
        np.minimum(boxes[:, 3], y2),
    )


def _area(x1: Floats, y1: Floats, x2: Floats, y2: Floats) -> float:
    """Mean area over the frames, px^2."""
    areas = np.maximum(x2 - x1, 0).astype(np.float64) * np.maximum(y2 - y1, 0)
    return float(np.nan_to_num(areas).mean()) if areas.size else 0.0


def _whole_pixels(crop: list[float]) -> Box | None:
    x1, y1, x2, y2 = (round(value) for value in crop)
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None
