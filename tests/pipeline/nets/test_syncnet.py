"""SyncNet against its authors' own code, and what its numbers mean."""

import contextlib
import io
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import soundfile

from pipeline.nets.syncnet import convert, distances, score, sound_windows, to_onnx, windows_of
from pipeline.nets.syncnet.net import cepstra
from tests.pipeline.nets.syncnets import moving_crops, noisy_wave, random_net, reference


def evaluated(folder: Path, crops: np.ndarray, wave: np.ndarray) -> tuple[np.ndarray, tuple[int, float, float]]:
    """What the reference saw, read back from its JPEGs, and (offset, confidence, distance)."""
    from syncnet_python.SyncNetInstance import SyncNetInstance

    for number, crop in enumerate(crops):
        cv2.imwrite(str(folder / f"{number:06d}.jpg"), crop)
    soundfile.write(folder / "audio.wav", wave, 16_000, subtype="PCM_16")
    seen = np.stack([cv2.imread(str(path)) for path in sorted(folder.glob("*.jpg"))])
    options = SimpleNamespace(tmp_dir=str(folder), batch_size=20, vshift=15)
    with contextlib.redirect_stdout(io.StringIO()):
        found = SyncNetInstance(reference(), device="cpu").evaluate(options)
    return seen, found


@pytest.mark.slow
@pytest.mark.parametrize(("frames", "samples"), [(40, 0), (33, 1300)])
def test_it_says_what_the_reference_says(tmp_path: Path, frames: int, samples: int) -> None:
    net, wave = random_net(), noisy_wave(frames)[: frames * 640 - samples]
    crops, (offset, confidence, distance) = evaluated(tmp_path, moving_crops(frames), wave)
    count = windows_of(min(frames, len(wave) // 640))
    lip, sound = net.lips(crops[None])[0][:count], net.sound(soundfile.read(tmp_path / "audio.wav")[0], count)
    found = score(distances(lip, sound))
    assert found.offset == offset
    assert found.confidence == pytest.approx(confidence, abs=1e-3)
    assert found.distance == pytest.approx(distance, abs=1e-3)
    assert found.distance > 0.1, "a net that gives nothing proves nothing"


def test_tracks_and_batches_are_not_results() -> None:
    net, crops = random_net(), moving_crops(24)
    tracks = net.lips(np.stack([crops[:12], crops[12:]]))
    assert tracks.shape == (2, 8, 1024)
    for track, alone in zip(tracks, (crops[:12], crops[12:]), strict=True):
        windows = np.stack([alone[i : i + 5] for i in range(8)])
        np.testing.assert_allclose(net.lips(windows)[:, 0], track, atol=1e-4)
    assert net.lips(crops[None, :4]).shape == (1, 0, 1024)


def test_the_file_that_its_authors_publish_is_converted(tmp_path: Path) -> None:
    import torch

    torch.save(reference().state_dict(), tmp_path / "syncnet_v2.model", _use_new_zipfile_serialization=False)
    convert(tmp_path / "syncnet_v2.model", tmp_path / "net.onnx")
    state = {name: value.numpy() for name, value in reference().state_dict().items()}
    assert (tmp_path / "net.onnx").read_bytes() == to_onnx(state)


def test_other_nets_are_refused() -> None:
    with pytest.raises(ValueError, match=r"not SyncNet v2: it has no netcnnlip\.0\.weight"):
        to_onnx({})


@pytest.mark.parametrize("shift", range(-12, 13, 3))
def test_the_offset_is_the_shift(shift: int) -> None:
    """Sound that is `shift` frames early comes out as an offset of `shift`."""
    rng = np.random.default_rng(1)
    sound = rng.standard_normal((90, 32)).astype(np.float32)
    lip = sound[20:70] + 0.1
    found = score(distances(lip, sound[20 + shift : 70 + shift]))
    assert (found.offset, found.halves) == (shift, (shift, shift)) and found.confidence > 3


def test_windows_that_do_not_count() -> None:
    rng = np.random.default_rng(2)
    sound = rng.standard_normal((60, 16)).astype(np.float32)
    lip = sound.copy()
    lip[30:] = np.roll(lip[30:], 5, axis=0)  # the second half is five frames off
    found = distances(lip, sound)
    assert score(found).halves[0] == 0 and score(found).halves[1] != 0
    assert score(found, np.arange(60) < 30).halves == (0, 0)
    with pytest.raises(ValueError, match="no window"):
        score(found, np.zeros(60, bool))
    with pytest.raises(ValueError, match="not of one shape"):
        distances(lip, sound[1:])


def test_sound_is_cut_each_frame() -> None:
    found = cepstra(noisy_wave(30))
    assert found.shape == (119, 13)
    cut = sound_windows(found, 25)
    assert cut.shape == (25, 1, 13, 20)
    np.testing.assert_array_equal(cut[7, 0], found[28:48].T)
    with pytest.raises(ValueError, match="too few"):
        sound_windows(found, 27)
