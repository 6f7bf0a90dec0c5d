"""Where a track becomes somebody else: head, shoulders and colours that jump as no body's do.

A tracker goes by place and pose, which a cut or a dissolve between two speakers of one framing leaves much as they were. A track is
one person's as long as some moment of the second after looks like some moment of the second before: so a turned head, an arm
before the chest, a flash, or a net's slip of a few pictures ends nothing, and a lean or a zoom goes on from picture to picture.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from pipeline.base.arrays import Floats32, Floats64, Picture
from pipeline.base.units import Box
from pipeline.skeleton import layout

MOMENT = 6  # sightings that are looked at together
NEAR = 25  # sightings before and after a change, among which no two moments may be alike
KNOWN = 15  # of them, on either side: what was seen for a blink tells nobody from anybody
# Sightings in between that may show a mixture of two people, as in a dissolve, and the Bhattacharyya distances of colours, 0..1,
# beyond which it is somebody else: of head and chest together, and of the figure where no face is seen.
LIMITS = {0: (0.22, 0.45), 13: (0.33, 0.55), 25: (0.33, 0.55)}
# Logarithm of the ratio of head sizes, and of shoulder widths: a turn narrows the one and not the other.
MAX_SIZE = 0.35
# Of a face that is somebody else's for a while: how far off, in face sizes, and the logarithm of their ratio.
LEAST_MOVE = 0.3
_BINS = (8, 12, 12)  # of CIELAB's lightness and two axes of colour
_COLOURS = int(np.prod(_BINS))
_COLOUR_RANGE = 36  # levels from grey on either axis of colour
_PATCH = 32  # pixels a side
_PARTS = ((-1.0, 0.6), (0.8, 2.4))  # head, chest: from where to where below the face's middle, face sizes
_HALF_WIDTH = 0.8  # face sizes
_MIDDLE_LEVEL, _MAX_GAIN = 110.0, 8.0  # to which head and chest are lit together: a lamp or a fade makes nobody else
_LEAST_POINTS = 34  # of the face's 68
_LEAST_SEEN = 3  # sightings of a moment


@dataclass(frozen=True)
class Looks:
    """What stays with a person, over n sightings in order.

    Attributes:
        sizes: (n, 2) of the head (the larger of the face's width and height) and of the shoulders, px; NaN where not seen.
        colours: (n, 3, B) shares of the colours of head, chest and figure; NaN where not seen.
        faces: (n, 3) x, y of the face's middle and its size, px; NaN where not seen.
    """

    sizes: Floats64
    colours: Floats32
    faces: Floats64


def sizes_of(keypoints: Floats32) -> Floats64:
    """(n, 2) of the head and of the shoulders, px, of keypoints (n, 133, 2), NaN where not seen."""
    points = np.asarray(keypoints, np.float64)
    jaw, brows = points[:, layout.JAW], points[:, layout.RIGHT_BROW.start : layout.LEFT_BROW.stop].mean(1)
    width = np.linalg.norm(jaw[:, 0] - jaw[:, -1], axis=-1)
    height = np.linalg.norm(points[:, layout.CHIN] - brows, axis=-1)
    shoulders = np.linalg.norm(points[:, layout.LEFT_SHOULDER] - points[:, layout.RIGHT_SHOULDER], axis=-1)
    return np.stack([np.fmax(width, height), shoulders], 1)


def faces_of(keypoints: Floats32) -> Floats64:
    """(n, 3) x, y of the face's middle and the larger of its sides, px, of keypoints (n, 133, 2), NaN where not seen."""
    faces = np.full((len(keypoints), 3), np.nan)
    for row, points in enumerate(keypoints):
        face = points[layout.FACE][layout.seen(points[layout.FACE])]
        if len(face) >= _LEAST_POINTS:
            low, high = face.min(0), face.max(0)
            faces[row] = (*(low + high) / 2, (high - low).max())
    return faces


def colours_of(picture: Picture, box: Floats32, keypoints: Floats32) -> Floats32:
    """(3, B) shares of the colours about a person's head, on the chest and in the box's middle; NaN where not seen.

    Args:
        picture: (H, W, 3) RGB.
        box: x1, y1, x2, y2 in its pixels.
        keypoints: (133, 2) likewise, NaN where not seen.
    """
    boxes = [*_head_and_chest(keypoints), _middle_of(box)]
    patches = [None if region is None else _patch(picture, region) for region in boxes]
    lit = [cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY) for patch in patches if patch is not None]
    gain = min(_MAX_GAIN, _MIDDLE_LEVEL / max(float(np.median(lit)), 1.0)) if lit else 1.0
    unseen = np.full(_COLOURS, np.nan, np.float32)
    return np.stack([unseen if patch is None else _shares(patch, gain) for patch in patches])


