"""Rendering the programme to disk."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pipeline.theatre import PROGRAMMES, build, take_named, truth
from pipeline.theatre import coding as module
from pipeline.theatre.film import Film
from pipeline.theatre.takes import Take

ROOT = Path(__file__).parents[3]


@pytest.fixture
def two_takes(monkeypatch: pytest.MonkeyPatch) -> list[Take]:
    takes = [take_named("empty"), take_named("short")]
    monkeypatch.setitem(PROGRAMMES, "demo", tuple(takes))
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
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_film_drawn_again_is_the_same_file(suffix: str, tmp_path: Path) -> None:
    film = Film(replace(take_named("short"), suffix=suffix), 405)
    for name in ("once", "again"):
        module.write_film(film, tmp_path / name)
    assert (tmp_path / "once").read_bytes() == (tmp_path / "again").read_bytes()


def test_workers_end_when_who_started_them_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\nfrom pathlib import Path\nfrom pipeline.theatre import build\n"
        "if __name__ == '__main__':\n    build(Path(sys.argv[1]), workers=2)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    driver = subprocess.Popen([sys.executable, str(program), str(tmp_path / "films")], env=env)
    workers: list[psutil.Process] = []
    try:
        while len(workers) < 2:
            assert driver.poll() is None
            time.sleep(0.05)
            workers = [p for p in psutil.Process(driver.pid).children() if "spawn_main" in " ".join(p.cmdline())]
    finally:
        driver.kill()
        driver.wait()
    _, left = psutil.wait_procs(workers, timeout=30)
    left = [process for process in left if process.status() != psutil.STATUS_ZOMBIE]
    for process in left:
        process.kill()
    assert not left
