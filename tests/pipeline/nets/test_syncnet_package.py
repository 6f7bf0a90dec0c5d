"""SyncNet by syncnet-python on our crops, and its whole pipeline, beside our own form of the same weights."""

import builtins
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import soundfile

from pipeline.media.video import write_video
from pipeline.nets.syncnet import Score, SyncNet, distances, samples_of, score, windows_of
from pipeline.nets.syncnet.package import SyncNetReference, write_crop
from pipeline.nets.syncnet.whole import WholePipeline
from tests.pipeline.nets.planted_s3fd import BOX, SIDE, write_s3fd
from tests.pipeline.nets.syncnets import moving_crops, noisy_wave, random_net, reference

SAME = 1e-3
FRAMES = 56  # more than the fifty that the pipeline asks of a face


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SyncNet's state dict with random weights; skips where syncnet-python is not installed."""
    state = reference().state_dict()
    import torch

    path = tmp_path_factory.mktemp("weights") / "syncnet_v2.model"
    torch.save(state, path)
    return path


def written(folder: Path, crops: np.ndarray) -> Path:
    for number, crop in enumerate(crops):
        write_crop(folder, number, crop)
    return folder


def ours(net: SyncNet, crops: np.ndarray, wave: np.ndarray, used: np.ndarray | None = None) -> Score:
    windows = windows_of(len(crops))
    return score(distances(net.lips(crops[None])[0][:windows], net.sound(wave, windows)), used)


def assert_same(found: Score, wanted: Score) -> None:
    assert (found.offset, found.halves) == (wanted.offset, wanted.halves)
    assert found.confidence == pytest.approx(wanted.confidence, abs=SAME)
    assert found.distance == pytest.approx(wanted.distance, abs=SAME)
    assert wanted.distance > 0.1, "a net that gives nothing proves nothing"


@pytest.mark.slow
def test_it_says_what_our_form_says(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crops, wave = moving_crops(30), noisy_wave(30)
    before = np.get_printoptions()
    evaluation = SyncNetReference(weights, batch=7, threads=1).evaluate(written(tmp_path, crops), wave)
    assert evaluation.lips.shape == evaluation.sound.shape == (25, 1024)
    everything = np.ones(25, bool)
    assert_same(evaluation.score(everything), ours(random_net(), crops, wave))
    assert evaluation.score(everything).confidence == evaluation.confidence  # the package's own number
    gap = everything.copy()
    gap[8:14] = False
    assert_same(evaluation.score(gap), ours(random_net(), crops, wave, gap))
    assert np.get_printoptions() == before and capsys.readouterr().out == ""


def test_crops_arrive_to_the_bit(tmp_path: Path) -> None:
    crops = moving_crops(2)
    written(tmp_path, crops)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000.jpg", "000001.jpg"]
    np.testing.assert_array_equal(np.stack([cv2.imread(str(path)) for path in sorted(tmp_path.iterdir())]), crops)


def test_other_weights_are_refused(tmp_path: Path, weights: Path) -> None:
    import torch

    torch.save({"a": torch.zeros(1)}, tmp_path / "other.model")
    (tmp_path / "none.model").write_bytes(b"no weights")
    for name in ("other.model", "none.model"):
        with pytest.raises(ValueError, match=f"{name} is not SyncNet v2"):
            SyncNetReference(tmp_path / name)


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "syncnet_python":
            raise ModuleNotFoundError(f"No module named {name!r}", name="syncnet_python")
        return real(name, *rest, **more)

    for name in [name for name in sys.modules if name.partition(".")[0] == "syncnet_python"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"needs syncnet-python .*: .* install .*--no-deps syncnet-python==0\.2\.3"):
        SyncNetReference(tmp_path / "any")


def flickering(folder: Path, frames: int) -> tuple[Path, Path]:
    """A film of a picture that flickers, and its sound."""
    wave = noisy_wave(frames)
    still = cv2.resize(moving_crops(1)[0], (SIDE, SIDE)).astype(float)
    bright = np.random.default_rng(5).uniform(0.7, 1.0, frames)
    pictures = [np.asarray(still * level, np.uint8) for level in bright]
    write_video(folder / "film.mp4", iter(pictures), wave, size=(SIDE, SIDE))
    soundfile.write(folder / "sound.wav", samples_of(wave), 16_000)
    return folder / "film.mp4", folder / "sound.wav"


@pytest.mark.slow
def test_the_whole_pipeline_finds_the_face_itself(tmp_path: Path, weights: Path) -> None:
    pipeline = WholePipeline(weights, write_s3fd(tmp_path / "s3fd.pth"), threads=1)
    work = tmp_path / "work"
    work.mkdir()
    [face] = pipeline.faces(*flickering(tmp_path, FRAMES), work)
    assert len(face.frames) > 50 and face.frames[0] == 0
    np.testing.assert_allclose(face.boxes, np.tile(BOX, (len(face.frames), 1)), atol=0.5)
    cut = work / "cropped" / "crop_00000"  # what it cut out, and the sound that it took for it
    crops = np.stack([cv2.imread(str(path)) for path in sorted(cut.glob("*.jpg"))])
    wave, _ = soundfile.read(cut / "audio.wav", dtype="float32")
    wanted = ours(random_net(), crops[: len(wave) // 640], wave)
    assert face.offset == wanted.offset and wanted.distance > 0.1
    assert (face.confidence, face.distance) == pytest.approx((wanted.confidence, wanted.distance), abs=SAME)


def test_a_pipeline_that_sees_nobody(tmp_path: Path, weights: Path) -> None:
    pipeline = WholePipeline(weights, write_s3fd(tmp_path / "s3fd.pth", blind=True), threads=1)
    (tmp_path / "work").mkdir()
    assert pipeline.faces(*flickering(tmp_path, 10), tmp_path / "work") == []
