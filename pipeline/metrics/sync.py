"""Sync-C and Sync-D: SyncNet's confidence and distance (Chung and Zisserman, ACCV-W 2016), as talking-head papers report them.

Sync-C is the median minus the least mean distance over offsets of up to 15 frames: more is better. Sync-D is that least mean
distance: less is better. Faces are cut by keypoints instead of S3FD. The same numbers as the stage `lip_sync` measures on films:
`lip_confidence` and `lip_distance`.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.base.arrays import Floats, Picture
from pipeline.base.units import SAMPLES_PER_FRAME
from pipeline.nets.syncnet import distances, lips_of, score, whole_windows
from pipeline.skeleton.face_crop import cut_face, lip_track

if TYPE_CHECKING:
    from pipeline.nets.syncnet import Score, SyncNet
    from pipeline.skeleton.face_crop import FaceTrack


def sync(
    net: "SyncNet",
    pictures: Iterable[Picture],
    keypoints: Floats,
    scores: Floats,
    wave: NDArray[np.float32],
    min_score: float = 0.3,
    min_share: float = 0.5,
    min_px: float = 24.0,
) -> "Score | None":
    """How well a video's lips fit its sound: `.confidence` is Sync-C, `.distance` Sync-D, `.offset` where they fit best.

    None where nothing can be said: no face that is large enough and there often enough, or fewer than six frames.

    Args:
        net: SyncNet.
        pictures: F frames (H, W, 3) RGB, 25 a second.
        keypoints: (F, 133, 2) in the frames' pixels, NaN where not seen.
        scores: (F, 133).
        wave: (samples,) of 16 kHz, -1..1; what is missing to F x 640 is silence, what is more is not heard.
        min_score, min_share, min_px: of the face, as `pipeline.skeleton.face_crop.lip_track` takes them.

    Raises:
        ValueError: not as many pictures as keypoints.
    """
    track = lip_track(keypoints, scores, min_score, min_share, min_px)
    if track is None:
        return None
    lips = lips_of(net, _crops(pictures, track), 1)[0]
    used = whole_windows(track.seen, len(lips)) if len(lips) else np.zeros(0, bool)
    if not used.any():
        return None
    missing = max(0, len(keypoints) * SAMPLES_PER_FRAME - len(wave))
    whole = np.pad(wave, (0, missing))[: len(keypoints) * SAMPLES_PER_FRAME]
    return score(distances(lips, net.sound(whole, len(lips))), used)


def _crops(pictures: Iterable[Picture], track: "FaceTrack") -> Iterator[NDArray[np.uint8]]:
    """(1, 224, 224, 3) BGR of every picture."""
    for _, (frame, picture) in zip(track.seen, enumerate(pictures), strict=True):
        yield cut_face(picture, track, frame)[None, ..., ::-1]
