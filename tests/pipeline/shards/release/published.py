"""A small release with known rows: three videos, five speakers, three splits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.shards import release
from pipeline.shards.release.about import About
from pipeline.shards.release.seal import seal
from pipeline.shards.release.tables import TableWriter, link_line
from pipeline.tables.arrow import to_arrow

FRAMES = 6
VIDEOS = ("yt:aaaaaaaaaa1", "yt:aaaaaaaaaa2", "file:00000000000000f3")
# (video, first frame, rank, split); the second person's id begins with the first one's, and so does the last clip's
SPEAKERS = ((0, 0, 1, "train"), (0, 0, 10, "train"), (0, 50, 0, "train"), (1, 5, 0, "validation"), (2, 5, 0, "test"))


def clip_of(speaker: int) -> str:
    video, first, *_ = SPEAKERS[speaker]
    return f"{VIDEOS[video]}/{first}+{FRAMES}"


def person_of(speaker: int) -> str:
    return f"{clip_of(speaker)}#{SPEAKERS[speaker][2]}"


def url_of(video: int) -> str | None:
    return f"https://www.youtube.com/watch?v={VIDEOS[video][3:]}" if VIDEOS[video].startswith("yt:") else None


def points_of(speaker: int) -> np.ndarray:
    return np.random.default_rng(speaker).uniform(0, 700, (FRAMES, 266)).astype(np.float32)


def link_of(speaker: int) -> dict[str, Any]:
    video, first, rank, split = SPEAKERS[speaker]
    ids = {"person_id": person_of(speaker), "clip_id": clip_of(speaker), "video_id": VIDEOS[video]}
    times = {"first_frame": first, "frames": FRAMES, "start_seconds": first / 25, "end_seconds": (first + FRAMES) / 25}
    picture = {"crop_box": [10 + rank, -20, 650 + rank, 620], "width": 1280, "height": 720, "person": rank}
    words = {"speech_type": "Lecture", "language": "en", "licence": None}
    return {"name": person_of(speaker), **ids, "url": url_of(video), "split": split, **times, **picture, **words}


def skeleton_of(speaker: int) -> dict[str, Any]:
    link = link_of(speaker)
    row = {name: link[name] for name in ("person_id", "clip_id", "video_id", "person", "frames", "width", "height")}
    boxes, scores = np.full((FRAMES, 4), np.nan, np.float32), np.full((FRAMES, 133), 0.5, np.float32)
    arrays = {"keypoints": points_of(speaker), "scores": scores, "boxes": boxes}
    return {**row, **arrays, "frames_seen": FRAMES, "face_sharpness": np.ones(FRAMES, np.float32)}


def _table(rows: Sequence[dict[str, Any]], layout: pa.Schema) -> pa.Table:
    return pa.Table.from_arrays([to_arrow([row.get(f.name) for row in rows], f.type) for f in layout], schema=layout)


def publish(folder: Path, *, names: Mapping[int, str] | None = None, **about: Any) -> Path:
    """Write the release; `names` are of speakers whom a manifest named."""
    own = names or {}
    layouts = release.schemas()
    lines = []
    for split in dict.fromkeys(speaker[3] for speaker in SPEAKERS):
        of = [number for number, speaker in enumerate(SPEAKERS) if speaker[3] == split]
        rows = {
            "links": [link_of(n) | ({"name": own[n]} if n in own else {}) for n in of],
            "skeletons": [skeleton_of(n) for n in of],
            "measures": [{**link_of(n), "yaw_degrees": float(n)} for n in of],
            "availability": [
                {"video_id": VIDEOS[v], "url": url_of(v), "state": "live" if url_of(v) else "no link", "reason": ""}
                for v in dict.fromkeys(SPEAKERS[n][0] for n in of)
            ],
        }
        lines += [link_line(row) for row in rows["links"]]
        for table, of_table in rows.items():
            with TableWriter(folder, table, split, 0 if table == "skeletons" else None) as writer:
                writer.write(_table(of_table, layouts[table]))
    (folder / release.LINKS).write_text("".join(lines))
    seal(folder, About(**{"title": "Planted <b>", "published": "2026-11-29", **about}))
    return folder
