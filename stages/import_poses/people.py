"""Rows of `persons` of the people in released poses."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base.units import FPS, Row
from pipeline.skeleton.released import boxes_of


def planned_frames(clip: Row) -> int:
    """Frames of the clip as its times give them: it may have lost some that its video lacks at the end."""
    return max(int(clip["frames"]), int(np.floor(round(FPS * (clip["end_seconds"] - clip["start_seconds"]), 6) + 0.5)))


def ranked(
    clip: Row, video: Row, keypoints: NDArray[np.float32], scores: NDArray[np.float32], shared: Mapping[str, Any]
) -> list[Row]:
    """Make a row of each person who is seen at all, in order of (first frame seen, x).

    Args:
        keypoints: (P, F, 133, 2) source pixels.
        scores: (P, F, 133).
        shared: columns that are the same for all of them.
    """
    people = []
    for points, confidence in zip(keypoints, scores, strict=True):
        boxes = boxes_of(points, confidence)
        seen = np.isfinite(boxes).all(1)
        if seen.any():
            first = int(np.argmax(seen))
            people.append((first, float(boxes[first, 0] + boxes[first, 2]), points, confidence, boxes))
    people.sort(key=lambda person: person[:2])
    return [
        {
            "person_id": f"{clip['clip_id']}#{number}",
            "clip_id": clip["clip_id"],
            "video_id": clip["video_id"],
            "person": number,
            "frames": clip["frames"],
            "frames_seen": int(np.isfinite(boxes).all(1).sum()),
            "width": video["width"],
            "height": video["height"],
            "keypoints": points.reshape(len(points), -1),
            "scores": confidence,
            "boxes": boxes,
            "face_sharpness": np.full(len(points), np.nan, np.float32),
            **shared,
        }
        for number, (_, _, points, confidence, boxes) in enumerate(people)
    ]
