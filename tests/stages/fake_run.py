"""A run made by hand: tables with rows that are easy to state, and a driver of ten lines."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.base.units import SAMPLES_PER_FRAME
from pipeline.engine.plan import plan
from pipeline.engine.stage import Context, Stage
from pipeline.media.audio import to_flac
from pipeline.skeleton.local import to_local
from pipeline.tables.arrow import pack_rows
from pipeline.tables.kinds import KINDS
from pipeline.tables.outcome import Outcome
from pipeline.tables.store import Store

FRAMES = 130


_buffer: dict[tuple[Path, str], list[tuple[pa.Table | None, Outcome]]] | None = None


@contextmanager
def together(store: Store) -> Iterator[None]:
    """What is added inside is written at the end, one part a kind: quicker by far."""
    global _buffer
    _buffer = {}
    yield
    written, _buffer = _buffer, None
    for (_, kind), entries in written.items():
        store.table(kind).append([rows for rows, _ in entries if rows is not None], [outcome for _, outcome in entries])


def _append(store: Store, kind: str, entries: list[tuple[pa.Table | None, Outcome]]) -> None:
    if _buffer is not None:
        _buffer.setdefault((store.run, kind), []).extend(entries)
    else:
        store.table(kind).append([rows for rows, _ in entries if rows is not None], [outcome for _, outcome in entries])


def add(store: Store, kind: str, rows: Iterable[dict[str, Any]], attempt: int = 1) -> None:
    """Append rows as one unit of their own each, named by their key."""
    key = KINDS[kind].key
    entries = [
        (pack_rows(KINDS[kind], row[key], [row]), Outcome(row[key], "test", 0, "ok", attempt=attempt, rows=1))
        for row in rows
    ]
    _append(store, kind, entries)


def refuse(
    store: Store, kind: str, unit: str, reason: str, detail: str = "", status: str = "rejected", attempt: int = 1
) -> None:
    """An outcome without rows."""
    _append(store, kind, [(None, Outcome(unit, "test", 0, status, reason, detail, attempt=attempt))])


def video_id(number: int) -> str:
    return f"file:{number:016x}"


def clip_id(video: int, first: int = 0, frames: int = FRAMES) -> str:
    return f"{video_id(video)}/{first}+{frames}"


def person_id(video: int, first: int = 0, frames: int = FRAMES, person: int = 0) -> str:
    return f"{clip_id(video, first, frames)}#{person}"


def skeleton(seed: int = 0, frames: int = FRAMES) -> np.ndarray:
    """(frames, 133, 2) px of a 512 crop: smooth paths, with some points missing."""
    rng = np.random.default_rng(seed)
    home = rng.uniform(100, 400, (133, 2))
    time = np.arange(frames)[:, None, None] / 25
    points = home + 30 * np.sin(2 * np.pi * rng.uniform(0.1, 2, (133, 1)) * time + rng.uniform(0, 6, (133, 2)))
    points[rng.uniform(size=(frames, 133)) < 0.02] = np.nan
    return np.asarray(points, np.float32)


def ids(video: int, first: int = 0, frames: int = FRAMES, person: int = 0) -> dict[str, str]:
    return {
        "person_id": person_id(video, first, frames, person),
        "clip_id": clip_id(video, first, frames),
        "video_id": video_id(video),
    }


def add_video(store: Store, video: int, **more: Any) -> None:
    row = {"video_id": video_id(video), "path": f"videos/{video}.mp4", "width": 1280, "height": 720}
    add(store, "videos", [{**row, "duration_seconds": 20.0, "grid_frames": 500, "title": f"Talk {video}", **more}])


def add_clip(store: Store, video: int, first: int = 0, frames: int = FRAMES) -> None:
    own = {"clip_id": clip_id(video, first, frames), "video_id": video_id(video)}
    times = {"start_seconds": first / 25, "end_seconds": (first + frames) / 25}
    add(store, "clips", [{**own, "first_frame": first, "frames": frames, **times}])


def add_person(
    store: Store, video: int, first: int = 0, *, person: int = 0, frames: int = FRAMES, **verdict: Any
) -> None:
    """A clip with one person and everything up to the verdict; kept unless `keep=False`."""
    own = ids(video, first, frames, person)
    if person == 0:
        add_clip(store, video, first, frames)
        sound = {"clip_id": own["clip_id"], "video_id": own["video_id"], "has_audio": True, "speech_share": 0.8}
        add(store, "sound_measures", [sound])
    add_persons_row(store, video, first, person=person, frames=frames)
    add(
        store,
        "pose_measures",
        [{**own, "yaw_degrees": 5.0 + video, "crop_box": [300, 0, 1020, 720], "crop_side_px": 720}],
    )
    judge(store, video, first, person=person, frames=frames, **verdict)


def add_persons_row(store: Store, video: int, first: int = 0, *, person: int = 0, frames: int = FRAMES) -> None:
    points = skeleton(video * 1000 + first, frames).reshape(frames, -1)
    scores = np.full((frames, 133), 0.9, np.float32)
    seen = {"frames": frames, "width": 1280, "height": 720, "keypoints": points, "scores": scores}
    add(store, "persons", [{**ids(video, first, frames, person), "person": person, **seen}])


def judge(
    store: Store, video: int, first: int = 0, *, person: int = 0, frames: int = FRAMES, attempt: int = 1, **verdict: Any
) -> None:
    row = {"keep": True, "reasons": [], "details": [], "unmeasured": [], "overridden": False}
    add(store, "verdicts", [{**ids(video, first, frames, person), **row, **verdict}], attempt)


@cache
def silence(frames: int) -> bytes:
    """FLAC, as long as the frames."""
    return to_flac(np.zeros(frames * SAMPLES_PER_FRAME))


def add_sample(store: Store, video: int, first: int = 0, frames: int = FRAMES, /, **more: Any) -> None:
    """The exported clip of a kept person."""
    points = skeleton(video * 1000 + first, frames)
    local, neck = to_local(points)
    row = {
        **ids(video, first, frames),
        "frames": frames,
        "crop_box": [300, 0, 1020, 720],
        "keypoints": points.reshape(frames, -1),
        "scores": np.linspace(0, 1, frames * 133, dtype=np.float32).reshape(frames, 133),
        "local": local.reshape(frames, -1),
        "neck": neck,
        "video": f"clips/{video}-{first}.mp4",
        "video_sha256": "0" * 64,
        "audio": silence(frames),
    }
    add(store, "samples", [{**row, **more}])


def kept(store: Store, video: int, *firsts: int, **more: Any) -> None:
    """A video with one kept person in each of its clips."""
    add_video(store, video, **more)
    for first in firsts or (0,):
        add_person(store, video, first)
        add_sample(store, video, first)


def run(stage: Stage, folder: Path) -> list[str]:
    """Do what is pending, commit it, finish; returns the units that were done."""
    store, context = Store(folder), Context(folder)
    planned, done = plan(stage, store), []
    with stage.driver(context) as given:
        worker = stage.worker(replace(context, given=given))
        for index, unit in planned.pending_units():
            rows = [pack_rows(KINDS[stage.writes], unit.id, list(worker.process(unit)))]
            fingerprint, attempt = int(planned.fingerprints[index]), int(planned.attempts[index]) + 1
            outcome = Outcome(unit.id, stage.name, fingerprint, "ok", attempt=attempt, rows=len(rows[0]))
            store.table(stage.writes).append(rows, [outcome])
            done.append(unit.id)
    stage.finish(context, store)
    return done
