"""Subjects from the shards of a run, their skeletons as stored."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.units import Row
from pipeline.engine.unit import Unit
from pipeline.shards.item import clip_path
from pipeline.shards.read import open_shards
from stages.evaluate.cast import squares, whole_body_frame
from stages.evaluate.protocols import SIDES
from stages.evaluate.subjects.clips import clips_of_shards, drawn
from stages.evaluate.subjects.settings import SubjectsSettings

_SIDE = SIDES["csg405"]
_ROW = (
    *("clip_id", "video_id", "person", "frames", "keypoints", "scores", "audio"),
    *("video", "video_sha256", "speaker"),
)


class ClipReader:
    """Holds the rows of the split."""

    def __init__(self, settings: SubjectsSettings) -> None:
        self._settings = settings
        wanted = set(drawn(clips_of_shards(settings), settings.limit))
        rows = open_shards(Path(settings.source), settings.shards_split).rows(_ROW)
        named = ((f"{row['clip_id']}#{row['person']}", row) for row in rows)
        self._rows: dict[str, Row] = {name: row for name, row in named if name in wanted}

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the row of a clip. Raises Reject, Failure where its video cannot be used."""
        row = self._rows[unit.id]
        for _ in squares(self._film_of(row["video"]), 1, _SIDE):
            pass  # whether it is a video at all: later it would stop everything
        scores = np.asarray(row["scores"], np.float32)
        yield {
            "subject": unit.id,
            "video_id": row["video_id"],
            "speaker": row.get("speaker") or row["video_id"],
            "film": row["video"],
            "film_sha256": row["video_sha256"],
            "frames": row["frames"],
            "side": _SIDE,
            "keypoints": np.asarray(row["keypoints"]).reshape(row["frames"], -1),
            "scores": scores,
            "reference_frame": whole_body_frame(scores),
            "audio": row["audio"],
        }

    def _film_of(self, video: str | None) -> Path:
        """The video of a row of the shards; nothing outside their run is opened."""
        if not video:
            raise Reject(Reason.NOT_MEDIA, "the shards say of no video of this clip: they are a copy without footage")
        path = clip_path(Path(self._settings.base), video)
        if path is None:
            raise Reject(Reason.NOT_MEDIA, f"the shards say {video[:80]}, which leads out of their run")
        if not path.is_file():
            raise Failure(Reason.SOURCE_MISSING, f"{video} is not in {self._settings.base}")
        return path
