"""What the storage costs on a disk: reading and writing clips through it against bare paths (the limit).

python -m tests.bench storage [--rounds N]
"""

import statistics
from collections.abc import Iterator
from pathlib import Path

from pipeline.base import files
from pipeline.storage import Storage, storage_of
from stages.export import Export
from tests.bench.bench_export import export, square_of
from tests.bench.footage import speaker
from tests.bench.table import LIMIT, OURS, Goal, Row, contest, cost_of, rows

CLIPS = 200
BYTES = 500_000  # of a 512x512 clip of 4 s
ADDED = Goal("value", 1.0)


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    run = folder / "run"
    storage, film = storage_of(run), bytes(BYTES)
    costs = contest({OURS: lambda: through(storage, film), LIMIT: lambda: by_path(run, film)}, rounds)
    yield from rows(f"{CLIPS} clips of {BYTES / 1e6:g} MB written and read", costs, None)
    # Of the processor: on the clock, what a disk takes for its fsync differs by more from one time to the next.
    ours, bare = (statistics.median(cost.cpu for cost in costs[name]) for name in (OURS, LIMIT))
    footage = speaker(folder)
    whole = cost_of(export(Export(), footage, square_of(footage), folder)).cpu
    yield Row(
        "what it adds to the export of a 10 s clip", "% of CPU s", 100 * (ours - bare) / CLIPS / whole, goal=ADDED
    )


def through(storage: Storage, film: bytes) -> None:
    """What export and then annotate do with each clip, by keys."""
    for key in keys():
        with storage.writing(key) as path:
            path.write_bytes(film)
        storage.local(key).read_bytes()


def by_path(run: Path, film: bytes) -> None:
    """The same as whole, by paths that everybody joins for themselves."""
    for key in keys():
        with files.replacing(run / key) as path:
            path.write_bytes(film)
        (run / key).read_bytes()


def keys() -> list[str]:
    return [f"clips/{number % 16:02x}/yt_aaaaaaaaaaa-{number:06d}-000100.mp4" for number in range(CLIPS)]
