"""Which samples show the same person, by the likeness of their faces over the whole run."""

import logging
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.stage import Reads, Resources, Row, Stage, Unit

log = logging.getLogger(__name__)


class Speakers(Stage):
    """Groups the face vectors of all samples; a row each. Who has no vector has no speaker.

    A speaker is a name within this run and nothing else: no name, no other data set is looked up. Groups are as good as the net
    that made the vectors. Twins and strangers who look alike may be one speaker; somebody with another beard, pair of glasses or
    twenty years more may be two. `min_likeness` of 0.4 suits both nets that are registered: ArcFace's same-person means lie from
    0.5 up and others' about 0, MobileFaceNet's at 0.6 to 0.95 and below 0.35 (on the few real clips of the tests).
    """

    name: ClassVar[str] = "speakers"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "samples of the same person, by their faces"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("attributes", ("person_id", "clip_id", "video_id", "identity")),)
    writes: ClassVar[str] = "speakers"
    modules: ClassVar[tuple[str, ...]] = ("faiss",)
    resources: ClassVar[Resources] = Resources(seconds=6 * 3600, memory_gb=16, one_worker=True)

    min_likeness: float = Field(
        0.4, gt=0, lt=1, description="mean cosine of two groups' face vectors from which they are one speaker"
    )
    neighbours: int = Field(32, ge=1, description="likest samples that each one is compared with at first")

    def process(self, unit: Unit) -> Iterator[Row]:
        from pipeline import speakers

        rows = [row for row in unit.rows("attributes") if _usable(row["identity"])]
        rows.sort(key=lambda row: row["person_id"])  # so that ties fall the same way whoever wrote first
        if not rows:
            return
        widths = Counter(len(row["identity"]) for row in rows)
        if len(widths) > 1:
            raise ValueError(
                f"face vectors of different nets are mixed, of {sorted(widths)} numbers: run attributes again"
            )
        labels = speakers.cluster(np.stack([row["identity"] for row in rows]), self.min_likeness, self.neighbours)
        named = speakers.names(labels, [row["person_id"] for row in rows])
        count = Counter(named)
        log.info("%d samples of %d speakers", len(rows), len(count))
        for row, speaker in zip(rows, named, strict=True):
            ids = {key: row[key] for key in ("person_id", "clip_id", "video_id")}
            yield {**ids, "speaker": speaker, "speaker_samples": count[speaker]}


def _usable(identity: NDArray[np.float32] | None) -> bool:
    """Whether there is a vector with a direction."""
    return identity is not None and bool(np.isfinite(identity).all() and identity.any())


if __name__ == "__main__":
    from pipeline.cli import stage_main

    stage_main("speakers")
