"""A few planted pairs as shards, small enough for every test to have its own, and trainings on them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base.hashes import sha256_of
from pipeline.base.units import FPS
from pipeline.model.training.loop import train
from pipeline.model.training.metrics import METRICS
from pipeline.model.training.recipe import Recipe
from pipeline.shards.format import VERSION
from pipeline.shards.index import build_index, write_index
from pipeline.shards.write import write_shard
from pipeline.theatre import planted


def shard_rows(count: int, seconds: float = 5.0) -> list[dict[str, Any]]:
    """`count` clips, each of a speaker of its own."""
    return [planted.row(next(planted.clips(range(n, n + 1), seconds))) for n in range(count)]


def write_shards(folder: Path, splits: dict[str, Sequence[dict[str, Any]]]) -> Path:
    """Shards of these rows; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for split, rows in splits.items():
        path = folder / f"{split}-00000-of-00001.parquet"
        write_shard(path, rows)
        seconds = sum(row["frames"] for row in rows) / FPS
        entry = {"path": path.name, "split": split, "rows": len(rows), "seconds": seconds}
        entries.append({**entry, "bytes": path.stat().st_size, "sha256": sha256_of(path)})
    write_index(folder, build_index(entries, [], version=".".join(map(str, VERSION)), settings={}))
    return folder


def recipe(**changed: Any) -> Recipe:
    """A training of a few quick steps that repeats to the bit."""
    given: dict[str, Any] = {
        "size": "tiny",
        "window_frames": 40,
        "batch": 4,
        "steps": 8,
        "learning_rate": 1e-3,
        "warmup_steps": 2,
        "ema_decay": 0.9,
        "deterministic": True,
        "micro_batch": 4,
        "log_every": 1,
        "validate_every": 4,
        "validation_windows": 4,
        "sample_every": 0,
        "checkpoint_every": 3,
    }
    return Recipe(**{**given, **changed})


def without_features(row: dict[str, Any]) -> dict[str, Any]:
    """The row of a clip whose sound was not listened to."""
    return {**row, "audio_features": None, "audio_features_of": None}


def unseen(row: dict[str, Any], point: int, frames: slice) -> dict[str, Any]:
    """The row with a point that its net was not sure of in these frames."""
    scores = np.array(row["scores"])
    scores[frames, point] = 0.4
    return {**row, "scores": scores}


def fit(shards: Path, folder: Path, *, say: Callable[[str], None] = lambda line: None, **changed: Any) -> Path:
    """Train by `recipe`, with caches beside the shards; returns the last checkpoint."""
    return train(recipe(**changed), shards, folder, shards.parent / "cache", say=say)


def losses(folder: Path, name: str = "loss") -> dict[int, float]:
    """What a training noted, by step."""
    lines = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}
