"""Who is who among planted face vectors: 20,000 people in 8 clips each, at several noises.

python -m tests.bench speakers [--rounds N]

`ours` of the last rows is the number of speakers found over the true one, less 1; precision and recall are of pairs. The limit
is the bare product of the matrix with itself, by numpy on one thread. The goal is for two cores that nobody else uses: with five
other processes on them 349 and 916 s were seen, at 540 to 600 CPU seconds.
"""

import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.base.arrays import Floats32, Ints
from stages.speakers import LIKENESS, Speakers
from stages.speakers.clusters import cluster
from tests.bench.table import Cost, Goal, Row, cost_of
from tests.stages.speakers.planted_identities import agreement, plant

PEOPLE, CLIPS = 20_000, 8
NOISES: tuple[float | tuple[float, float], ...] = (0.6, 0.5, (0.35, 0.8))
MOST_SECONDS, MOST_GB, MOST_ERROR = 600.0, 4.0, 0.02


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    stage = Speakers()
    for likeness in NOISES[-rounds:]:
        vectors, owners = plant(PEOPLE, CLIPS, likeness)
        limit = product_seconds(vectors)
        found, cost = clustered(vectors, stage.neighbours)
        precision, recall = agreement(found, owners)
        what = f"speakers, {PEOPLE:,} x {CLIPS}, likeness {likeness}"
        yield Row(what, "s", cost.wall, None, limit, Goal("value", MOST_SECONDS))
        yield Row(what, "CPU s", cost.cpu)
        yield Row(
            "  error of their number",
            "share",
            abs(found.max() + 1 - PEOPLE) / PEOPLE,
            goal=Goal("value", MOST_ERROR),
        )
        yield Row("  pairs that are wrong", "share", 1 - precision)
        yield Row("  pairs that are missed", "share", 1 - recall)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        yield Row("  peak memory, planting included", "GB", peak, goal=Goal("value", MOST_GB))


def clustered(vectors: Floats32, neighbours: int) -> tuple[Ints, Cost]:
    """Whose each vector is, and what that cost."""
    found: list[Ints] = []
    cost = cost_of(lambda: found.append(cluster(vectors, LIKENESS[512], neighbours)))
    return found[0], cost


def product_seconds(vectors: Floats32, rows: int = 4096) -> float:
    """Seconds that half of all products would take: each pair once."""
    began = time.perf_counter()
    np.dot(vectors[:rows], vectors.T)
    return (time.perf_counter() - began) * len(vectors) / rows / 2
