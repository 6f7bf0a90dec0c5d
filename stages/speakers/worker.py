"""Groups the face vectors of all samples of a run into speakers."""

import logging
from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from stages.speakers.clusters import cluster, names
from stages.speakers.settings import LIKENESS, SpeakersSettings

log = logging.getLogger(__name__)


class SpeakersWorker:
    """Turns face vectors into rows of `speakers`.

    Args:
        settings: of the stage.
        context: how many threads search for neighbours.
    """

    def __init__(self, settings: SpeakersSettings, context: Context) -> None:
        self._settings, self._threads = settings, context.threads

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield a row for each sample with a usable vector. Raises ValueError: vectors of different nets are mixed."""
        rows = [row for row in unit.rows("attributes") if _usable(row["identity"])]
        rows.sort(key=lambda row: row["person_id"])  # so that ties fall the same way whatever the order of the parts
        if not rows:
            return
        speakers = names(self._clusters(rows), [row["person_id"] for row in rows])
        count = Counter(speakers)
        log.info("%d samples of %d speakers", len(rows), len(count))
        for row, speaker in zip(rows, speakers, strict=True):
            ids = {key: row[key] for key in ("person_id", "clip_id", "video_id")}
            yield {**ids, "speaker": speaker, "speaker_samples": count[speaker]}

    def _clusters(self, rows: list[Row]) -> NDArray[np.integer]:
        """(rows,) the cluster of each."""
        widths = Counter(len(row["identity"]) for row in rows)
        if len(widths) > 1:
            raise ValueError(
                f"face vectors of different nets are mixed, of {sorted(widths)} numbers: run attributes again"
            )
        vectors = np.stack([row["identity"] for row in rows])
        least = self._settings.min_likeness or LIKENESS.get(vectors.shape[1], max(LIKENESS.values()))
        return cluster(vectors, least, self._settings.neighbours, self._threads)


def _usable(identity: NDArray[np.float32] | None) -> bool:
    """Whether there is a vector with a direction."""
    return identity is not None and bool(np.isfinite(identity).all() and identity.any())


open_worker = SpeakersWorker