def _head_and_chest(keypoints: Floats32) -> list[Box | None]:
    x, y, size = faces_of(keypoints[None])[0].tolist()
    if not np.isfinite(size):
        return [None, None]
    left, right = round(x - _HALF_WIDTH * size), round(x + _HALF_WIDTH * size)
    return [(left, round(y + top * size), right, round(y + bottom * size)) for top, bottom in _PARTS]


def _middle_of(box: Floats32) -> Box:
    """The half of a box that holds least of what is behind the person."""
    x1, y1, x2, y2 = box[:4].tolist()
    quarter = (x2 - x1) / 4
    return round(x1 + quarter), round(y1), round(x2 - quarter), round(y2)


def _patch(picture: Picture, box: Box) -> Picture | None:
    """A box as far as it lies in the picture, small; None where less than a third of it does."""
    left, top, right, bottom = box
    region = picture[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if not region.size or 3 * region.shape[0] * region.shape[1] < (right - left) * (bottom - top):
        return None
    return np.asarray(cv2.resize(region, (_PATCH, _PATCH), interpolation=cv2.INTER_AREA), np.uint8)


def _shares(patch: Picture, gain: float) -> Floats32:
    """(B,) share of a patch, lit by `gain`, that has each colour."""
    lit = np.clip(patch * gain, 0, 255).astype(np.uint8)
    lab = cv2.cvtColor(lit, cv2.COLOR_RGB2LAB).astype(np.float32)
    lab[..., 1:] = np.clip(lab[..., 1:] - 128, -_COLOUR_RANGE, _COLOUR_RANGE - 1e-3)
    ranges = [0, 256, -_COLOUR_RANGE, _COLOUR_RANGE, -_COLOUR_RANGE, _COLOUR_RANGE]
    counts = cv2.calcHist([lab], [0, 1, 2], None, list(_BINS), ranges)
    soft = gaussian_filter(counts, 0.7, mode="nearest")  # a shade more or less is no other colour
    return np.asarray((soft / soft.sum()).ravel(), np.float32)


def changes(looks: Looks) -> list[int]:
    """Sightings from which on a track shows another person, in order; empty for one person."""
    found: list[int] = []
    for gap in LIMITS:
        beyond = np.nan_to_num(colour_jumps(looks, gap))
        if gap == 0:
            beyond = np.fmax(beyond, np.nan_to_num(size_jumps(looks)))
        wide = NEAR // 2 + gap
        while len(beyond) and beyond.max() > 1:
            at = _middle(beyond)
            if all(abs(at - other) > wide for other in found):
                found.append(at)
            beyond[max(0, at - wide) : at + wide + 1] = 0
    return sorted(found)


def guests(looks: Looks) -> NDArray[np.bool_]:
    """(n,) sightings that show somebody else for a while, such as who walks past in front, before the track goes on as it was.

    Their colours are neither those of the second before nor of the second after, and the face is of another size or elsewhere,
    which tells them from a flash and from a hand before the face.
    """
    alone = looks.colours.astype(np.float64)
    roots, mean = np.sqrt(alone), np.sqrt(np.stack([_means(looks.colours[:, part]) for part in range(2)]))
    head, chest = (1 - roots[:, part] @ mean[part].T for part in range(2))  # (n, m) each
    strange = np.where(np.isfinite(chest), (head + chest) / 2, head) / LIMITS[0][0] > 1
    known = np.isfinite(head)
    found = np.zeros(len(alone), bool)
    for at in np.flatnonzero((strange & known).any(1)):
        sides = (slice(max(0, at - 2 * NEAR), max(0, at - MOMENT)), slice(at + 1, at + 2 * NEAR))
        found[at] = all(known[at, side].any() and strange[at, side][known[at, side]].mean() > 0.5 for side in sides)
    return found & _moved(looks.faces, found)


def _moved(faces: Floats64, found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) runs of `found` in which the face, (n, 3) of x, y and size, is not where it is, and as large as it is, about them."""
    moved = np.zeros(len(found), bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], found, [False]])))
    for first, stop in edges.reshape(-1, 2):
        about = np.concatenate([faces[max(0, first - NEAR) : first], faces[stop : stop + NEAR]])
        usual = np.nanmedian(about, 0) if np.isfinite(about[:, 0]).any() else np.full(3, np.nan)
        away = np.linalg.norm(faces[first:stop, :2] - usual[:2], axis=1) / usual[2]
        grown = np.abs(np.log(faces[first:stop, 2] / usual[2]))
        moved[first:stop] = _LEAST_SEEN <= stop - first <= NEAR and np.nanmedian(away + grown) > LEAST_MOVE
    return moved


def colour_jumps(looks: Looks, gap: int = 0) -> Floats64:
    """(n,) least distance of colours between moments before and after each sighting, `gap` of them left out in between.

    In shares of its limit: more than 1 is somebody else. NaN where too little is seen.
    """
    roots = np.sqrt(np.stack([_means(looks.colours[:, part]) for part in range(looks.colours.shape[1])]))
    head, chest, figure = np.clip(1 - roots @ roots.transpose(0, 2, 1), 0, 1)  # (m, m) each
    of_face, of_figure = LIMITS[gap]
    faced = np.where(np.isfinite(chest), (head + chest) / 2, head) / of_face
    known = np.asarray(np.isfinite(looks.colours[:, :, 0]).any(1))
    return _least(np.where(np.isfinite(faced), faced, figure / of_figure), known, gap)


def size_jumps(looks: Looks) -> Floats64:
    """(n,) least ratio of sizes between moments before and after each sighting: the head's or the shoulders', the lesser.

    As a share of its limit: more than 1 is somebody else. NaN where too little is seen.
    """
    logs = np.log(np.maximum([_medians(sizes) for sizes in looks.sizes.T], 1e-6))
    ratios = np.abs(logs[:, :, None] - logs[:, None])  # (2, m, m)
    return _least(ratios.min(0) / MAX_SIZE, np.asarray(np.isfinite(looks.sizes).all(1)), 0)


def _means(shares: Floats32) -> Floats64:
    """(m, B) mean of each moment; NaN where too few of its sightings are known."""
    known = np.isfinite(shares[:, 0])
    sums = np.cumsum(np.vstack([np.zeros((1, shares.shape[1])), np.where(known[:, None], shares, 0)]), 0)
    counts = np.concatenate([[0], np.cumsum(known)])
    count = (counts[MOMENT:] - counts[:-MOMENT]) if len(shares) >= MOMENT else np.zeros(0)
    total = (sums[MOMENT:] - sums[:-MOMENT]) if len(shares) >= MOMENT else np.zeros((0, shares.shape[1]))
    return np.where(count[:, None] >= _LEAST_SEEN, np.clip(total, 0, None) / np.maximum(count, 1)[:, None], np.nan)


def _medians(sizes: Floats64) -> Floats64:
    """(m,) median of each moment; NaN where too few of its sightings are known."""
    moments = [sizes[first : first + MOMENT] for first in range(max(0, len(sizes) - MOMENT + 1))]
    return np.array([np.nanmedian(m) if np.isfinite(m).sum() >= _LEAST_SEEN else np.nan for m in moments])


def _least(distance: Floats64, known: NDArray[np.bool_], gap: int) -> Floats64:
    """(n,) least distance (m, m) between a moment of the `NEAR` sightings before and one of those after each sighting."""
    count = len(known)
    least = np.full(count, np.nan)
    for at in range(count):
        end, start = max(0, at - gap // 2), min(at + (gap + 1) // 2, count)
        first, stop = max(0, end - NEAR), min(start + NEAR, count)
        if min(known[first:end].sum(), known[start:stop].sum()) >= KNOWN:
            pairs = distance[first : end - MOMENT + 1, start : stop - MOMENT + 1]
            least[at] = np.nanmin(pairs) if np.isfinite(pairs).any() else np.nan
    return least


def _middle(beyond: Floats64) -> int:
    """The middle of the highest stretch: its every place is as good where two people are mixed for long."""
    top = int(np.nanargmax(beyond))
    high = np.nan_to_num(beyond) >= 0.95 * beyond[top]
    first = top - int(np.argmin(high[top::-1])) + 1 if not high[: top + 1].all() else 0
    last = top + int(np.argmin(high[top:])) - 1 if not high[top:].all() else len(beyond) - 1
    return (first + last + 1) // 2
