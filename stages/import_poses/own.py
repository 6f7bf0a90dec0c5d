"""Skeletons from a release of ours: the very numbers that were annotated, found by the clip's place in its video."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.base.reasons import Reason, Reject
from pipeline.base.units import KEYPOINTS, Row
from pipeline.engine.unit import Unit
from pipeline.shards.release import COLUMNS
from pipeline.tables.parts import read_places
from stages.import_poses.archive import Reader

_MAX_SKEW = 0.02  # by which two encodings of a video may differ in their picture's shape
_FRAME_WIDTHS = {"keypoints": 2 * KEYPOINTS, "scores": KEYPOINTS, "boxes": 4}


def rows(reader: Reader, unit: Unit) -> Iterator[Row]:
    """Rows of `persons`, as they were released; scaled where the video was fetched in another size.

    Raises:
        Reject: BAD_POSES when the release has no skeleton of this clip, or what it has does not fit.
    """
    clip, video = unit.row("clips"), unit.row("videos")
    files = [str(path) for path in reader.archive.paths]
    released = read_places([(files[entry.size], entry.offset) for entry in reader.rows(clip["clip_id"])], COLUMNS)
    longer = [row for row in released if _length(row) >= clip["frames"]]
    length = min((_length(row) for row in longer), default=0)
    people = [row for row in longer if _length(row) == length]
    if not people:
        raise Reject(Reason.BAD_POSES, f"the release has no skeleton of {clip['clip_id']}")
    ranks = [row["person"] for row in people]
    if None in ranks or min(ranks) < 0 or len(set(ranks)) < len(ranks):
        raise Reject(Reason.BAD_POSES, f"the release numbers its speakers {ranks}")
    for row in people:
        yield _fitted(row, clip, video)


def _length(row: Row) -> int:
    return int(row["frames"] or 0)


def _fitted(row: Row, clip: Row, video: Row) -> Row:
    """A released row for this clip and this picture."""
    frames, surplus = clip["frames"], _length(row) - clip["frames"]
    if surplus > 2:
        raise Reject(Reason.BAD_POSES, f"skeletons of {_length(row)} frames for a clip of {frames}")
    arrays = {name: _array(row, name) for name in _FRAME_WIDTHS}
    x, y = _scales(row, video)
    if (x, y) != (1.0, 1.0):
        for name in ("keypoints", "boxes"):
            pairs = arrays[name].astype(np.float64).reshape(len(arrays[name]), -1, 2)
            half = 0.5 if name == "keypoints" else 0.0  # points name a pixel's centre, boxes its borders
            arrays[name] = ((pairs + half) * [x, y] - half).reshape(len(pairs), -1).astype(np.float32)
    boxes = arrays["boxes"][:frames]
    sharpness = row["face_sharpness"]
    if sharpness is None or len(sharpness) != _length(row):
        sharpness = np.full(_length(row), np.nan, np.float32)
    return {
        **row,
        **{name: array[:frames] for name, array in arrays.items()},
        "person_id": f"{clip['clip_id']}#{row['person']}",
        "clip_id": clip["clip_id"],
        "video_id": clip["video_id"],
        "frames": frames,
        "frames_seen": int(np.isfinite(boxes).all(1).sum()) if surplus else row["frames_seen"],
        "width": video["width"],
        "height": video["height"],
        "face_sharpness": sharpness[:frames],
    }


def _array(row: Row, name: str) -> Any:
    value = row[name]
    if name == "boxes" and value is None:
        return np.full((_length(row), 4), np.nan, np.float32)
    if value is None or value.shape != (_length(row), _FRAME_WIDTHS[name]):
        shape = None if value is None else value.shape
        raise Reject(Reason.BAD_POSES, f"{name} of shape {shape} for {_length(row)} frames")
    return value


def _scales(row: Row, video: Row) -> tuple[float, float]:
    """By how much the fetched picture is larger than the one that was annotated, across and down."""
    if not row["width"] or not row["height"]:
        raise Reject(Reason.BAD_POSES, "the release does not say in which picture its pixels are")
    x, y = video["width"] / row["width"], video["height"] / row["height"]
    if abs(x / y - 1) > _MAX_SKEW:
        was, now = f"{row['width']}x{row['height']}", f"{video['width']}x{video['height']}"
        raise Reject(Reason.BAD_POSES, f"annotated in a picture of {was}, fetched in {now}: another shape")
    return x, y
