"""Twins among simulated videos: what finding them costs in time and memory, and whether they are found.

python -m tests.bench twins [--rounds N]

Each video is ten minutes of random items, as no speech is alike; two hundred are copies whose bits differ by a tenth, half of them
parts of thirty seconds. Then what the fingerprint of a talk costs, in processor time of this process and of ffmpeg, beside what
reading its sound costs, which every measure of sound pays.
"""

import os
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.audio import read_wave
from pipeline.media.chromaprint import Items, fingerprint
from pipeline.media.writer import write_video
from stages.twins import Twins
from tests.bench.table import Goal, Row, cost_of
from tests.stages.twins.talks import talk

VIDEOS, ITEMS, COPIES = (1_000, 10_000, 20_000), 4_820, 200  # ten minutes are 4,820 items
PART = 220  # items of thirty seconds
FLIPPED = 0.1  # of the bits of a copy; Opus at 32 kbit/s flips 0.03, another tempo 0.08
MOST_CPU_SECONDS, MOST_GB = 60.0, 4.0  # for 10,000 videos, by the issue; memory without the planting's
TALK_SECONDS = 120


def planted(videos: int, seed: int) -> tuple[list[Items], set[tuple[int, int]]]:
    """Fingerprints, and the pairs of them that are copies."""
    rng = np.random.default_rng(seed)
    prints = [rng.integers(0, 1 << 32, ITEMS, np.uint32) for _ in range(videos)]
    chosen = rng.permutation(videos)[: 2 * COPIES].reshape(COPIES, 2)
    for at, (source, copy) in enumerate(chosen):
        piece = prints[source] if at % 2 else prints[source][1000 : 1000 + PART]
        # whole items stay or change, as in real copies: a burst of noise flips a run of items, others stay as they are
        flips = (rng.uniform(size=(len(piece), 32)) < 2 * FLIPPED) & (rng.uniform(size=len(piece)) < 0.5)[:, None]
        prints[copy] = piece ^ np.packbits(flips, axis=1).view(np.uint32).ravel()
    return prints, {tuple(sorted(pair)) for pair in chosen.tolist()}  # type: ignore[misc]


def compared(prints: list[Items]) -> set[tuple[int, int]]:
    """The pairs that the stage calls twins."""
    rows = [{"video_id": f"{at:06d}", "fingerprint": items.tobytes()} for at, items in enumerate(prints)]
    videos = [{"video_id": row["video_id"], "bytes": 1, "duration_seconds": 1.0, "upload_date": None} for row in rows]
    unit = Unit("all", {"sound_fingerprints": rows, "videos": videos})
    found = Twins().worker(Context(Path())).process(unit)
    return {tuple(sorted((int(row["video_id"]), int(row["twin_of"])))) for row in found if row.get("twin_of")}  # type: ignore[misc]


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    for videos in VIDEOS:
        prints, copies = planted(videos, videos)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result: list[set[tuple[int, int]]] = []
        cost = cost_of(lambda prints=prints, result=result: result.append(compared(prints)))  # type: ignore[misc]
        goal = Goal("value", MOST_CPU_SECONDS) if videos == 10_000 else None
        yield Row(f"twins, {videos:,} videos of 10 min", "CPU s", cost.cpu, goal=goal)
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6
        yield Row("  peak memory beside the fingerprints", "GB", peak, goal=Goal("value", MOST_GB))
        yield Row(f"  copies that are missed, of {COPIES}", "", len(copies - result[0]), goal=Goal("value", 0))
        yield Row("  pairs that are wrong", "", len(result[0] - copies), goal=Goal("value", 0))
    yield from _of_a_talk(folder, rounds)


def _of_a_talk(folder: Path, rounds: int) -> Iterator[Row]:
    path = folder / "talk.mp4"
    wave = talk(1, TALK_SECONDS)
    write_video(path, (np.zeros((64, 64, 3), np.uint8) for _ in range(25 * TALK_SECONDS)), wave, size=(64, 64))
    reading = min(_spent(lambda: read_wave(path)) for _ in range(rounds))
    printing = min(_spent(lambda: fingerprint(wave)) for _ in range(rounds))
    yield Row("reading a minute of sound", "CPU s", 60 * reading / TALK_SECONDS)
    yield Row("fingerprinting a minute of it", "CPU s", 60 * printing / TALK_SECONDS)


def _spent(work: Callable[[], object]) -> float:
    """Processor seconds of this process and of those that it started."""
    before, began = os.times(), time.process_time()
    work()
    after = os.times()
    children = after.children_user + after.children_system - before.children_user - before.children_system
    return time.process_time() - began + children
