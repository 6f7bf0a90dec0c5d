"""Nets and films that the room's tests share."""

from pathlib import Path

import pytest

from pipeline.theatre.detector import build_detector
from pipeline.theatre.facenets import build_face_nets
from pipeline.theatre.lipnet import build_lip_net
from pipeline.theatre.posenet import build_pose_net
from tests.stages.evaluate.studio import (
    Studio,
    asked_once,
    cheap_likeness,
    filmed_once,
    in_this_process,
    row_of,
    write_shards,
)


@pytest.fixture(scope="session")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the theatre's nets, as MODELS names one."""
    folder = tmp_path_factory.mktemp("nets")
    build_face_nets(folder)
    build_lip_net(folder / "theatre_syncnet.onnx")
    build_detector(folder / "theatre_detector.onnx")
    build_pose_net(folder / "theatre_pose.onnx")
    return folder


@pytest.fixture(scope="session")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with three clips of three speakers, all of the test split; tests that change it take a copy."""
    run = tmp_path_factory.mktemp("filmed") / "run"
    write_shards(run, [row_of(run, number, who) for number, who in enumerate(("ada", "ben", "cai"))])
    return run


@pytest.fixture(autouse=True)
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    filmed_once(monkeypatch)
    asked_once(monkeypatch)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    in_this_process(monkeypatch)
    cheap_likeness(monkeypatch)


@pytest.fixture
def studio(filmed: Path, nets: Path, tmp_path: Path, quick: None) -> Studio:
    """A run of its own over those films."""
    run = tmp_path / "run"
    run.mkdir()
    for name in ("shards", "clips"):
        (run / name).mkdir()
        for path in (filmed / name).iterdir():
            (run / name / path.name).write_bytes(path.read_bytes())
    return Studio(run, nets)
