"""Rendering the programme to disk."""

import json
from pathlib import Path

import pytest

from pipeline.theatre import build, take_named, truth
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
