"""What was trained, and who takes the model's place where only what it is asked for matters."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.theatre import planted
from pipeline.theatre.detector import build_detector
from pipeline.theatre.posenet import build_pose_net
from stages.generate import film, inputs
from tests.stages.generate.studio import WINDOW, Place


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Nets this small wait for each other where they are spread over threads."""
    torch = pytest.importorskip("torch", reason="needs csg405[train]")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of nine speakers, three of them held out, the nets of the theatre, and a model with random weights."""
    torch = pytest.importorskip("torch", reason="needs csg405[train]")
    from pipeline.model.training.cache import open_cache
    from pipeline.model.training.recipe import Recipe
    from pipeline.model.training.setup import new_model

    folder = tmp_path_factory.mktemp("made")
    planted.write(folder / "shards", {"train": range(6), "test": range(6, 9)}, 6)
    nets = folder / "nets"
    nets.mkdir()
    build_detector(nets / "theatre_detector.onnx")
    build_pose_net(nets / "theatre_pose.onnx")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(405)
        data = open_cache(folder / "shards", "train", folder / "cache")
        model = new_model(Recipe(size="tiny", window_frames=WINDOW), data)
        model.save(folder / "mean.safetensors")  # its last layer is zero: whatever it hears, it gives the mean skeleton
        torch.nn.init.normal_(model.net.final.weight, std=0.02)
        model.save(folder / "model.safetensors")
    return folder


@pytest.fixture
def own_process() -> None:
    """Nets look at a picture in a process of their own, as they do outside tests."""


@pytest.fixture(autouse=True)
def nets_in_this_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """To start a process for each picture takes longer than the rest of most tests."""
    if "own_process" not in request.fixturenames:
        monkeypatch.setattr(inputs, "limited", lambda seconds, function, *arguments: function(*arguments))


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Place:
    return Place(made, tmp_path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the model is asked for; it gives back the reference, standing still."""
    from pipeline.model.audio_to_skeleton import AudioToSkeleton, Motion, Reference

    calls: list[dict[str, Any]] = []

    def still(self: AudioToSkeleton, audio: np.ndarray, reference: Reference, **how: Any) -> Motion:
        calls.append({"audio": audio, "reference": reference, **how})
        local = np.where(reference.valid[:, None], reference.local, np.nan).astype(np.float32)
        frames = len(audio)
        return Motion(
            np.repeat(local[None], frames, 0), np.repeat(reference.neck[None], frames, 0), reference.valid.astype("f4")
        )

    monkeypatch.setattr(AudioToSkeleton, "generate", still)
    return calls


@pytest.fixture
def unfilmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No video is drawn, where arrays say it all: it takes longer than everything else."""
    monkeypatch.setattr(film, "write_skeletons", lambda path, *_: path.touch())
