"""How often sound is decoded by workers that share a video, and pictures over the stages of a kept clip, as the reader counts.

python -m tests.bench decodes [--rounds N]
"""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.units import KEYPOINTS
from pipeline.engine.unit import Unit
from pipeline.media.frames import decoded_frames
from pipeline.media.reading import AS_IT_STANDS
from pipeline.media.sound_tracks import SoundTracks
from pipeline.media.video import GridReader
from pipeline.storage import DiskStorage
from pipeline.storage.cache import Cache
from stages.export import Export
from stages.previews import Previews
from tests.bench.footage import CLIP, VIDEO, Footage, ready, speaker
from tests.bench.table import OURS, PEER, Goal, Row, contest, rows

CLIPS, WORKERS = 120, 4
FIRST, FRAMES = 100, 250
PERSON = {"person_id": f"{CLIP}#0", "clip_id": CLIP, "video_id": VIDEO}


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    footage = speaker(folder)
    runs = {
        OURS: sound(footage, folder, WORKERS, shared=True),
        PEER: sound(footage, folder, WORKERS, shared=False),
    }
    yield from rows(f"sound of {CLIPS} clips of a video, {WORKERS} workers, shared or not", contest(runs, rounds), None)
    one = {OURS: runs[OURS], PEER: sound(footage, folder, 1, shared=False)}
    yield from rows("the same, against one worker that shares with nobody", contest(one, rounds), None)
    yield from pictures(footage, folder)


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


def pictures(footage: Footage, folder: Path) -> Iterator[Row]:
    """Frames decoded a frame of the clip: three stages read it whole, previews its strip, and a still of what was exported."""
    decoded = decoded_frames()
    for _ in range(2):  # annotate, lip_sync
        with GridReader(footage.path, FIRST, FRAMES, reading=AS_IT_STANDS) as reader:
            source = sum(1 for _ in reader) * (footage.facts.source_fps or 25) / 25
    read = decoded_frames()
    unit = kept(footage)
    [sample] = ready(Export(), folder).process(unit)
    exported = decoded_frames()
    video = {**footage.row(), "grid_frames": FIRST + FRAMES}
    shown = {"videos": [video], "clips": unit.rows("clips"), "persons": unit.rows("persons"), "samples": [sample]}
    shown |= {"pose_measures": unit.rows("pose_measures"), "verdicts": [{**PERSON, "keep": True, "reasons": []}]}
    list(ready(Previews(), folder).process(Unit(VIDEO, shown)))
    steps = {
        "annotate and lip_sync": read - decoded,
        "export": exported - read,
        "previews": decoded_frames() - exported,
    }
    for name, frames in steps.items():
        yield Row(f"decodes of a kept clip in {name}", "times", frames / source)
    yield Row("decodes of a kept clip in all of these", "times", sum(steps.values()) / source, goal=Goal("value", 3))


def kept(footage: Footage) -> Unit:
    """A kept speaker in the middle of the footage."""
    side = min(footage.facts.width, footage.facts.height) // 2 * 2
    points = np.random.default_rng(405).uniform(0, side, (FRAMES, KEYPOINTS, 2)).astype(np.float32)
    person = {**PERSON, "keypoints": points.reshape(FRAMES, -1), "scores": np.ones((FRAMES, KEYPOINTS), np.float32)}
    clip = {"clip_id": CLIP, "video_id": VIDEO, "first_frame": FIRST, "frames": FRAMES}
    box = {**PERSON, "crop_box": [0, 0, side, side]}
    kinds: dict[str, dict[str, Any]] = {
        "verdicts": PERSON,
        "persons": person,
        "clips": clip,
        "videos": footage.row(),
        "pose_measures": box,
    }
    return Unit(PERSON["person_id"], {kind: [dict(row)] for kind, row in kinds.items()})
