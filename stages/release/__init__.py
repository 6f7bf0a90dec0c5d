"""What may be published of a run: links, boxes, skeletons, measures and a card; no sound, no footage, no embeddings, no titles."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pipeline.engine.stage import Context, Reads, Resources, Stage, Work
from pipeline.tables.hashing import digest, row_hashes, unit_hashes
from pipeline.tables.kinds import KINDS
from stages.release.contents import measures
from stages.release.settings import ReleaseSettings

if TYPE_CHECKING:
    from pipeline.tables.store import Store


class Release(ReleaseSettings, Stage):
    """Kept speakers -> `release/`, from which `rebuild --manifest links.jsonl --poses skeletons.parquet` makes the same keypoints.

    What is declared in `reads` decides when it is written again; the rows themselves are read from the tables, a few at a time.
    """

    name: ClassVar[str] = "release"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "links, boxes, skeletons and measures of kept speakers, to publish"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("verdicts", ("keep",), where="keep"),
        Reads("persons", ("person", "frames", "keypoints", "scores", "boxes", "face_sharpness", "smoothed")),
        Reads("pose_measures", ("crop_box",)),
        Reads("clips", ("first_frame", "frames", "start_seconds", "end_seconds", "manifest_name")),
        Reads("videos", ("url", "width", "height", "licence", "speech_type", "language")),
    )
    writes: ClassVar[str] = "releases"
    resources: ClassVar[Resources] = Resources(seconds=24 * 3600, memory_gb=8, one_worker=True)

    def depends(self, store: "Store") -> str:
        """What else is published: the measures, too many columns to hand over with a unit."""
        parts = []
        for kind, names in measures().items():
            table = store.live(kind, names)
            hashes = row_hashes(table, [KINDS[kind].key, *names])
            parts.append(f"{kind} {unit_hashes(np.zeros(len(table), np.int64), hashes, 1)[0]}")
        return f"{digest(*parts):016x}"

    def worker(self, context: Context) -> Work:
        from stages.release.worker import ReleaseWriter

        return ReleaseWriter(self, context)
