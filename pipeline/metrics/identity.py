"""CSIM: cosine similarity of a generated video's faces to the reference picture's.

The mean cosine similarity between the identity embedding of the reference's face and those of the frames' faces, as in
EchoMimicV2 and the works before it; the paper does not name its net. Here it is whatever `nets.face.identity` runs (DeepFace's
ArcFace by default), on faces cut by keypoints instead of a detector. Numbers of different nets cannot be compared.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.base.arrays import Floats, Picture
from pipeline.nets.face.faces import aligned, can_align
from pipeline.skeleton.layout import visible

if TYPE_CHECKING:
    from pipeline.nets.face.identity import IdentityNet


_FACES = 32  # held at once


@dataclass(frozen=True)
class Csim:
    """CSIM of a video.

    Attributes:
        value: mean cosine similarity, -1..1.
        frames: in which a face was found.
        without_face: frames that were left out.
    """

    value: float
    frames: int
    without_face: int


def face_vector(
    net: "IdentityNet", picture: Picture, keypoints: Floats, scores: Floats, min_score: float = 0.3
) -> Floats | None:
    """(D,) unit vector of the face in a picture (H, W, 3) RGB with keypoints (133, 2) and scores (133,); None without a face."""
    face = _face(picture, visible(keypoints[None], scores[None], min_score)[0])
    return None if face is None else net([face])[0]


def csim(
    net: "IdentityNet",
    reference: Floats,
    pictures: Iterable[Picture],
    keypoints: Floats,
    scores: Floats,
    min_score: float = 0.3,
) -> Csim | None:
    """The similarity of a video's faces to the reference's; None when no frame has a face.

    A face counts where eyes, nose and the corners of the mouth are seen inside the picture.

    Args:
        net: gives unit vectors.
        reference: (D,) unit vector of the reference's face, from `face_vector`.
        pictures: F frames (H, W, 3) RGB.
        keypoints: (F, 133, 2) in the frames' pixels, NaN where not seen. For a video of another system: what a
            pose net finds in it.
        scores: (F, 133).
        min_score: of a point that counts as seen.

    Raises:
        ValueError: not as many pictures as keypoints.
    """
    points = visible(keypoints, scores, min_score)
    total, compared, waiting = 0.0, 0, []
    for picture, own in zip(pictures, points, strict=True):
        face = _face(picture, own)
        if face is not None:
            compared += 1
            waiting.append(face)
        if len(waiting) == _FACES:
            total += float((net(waiting) @ reference).sum(dtype=np.float64))
            waiting = []
    if waiting:
        total += float((net(waiting) @ reference).sum(dtype=np.float64))
    return Csim(total / compared, compared, len(points) - compared) if compared else None


def _face(picture: Picture, points: Floats) -> Picture | None:
    height, width = picture.shape[:2]
    return aligned(picture, points) if can_align(points, (width, height)) else None
