"""Twins among simulated videos: what finding them costs in time and memory, and whether they are found.

python -m tests.bench twins [--rounds N]

Each video is ten minutes of random items, as no speech is alike; two hundred are copies whose bits differ by a tenth, half of them
parts of thirty seconds. The same for motion: films of ten minutes in studios of five, which alone are compared; copies are noisy,
half of them mirrored. Then what the fingerprint of a talk costs, in processor time of this process and of ffmpeg, beside what
reading its sound costs, which every measure of sound pays.
"""

import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.audio import read_wave
from pipeline.media.chromaprint import Items, fingerprint
from pipeline.media.shots.motion_print import MotionPrint
from pipeline.media.writer import write_video
from stages.twins import Twins
from stages.twins.scenes import paired
from tests.bench.table import Goal, Row, cost_of
from tests.stages.twins.talks import talk

VIDEOS, COPIES = ((1_000, 10), (10_000, 10), (20_000, 10), (100_000, 1)), 200  # how many, and minutes of each
ITEMS = 482  # of a minute
PART = 220  # items of thirty seconds
FLIPPED = 0.1  # of the bits of a copy; Opus at 32 kbit/s flips 0.03, another tempo 0.08
MOST_CPU_SECONDS, MOST_GB = 60.0, 4.0  # for 10,000 videos; memory without the planting's
LOOKED_AT = 100_000  # films whose studios are told by their thumbnails
ALIKE = 2_000, 8_000, 20_000, 100_000  # films of one studio
ROOM_NOISE = 6  # grey levels by which their thumbnails differ
MOVING, STUDIO, SECONDS = (1_000, 10_000), 5, 600  # films that are compared by motion, films of a studio, and of a film
TALK_SECONDS = 120


def planted(videos: int, minutes: int, seed: int) -> tuple[list[Items], set[tuple[int, int]]]:
    """Fingerprints, and the pairs of them that are copies."""
    rng = np.random.default_rng(seed)
    prints = [rng.integers(0, 1 << 32, minutes * ITEMS, np.uint32) for _ in range(videos)]
    chosen = rng.permutation(videos)[: 2 * COPIES].reshape(COPIES, 2)
    for at, (source, copy) in enumerate(chosen):
        piece = prints[source] if at % 2 else prints[source][200 : 200 + PART]
        # whole items stay or change, as in real copies: a burst of noise flips a run of items, others stay as they are
        flips = (rng.uniform(size=(len(piece), 32)) < 2 * FLIPPED) & (rng.uniform(size=len(piece)) < 0.5)[:, None]
        prints[copy] = piece ^ np.packbits(flips, axis=1).view(np.uint32).ravel()
    return prints, {tuple(sorted(pair)) for pair in chosen.tolist()}  # type: ignore[misc]


def compared(prints: list[Items]) -> set[tuple[int, int]]:
    """The pairs that the stage calls twins."""
    rows = [{"video_id": f"{at:06d}", "fingerprint": items.tobytes()} for at, items in enumerate(prints)]
    videos = [{"video_id": row["video_id"], "bytes": 1, "duration_seconds": 1.0, "upload_date": None} for row in rows]
    return _pairs(Unit("all", {"sound_fingerprints": rows, "videos": videos}))


def _pairs(unit: Unit) -> set[tuple[int, int]]:
    found = Twins().worker(Context(Path())).process(unit)
    return {tuple(sorted((int(row["video_id"]), int(row["twin_of"])))) for row in found if row.get("twin_of")}  # type: ignore[misc]


