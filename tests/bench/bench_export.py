"""Export against a bare ffmpeg command that does the same cut, crop, scale and encode (the limit).

python -m tests.bench export [--rounds N]
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.base.units import Box
from pipeline.engine.unit import Unit
from pipeline.media.writer import ffmpeg_exe
from pipeline.skeleton.layout import K
from stages.export import Export
from tests.bench.footage import CLIP, VIDEO, Footage, clip, ready, speaker, unit
from tests.bench.table import LIMIT, OURS, Goal, Row, Skipped, contest, rows

GOAL = Goal("share", 0.93)
OTHER = "autoeditor_example"  # H.264 720p; the speaker is HEVC 1080p
FIRST, FRAMES = 100, 250  # 10 s from the middle
PERSON = {"person_id": f"{CLIP}#0", "clip_id": CLIP, "video_id": VIDEO}


def measured(folder: Path, rounds: int) -> Iterator[Row]:
    yield from of(speaker(folder), folder, rounds)
    with suppress(Skipped):
        yield from of(clip(OTHER), folder, rounds)


def of(footage: Footage, folder: Path, rounds: int) -> Iterator[Row]:
    """The stage and the command on one film."""
    box = square_of(footage)
    stage = Export()
    costs = contest(
        {
            OURS: export(stage, footage, box, folder),
            LIMIT: lambda: ffmpeg(stage, footage, box, folder / "bare.mp4"),
        },
        rounds,
    )
    wall, processor = rows(f"export {footage.name}, {box[2] - box[0]} px to {stage.side_px}", costs, None, FRAMES)
    yield from (wall, replace(processor, goal=GOAL))


def square_of(footage: Footage) -> Box:
    """A square as wide as most speakers are framed: nine tenths of the short side, in the middle."""
    width, height = footage.facts.width, footage.facts.height
    side = round(min(width, height) * 0.9) // 2 * 2
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def export(stage: Export, footage: Footage, box: Box, folder: Path) -> Callable[[], object]:
    """The whole stage on one kept speaker."""
    speaking = kept(footage, box, FIRST, FRAMES)

    def run() -> object:
        worker = ready(stage, folder)  # a fresh one: every clip pays for its own sound, as the command does
        return list(worker.process(speaking))

    return run


def kept(footage: Footage, box: Box, first: int, frames: int) -> Unit:
    """A kept speaker with points somewhere in the box."""
    rng = np.random.default_rng(405)
    points = rng.uniform(box[:2], box[2:], (K, 2)) + rng.normal(0, 2, (frames, K, 2))
    person = {"keypoints": points.reshape(frames, -1).astype(np.float32), "scores": np.ones((frames, K), np.float32)}
    return unit(footage, first, frames, verdicts=PERSON, persons=person, pose_measures={"crop_box": list(box)})


def ffmpeg(stage: Export, footage: Footage, box: Box, target: Path) -> None:
    """The same by one command: its picture is scaled in the colours of the file, ours in RGB."""
    x1, y1, x2, y2 = box
    cut = ["-ss", f"{FIRST / 25}", "-i", f"file:{footage.path}", "-t", f"{FRAMES / 25}", "-frames:v", str(FRAMES)]
    scale = f"fps=25,crop={x2 - x1}:{y2 - y1}:{x1}:{y1},scale={stage.side_px}:{stage.side_px}:flags=area"
    video = ["-c:v", "libx264", "-preset", stage.preset, "-crf", str(stage.crf), "-bf", "0", "-g", "50"]
    form = ["-pix_fmt", "yuv420p", "-threads", str(stage.encoder_threads), "-movflags", "+faststart"]
    sound = ["-c:a", "aac", "-ar", "16000", "-ac", "1"]
    call = [ffmpeg_exe(), "-y", "-loglevel", "error", *cut, "-vf", scale, *video, *form, *sound, str(target)]
    subprocess.run(call, check=True, stdin=subprocess.DEVNULL)
