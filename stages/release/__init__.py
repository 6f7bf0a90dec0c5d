"""What may be published of a run: links, boxes, skeletons, measures, splits, availability and a card; no sound, no footage, no
embeddings, no titles."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pipeline.engine.stage import Reads, Resources, Stage
from pipeline.shards.release import measures
from pipeline.tables.hashing import digest, row_hashes, unit_hashes
from pipeline.tables.kinds import KINDS
from stages.release.looks import states_of
from stages.release.settings import ReleaseSettings

if TYPE_CHECKING:
    from pipeline.tables.store import Store


class Release(ReleaseSettings, Stage):
    """Kept speakers -> `release/`, from which `rebuild --manifest release/links.jsonl --poses release` makes the same keypoints.

    What is declared in `reads` decides when it is written again; the rows themselves are read from the tables, a few at a time.
    """

    name: ClassVar[str] = "release"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "links, boxes, skeletons, measures and splits of kept speakers, to publish"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("verdicts", ("keep",), where="keep"),
        Reads("persons", ("person", "frames", "keypoints", "scores", "boxes", "face_sharpness", "smoothed")),
        Reads("pose_measures", ("crop_box",)),
        Reads("clips", ("first_frame", "frames", "start_seconds", "end_seconds", "manifest_name")),
        Reads("videos", ("url", "width", "height", "licence", "speech_type", "language")),
        Reads("shards", ("split", "sha256")),
    )
    writes: ClassVar[str] = "releases"
    resources: ClassVar[Resources] = Resources(seconds=24 * 3600, memory_gb=8, one_worker=True)

    def depends(self, store: "Store") -> str:
        """What else is published: the measures, too many columns to hand over with a unit, and what was last seen of videos."""
        parts = []
        for kind, names in measures().items():
            table = store.live(kind, names)
            hashes = row_hashes(table, [KINDS[kind].key, *names])
            parts.append(f"{kind} {unit_hashes(np.zeros(len(table), np.int64), hashes, 1)[0]}")
        videos = sorted(store.read("videos", ["video_id"])["video_id"].to_pylist())
        return f"{digest(*parts, str(states_of(store, videos))):016x}"