class Filmed:
    """What moves in simulated films, made when it is read: all of them would not fit into memory.

    Args:
        films: how many.
        seed: of all.

    Attributes:
        copies: pairs of one studio that are one film.
        spent: processor seconds that making them took.
    """

    def __init__(self, films: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._seed, self.spent = seed, 0.0
        self._scenes = rng.integers(0, 256, (-(-films // STUDIO), 64), np.uint8)
        chosen = rng.permutation(films // STUDIO)[: min(COPIES, films // STUDIO)] * STUDIO
        self._source = {int(first) + 1: int(first) for first in chosen}
        self.copies = {(first, copy) for copy, first in self._source.items()}

    def load(self, rows: Sequence[int] | None = None) -> list[dict[str, Any]]:
        began = time.process_time()
        made = [self._film(row) for row in rows or ()]
        self.spent += time.process_time() - began
        return made

    def _film(self, row: int) -> dict[str, Any]:
        rng = np.random.default_rng((self._seed, self._source.get(row, row)))
        cells = np.repeat(rng.integers(0, 120, (SECONDS * 25 // 8, 16), np.uint8), 4, 0)
        if row in self._source:
            cells = cells.reshape(-1, 4, 4)[:, :, :: -1 if row % 2 else 1].reshape(-1, 16)
            cells = cells + np.random.default_rng((self._seed, row)).integers(0, 40, cells.shape, np.uint8)
        return {"motion_print": cells.tobytes(), "scene_print": self._scenes[row // STUDIO].tobytes()}


def filmed(films: int) -> Iterator[Row]:
    """Rows of finding copies by motion alone."""
    made = Filmed(films, films)
    ids = [f"{at:06d}" for at in range(films)]
    clips = [{"video_id": one, "first_frame": 0, "frames": 25 * SECONDS} for one in ids]
    silent = [{"video_id": one, "fingerprint": None} for one in ids]
    videos = [{"video_id": one, "bytes": 1, "duration_seconds": 1.0, "upload_date": None} for one in ids]
    light = {"sound_fingerprints": silent, "videos": videos, "clips": clips}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result: list[set[tuple[int, int]]] = []
    cost = cost_of(lambda: result.append(_pairs(Unit("all", light, {"clips": made}))))
    wrong, missed = len(result[0] - made.copies), len(made.copies - result[0])
    several = films * (STUDIO - 1) // 2
    yield Row(f"by motion, {films:,} of 10 min, {several:,} pairs", "CPU s", cost.cpu - made.spent)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6
    yield Row("  peak memory", "GB", peak, goal=Goal("value", MOST_GB))
    yield Row(f"  copies that are missed, of {len(made.copies)}", "", missed, goal=Goal("value", 0))
    yield Row("  pairs that are wrong", "", wrong, goal=Goal("value", 0))


def studios() -> Iterator[Row]:
    """Rows of telling by thumbnails who shares a studio: five each, and all of them one, which differ by noise or by nothing."""
    rng = np.random.default_rng(1)
    shown = rng.integers(0, 256, (LOOKED_AT // STUDIO, 64), np.uint8)
    thumbnails = [[shown[at // STUDIO].tobytes()] for at in range(LOOKED_AT)]
    yield Row(f"who shares a studio, of {LOOKED_AT:,}", "CPU s", _told(thumbnails))
    room = rng.integers(40, 200, 64)
    for films in ALIKE:
        noisy = np.clip(room + rng.normal(0, ROOM_NOISE, (films, 64)), 0, 255).astype(np.uint8)
        yield Row(f"  {films:,} of one studio, alike", "CPU s", _told([[one.tobytes()] for one in noisy]))
        yield Row(f"  {films:,} of one studio, the same", "CPU s", _told([[noisy[0].tobytes()]] * films))


def _told(thumbnails: Sequence[Sequence[bytes]]) -> float:
    limits = Twins()
    return _spent(lambda: paired(thumbnails, limits.studio_films, limits.motion_pairs))


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    for films in MOVING:
        yield from filmed(films)
    yield from studios()
    for videos, minutes in VIDEOS:
        prints, copies = planted(videos, minutes, videos)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result: list[set[tuple[int, int]]] = []
        cost = cost_of(lambda prints=prints, result=result: result.append(compared(prints)))  # type: ignore[misc]
        goal = Goal("value", MOST_CPU_SECONDS) if videos == 10_000 else None
        yield Row(f"twins, {videos:,} videos of {minutes} min", "CPU s", cost.cpu, goal=goal)
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
    pictures = np.random.default_rng(1).integers(0, 256, (8, 144, 256), np.uint8)
    noting = min(_spent(lambda: _noted(pictures)) for _ in range(rounds))
    yield Row("noting what moves in a minute of pictures", "CPU s", noting)


def _noted(pictures: np.ndarray) -> None:
    prints = MotionPrint()
    for frame in range(60 * 25):
        prints.see(frame, pictures[frame // 2 % len(pictures)])


def _spent(work: Callable[[], object]) -> float:
    """Processor seconds of this process and of those that it started."""
    before, began = os.times(), time.process_time()
    work()
    after = os.times()
    children = after.children_user + after.children_system - before.children_user - before.children_system
    return time.process_time() - began + children
