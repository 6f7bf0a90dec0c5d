"""Which samples show the same person, by the likeness of their faces over the whole run."""

import logging
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from pipeline.base.units import Row
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.engine.unit import Unit

log = logging.getLogger(__name__)

# By the width of the vectors: ArcFace's, whose other people lie about 0, and MobileFaceNet's, whose lie up to 0.37.
LIKENESS = {512: 0.4, 128: 0.45}


class Speakers(Stage):
    """Groups the face vectors of all samples; a row each. Who has no vector has no speaker.

    A speaker is a name within this run and nothing else: no name, no other data set is looked up. Groups are as good as the net
    that made the vectors. Strangers who look alike may be one speaker; somebody with another beard, other glasses or twenty years
    more may be two. Nets tell people of some groups apart worse than of others: on the real clips of the tests MobileFaceNet gives
    0.57 to 0.97 for one person and up to 0.37 for two, the highest of them for men of like complexion.
    """

    name: ClassVar[str] = "speakers"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "samples of the same person, by their faces"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("attributes", ("person_id", "clip_id", "video_id", "identity")),)
    writes: ClassVar[str] = "speakers"
    resources: ClassVar[Resources] = Resources(seconds=6 * 3600, memory_gb=16, one_worker=True)

    min_likeness: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="mean cosine of two groups' face vectors that makes one speaker; 0: as suits the net",
    )
    neighbours: int = Field(32, ge=1, description="likest samples that each one is compared with at first")

    _threads: int = PrivateAttr(default=0)

    def setup(self, context: Context) -> None:
        self._threads = context.threads

    def process(self, unit: Unit) -> Iterator[Row]:
        from stages.speakers import clusters as speakers

        rows = [row for row in unit.rows("attributes") if _usable(row["identity"])]
        rows.sort(key=lambda row: row["person_id"])  # so that ties fall the same way whoever wrote first
        if not rows:
            return
        widths = Counter(len(row["identity"]) for row in rows)
        if len(widths) > 1:
            raise ValueError(
                f"face vectors of different nets are mixed, of {sorted(widths)} numbers: run attributes again"
            )
        vectors = np.stack([row["identity"] for row in rows])
        least = self.min_likeness or LIKENESS.get(vectors.shape[1], max(LIKENESS.values()))
        labels = speakers.cluster(vectors, least, self.neighbours, self._threads)
        named = speakers.names(labels, [row["person_id"] for row in rows])
        count = Counter(named)
        log.info("%d samples of %d speakers", len(rows), len(count))
        for row, speaker in zip(rows, named, strict=True):
            ids = {key: row[key] for key in ("person_id", "clip_id", "video_id")}
            yield {**ids, "speaker": speaker, "speaker_samples": count[speaker]}


def _usable(identity: NDArray[np.float32] | None) -> bool:
    """Whether there is a vector with a direction."""
    return identity is not None and bool(np.isfinite(identity).all() and identity.any())
