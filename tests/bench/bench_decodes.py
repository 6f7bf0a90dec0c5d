"""How often sound is decoded by workers that share a video, and pictures over the stages of a kept clip, as the reader counts.

python -m tests.bench decodes [--rounds N]
"""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from pipeline.media.moments import FACES, STILL, STRIP
from pipeline.media.sound_tracks import SoundTracks
from pipeline.storage import DiskStorage
from pipeline.storage.cache import Cache
from tests.bench.footage import Footage, speaker
from tests.bench.stage_by_stage import steps
from tests.bench.table import OURS, PEER, Goal, Row, contest, rows

CLIPS, WORKERS = 120, 4
FIRST, FRAMES = 100, 250
OF_SOURCE = ("annotate", "same_face", "lip_sync", "export", "previews")


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    footage = speaker(folder)
    runs = {
        OURS: sound(footage, folder, WORKERS, shared=True),
        PEER: sound(footage, folder, WORKERS, shared=False),
    }
    yield from rows(f"sound of {CLIPS} clips of a video, {WORKERS} workers, shared or not", contest(runs, rounds), None)
    one = {OURS: runs[OURS], PEER: sound(footage, folder, 1, shared=False)}
    yield from rows("the same, against one worker that shares with nobody", contest(one, rounds), None)
    yield from pictures(footage, folder, rounds)


def sound(footage: Footage, folder: Path, workers: int, *, shared: bool) -> Callable[[], object]:
    """Workers that take turns at the clips of one video, each time with an empty cache."""
    row: dict[str, Any] = {**footage.row(), "sha256": "0" * 64}
    numbers = count()

    def run() -> None:
        place = folder / f"cache-{workers}-{shared}-{next(numbers)}"
        crew = [SoundTracks(DiskStorage(folder), Cache(place, 1 << 30) if shared else None) for _ in range(workers)]
        for clip in range(CLIPS):
            crew[clip % workers].piece(row, clip * 4, 125)

    return run


def pictures(footage: Footage, folder: Path, rounds: int) -> Iterator[Row]:
    """Frames decoded a frame of the clip, by stage, with what is kept and (peer) without; then what the stages cost."""
    runs = {OURS: frozenset((FACES, STRIP, STILL)), "strip": frozenset((STRIP,)), PEER: frozenset[str]()}
    found = {who: steps(footage, folder / f"steps-{who}", FIRST, FRAMES, kinds) for who, kinds in runs.items()}
    source = FRAMES * (footage.facts.source_fps or 25) / 25
    in_source = {who: {name: found[who][name].frames / source for name in OF_SOURCE} for who in (OURS, PEER)}
    still = found["strip"]["previews"].frames  # its strip was kept: the rest is of the exported clip
    in_source[PEER]["previews"] -= still / source
    for name in OF_SOURCE:
        yield Row(f"decodes of a kept clip in {name}", "times", in_source[OURS][name], in_source[PEER][name])
    ours, peer = (sum(in_source[who].values()) for who in (OURS, PEER))
    yield Row("decodes of a kept clip in all of these", "times", ours, peer, goal=Goal("value", 3))
    exported = {who: found[who]["attributes"].frames for who in (OURS, PEER)}
    yield Row("decodes of the exported clip", "times", exported[OURS] / FRAMES, (exported[PEER] + still) / FRAMES)
    costs: dict[str, dict[str, list[float]]] = {name: {OURS: [], PEER: []} for name in found[OURS]}
    for number in range(rounds):
        for who in (OURS, PEER):
            for name, step in steps(footage, folder / f"steps-{who}-{number}", FIRST, FRAMES, runs[who]).items():
                costs[name][who].append(step.cost.cpu)
    for name, spent in costs.items():
        yield Row(f"{name} without its nets", "CPU s", median(spent[OURS]), median(spent[PEER]), samples=spent)
    whole = {
        who: [sum(values) for values in zip(*(costs[name][who] for name in costs), strict=True)] for who in (OURS, PEER)
    }
    yield Row("all of these without their nets", "CPU s", median(whole[OURS]), median(whole[PEER]), samples=whole)
