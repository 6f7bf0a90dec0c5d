"""Rendering the programme to disk."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.media.video import GridReader, probe
from pipeline.theatre import TAKES, build, take_named, truth
from pipeline.theatre import render as module
from pipeline.theatre.takes import Take


@pytest.fixture
def two_takes(monkeypatch: pytest.MonkeyPatch) -> list[Take]:
    takes = [take_named("empty"), take_named("short")]
    monkeypatch.setattr(module, "TAKES", takes)
    return takes


def test_build_renders_what_is_missing_once(two_takes: list[Take], tmp_path: Path) -> None:
    done: list[str] = []
    build(tmp_path, workers=1, progress=lambda name, *_: done.append(name))
    assert sorted(done) == ["empty", "short"]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.mp4")}
    build(tmp_path, workers=1, progress=lambda name, *_: done.append(name))
    assert len(done) == 2
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.mp4")}
    assert not [path for path in tmp_path.rglob("*") if ".part" in path.name]
    assert [entry["name"] for entry in json.loads((tmp_path / "playlist.json").read_text())] == ["empty", "short"]
    found = truth(tmp_path, "short")
    assert found.keypoints.shape == (1, 100, 133, 2) and found.visible.dtype == bool


@pytest.mark.slow
def test_the_whole_programme(tmp_path: Path) -> None:
    build(tmp_path)
    for take in TAKES:
        facts = probe(tmp_path / take.file)
        with GridReader(tmp_path / take.file, size=(64, 36), pixel_format="gray") as reader:
            frames = sum(1 for _ in reader)
        known = truth(tmp_path, take.name)
        assert facts is not None
        assert known.keypoints.shape == (take.persons, take.frames, 133, 2)
        assert frames == take.frames if take.kept_bytes == 1.0 else 125 <= frames < take.frames
        assert len(known.keypoints) == 0 or np.isfinite(known.keypoints).any(axis=(1, 2, 3)).all()
