"""What a release holds, counted from its tables."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.base.units import FPS
from pipeline.shards.release import ALL_LINKS, AVAILABILITY, RELEASE_SPLITS, SKELETONS, TABLES

_COUNTED = ("clip_id", "video_id", "url", "frames", "licence", "speech_type", "language")


@dataclass
class Counts:
    """What a release holds, for its index and its card.

    Attributes:
        unlinked: speakers in clips of videos without a link, which nobody can rebuild who has not the files.
        smoothed: skeletons that came smoothed from an earlier release.
        splits: split -> speakers.
        rows: table -> split -> rows.
        files: table -> split -> paths relative to the release.
        licences, speech_types, languages, states: of videos.
    """

    speakers: int = 0
    clips: int = 0
    videos: int = 0
    frames: int = 0
    unlinked: int = 0
    smoothed: int = 0
    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    files: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    licences: Counter[str] = field(default_factory=Counter)
    speech_types: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)

    @property
    def hours(self) -> float:
        return self.frames / FPS / 3600

    @property
    def splits(self) -> dict[str, int]:
        return self.rows.get(ALL_LINKS, {})


def split_files(folder: Path, table: str) -> dict[str, list[Path]]:
    """Split -> the files of a table, in order; names begin with that of their split."""
    listed: Sequence[Path] = sorted((folder / table).glob("*.parquet"))
    found = {split: [path for path in listed if path.stem.partition("-")[0] == split] for split in RELEASE_SPLITS}
    return {split: paths for split, paths in found.items() if paths}


def counted(folder: Path) -> Counts:
    """Count what lies in a folder that we wrote, or have checked."""
    counts = Counts()
    for table in TABLES:
        of_splits = split_files(folder, table)
        counts.files[table] = {s: [p.relative_to(folder).as_posix() for p in paths] for s, paths in of_splits.items()}
        counts.rows[table] = {s: sum(pq.read_metadata(p).num_rows for p in paths) for s, paths in of_splits.items()}
    clips: set[str] = set()
    videos: dict[str, Mapping[str, str | None]] = {}
    for path in _of(folder, ALL_LINKS):
        for row in pq.read_table(path, columns=list(_COUNTED)).to_pylist():
            counts.speakers += 1
            counts.frames += row["frames"] or 0
            counts.unlinked += row["url"] is None
            clips.add(row["clip_id"])
            videos[row["video_id"]] = row
    counts.clips, counts.videos = len(clips), len(videos)
    for row in videos.values():
        counts.licences[row["licence"] or "unknown"] += 1
        counts.speech_types[row["speech_type"] or "unknown"] += 1
        counts.languages[row["language"] or "unknown"] += 1
    for path in _of(folder, SKELETONS):
        counts.smoothed += pc.sum(pq.read_table(path, columns=["smoothed"])["smoothed"]).as_py() or 0
    for path in _of(folder, AVAILABILITY):
        counts.states.update(pq.read_table(path, columns=["state"])["state"].to_pylist())
    return counts


def _of(folder: Path, table: str) -> list[Path]:
    return [path for paths in split_files(folder, table).values() for path in paths]
