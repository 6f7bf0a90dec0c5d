"""Evaluations by several workers and in parts: the same rows, a GPU and one process of a back-end for each worker."""

import json
import multiprocessing
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.base.errors import BadUse, StageError, UnitsFailed
from stages.evaluate import Evaluate, gpus
from stages.evaluate.gpus import claim
from tests.pipeline.backends.fakes import checkout
from tests.stages.evaluate.studio import Studio

CLAIMING = """
import sys
from pathlib import Path
from stages.evaluate.gpus import claim
print(claim(sys.argv[2].split(","), Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("given", "named"),
    [("0,1", ("0", "1")), (2, ("2",)), ("", ()), ([0, 1], ("0", "1")), ("GPU-8f1a-22, 3", ("GPU-8f1a-22", "3"))],
)
def test_gpus_are_named_as_users_write_them(given: Any, named: tuple[str, ...]) -> None:
    assert Evaluate(gpus=given).gpus == named


def test_what_is_no_gpu_is_refused() -> None:
    with pytest.raises(ValueError, match="no number or UUID"):
        Evaluate(gpus="0;rm")


def test_each_worker_has_a_gpu_and_a_dead_one_leaves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def claimed() -> tuple["subprocess.Popen[str]", str]:
        command = [sys.executable, "-c", CLAIMING, str(tmp_path), "0,1"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    first, second = claimed(), claimed()
    try:
        assert {first[1], second[1]} == {"0", "1"}
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        monkeypatch.setattr(gpus, "WAIT_SECONDS", 0.0)
        with pytest.raises(StageError, match="every GPU of 0, 1 has a worker"):
            claim(("0", "1"), tmp_path)
        first[0].kill()
        first[0].communicate()
        assert claim(("0", "1"), tmp_path) == first[1], "who was killed holds nothing"
        assert claim(("0", "1"), tmp_path) == first[1], "a process has one"
    finally:
        for process, _ in (first, second):
            process.kill()
            process.communicate()
        gpus._claimed.pop(tmp_path)[1].close()


def stand_in(studio: Studio, folder: Path, **changed: Any) -> dict[str, Any]:
    options = checkout(folder, "stableanimator")
    (folder / "place").write_text(json.dumps([0.08, 0.08]))
    return {
        "method": "transfer",
        "backend": "stableanimator",
        "backend_dir": str(folder),
        "backend_python": options.python,
        "backend_size": options.size,
        "inception": (),
        "i3d": (),
        "settings": ("unpaired",),
        **changed,
    }


def rows(studio: Studio) -> dict[str, dict[str, Any]]:
    found = studio.rows("transfer-stableanimator", "renditions")
    scores = studio.rows("transfer-stableanimator")
    return {name: {**found[name], **scores[name]} for name in found}


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes take long to begin on a busy machine."""
    monkeypatch.setattr("pipeline.engine.executors.local.SETUP_SECONDS", 600.0)


@pytest.mark.slow
def test_two_workers_make_the_rows_of_one_and_open_weights_once_each(
    filmed: Path, nets: Path, tmp_path: Path, unhurried: None
) -> None:
    studio = Studio(shutil.copytree(filmed, tmp_path / "run"), nets)  # worker processes, not this one
    before = multiprocessing.active_children()
    one, two = tmp_path / "one", tmp_path / "two"
    Evaluate(**stand_in(studio, one)).run(studio.session())
    alone, table = rows(studio), studio.table()
    assert len(alone) == 3 and len((one / "opened").read_text().splitlines()) == 1
    asked = stand_in(studio, two, gpus=("4", "7"), backend_steps=9)
    (two / "together").write_text("2")
    Evaluate(**asked).run(studio.session())
    opened = [line.split() for line in (two / "opened").read_text().splitlines()]
    assert sorted(gpu for _, gpu in opened) == ["4", "7"], "a process a GPU"
    assert len({pid for pid, _ in opened}) == 2
    together = rows(studio)
    same = [key for key in next(iter(alone.values())) if key != "film"]  # named after the settings
    assert {n: [row[key] for key in same] for n, row in together.items()} == {
        n: [row[key] for key in same] for n, row in alone.items()
    }
    assert studio.table() == table
    assert [process for process in multiprocessing.active_children() if process not in before] == []


def test_parts_of_an_evaluation_make_up_the_whole(studio: Studio, tmp_path: Path) -> None:
    asked = stand_in(studio, tmp_path / "checkout")
    for part in ("1/2", "0/2"):
        Evaluate(**asked, shard=part).run(studio.session())
        assert studio.table() == [], "the table is of all"
    filmed = (tmp_path / "checkout/opened").read_text()
    Evaluate(**asked).run(studio.session())
    assert (tmp_path / "checkout/opened").read_text() == filmed, "nothing is filmed again"
    assert len(rows(studio)) == 3
    assert any(line.startswith("| transfer (stableanimator) | 0 + 3 |") for line in studio.table())
    call = (studio.place() / "transfer-stableanimator" / "call.json").read_text()
    assert "--shard" not in call


def test_a_part_that_is_none(studio: Studio) -> None:
    with pytest.raises(BadUse, match="0 <= I < N"):
        Evaluate(method="transfer", shard="2/2").run(studio.session())


def test_a_clip_that_fails_is_told_and_the_others_are_filmed_in_the_same_process(
    studio: Studio, tmp_path: Path
) -> None:
    asked = stand_in(studio, tmp_path / "checkout")
    script = tmp_path / "checkout/common.py"
    once = "    if not Path('failed').exists():\n        Path('failed').touch()\n        raise ValueError('no')\n"
    script.write_text(script.read_text().replace('    if how == "crash":', once + '    if how == "crash":'))
    with pytest.raises(UnitsFailed, match="1 units failed"):
        studio.evaluate(**asked)
    lines = studio.table()
    assert any(line.startswith("| transfer (stableanimator) | 0 + 2/3 |") for line in lines)
    assert any("1 of renditions: backend_failed (it ended with status 1: ValueError: no" in line for line in lines)
    assert len((tmp_path / "checkout/opened").read_text().splitlines()) == 1
    again = studio.evaluate(**asked)
    assert any(line.startswith("| transfer (stableanimator) | 0 + 3 |") for line in again)
