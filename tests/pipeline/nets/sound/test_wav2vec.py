"""Audio features: where they stand in time, what they carry, and that wav2vec is what transformers runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.units import SAMPLE_RATE
from pipeline.nets.sound import wav2vec
from pipeline.nets.sound.wav2vec import (
    FIELD,
    HOP,
    RELEASE_LABEL,
    WIDTH,
    batches,
    features_of,
    logmel,
    on_release_grid,
    to_grid,
)
from pipeline.nets.sound.wav2vec_net import Wav2Vec

TINY: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}


def test_each_picture_gets_its_own_moment() -> None:
    centres = (np.arange(499) * HOP + FIELD / 2) / SAMPLE_RATE
    values = np.stack([centres, -2 * centres], axis=1).astype(np.float32)
    found = to_grid(values, 250)
    wanted = np.clip(np.arange(250) / 25, centres[0], centres[-1])
    np.testing.assert_allclose(found, np.stack([wanted, -2 * wanted], axis=1), atol=1e-5)
    assert to_grid(values[:1], 3).tolist() == [values[0].tolist()] * 3


def test_the_stand_in_hears_when_and_what() -> None:
    wave = np.zeros(4 * SAMPLE_RATE, np.float32)
    at = 37  # of 100 pictures
    wave[at * 640 - 80 : at * 640 + 80] = 0.5 * np.sin(2 * np.pi * 700 * np.arange(160) / SAMPLE_RATE)
    found = logmel(wave, 100)
    assert found.shape == (100, WIDTH) and found.dtype == np.float32
    change = np.linalg.norm(found - found[0], axis=1)
    assert change.argmax() == at and set(np.flatnonzero(change > 1e-3)) <= {at - 1, at, at + 1}

    speech = np.random.default_rng(0).normal(0, 0.05, 4 * SAMPLE_RATE).astype(np.float32)
    later = np.concatenate([np.zeros(5 * 640, np.float32), speech[: -5 * 640]])
    np.testing.assert_allclose(logmel(later, 100)[8:95], logmel(speech, 100)[3:90], atol=1e-4)
    loud, quiet = logmel(speech, 100)[5:90], logmel(0.1 * speech, 100)[5:90]
    assert np.linalg.norm(loud - quiet) > 0.3 * np.linalg.norm(loud)  # loudness is kept


def test_the_map_is_the_same_on_every_machine() -> None:
    tone = (0.3 * np.sin(2 * np.pi * 220 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)).astype(np.float32)
    known = [0.0464, -0.8024, 0.7054, -0.7033]
    np.testing.assert_allclose(logmel(tone, 25)[12, [0, 200, 400, 767]], known, atol=2e-3)


@pytest.mark.parametrize("samples", [0, 100, 640, 16_001])
def test_sounds_of_any_length(samples: int) -> None:
    found = logmel(np.zeros(samples, np.float32), 25)
    assert found.shape == (25, WIDTH) and np.isfinite(found).all()


def test_batches_hold_equal_lengths() -> None:
    assert batches([5, 7, 5, 5, 7], 2) == [[0, 2], [3], [1, 4]]
    assert batches([], 4) == []


@pytest.fixture(scope="module")
def reference() -> Any:
    pytest.importorskip("torch", reason="pip install csg405[train]")
    pytest.importorskip("safetensors", reason="pip install csg405[train]")
    from pipeline.nets.sound.torchaudio import mark_extension_absent

    mark_extension_absent()
    transformers = pytest.importorskip("transformers", reason="pip install csg405[train]")
    import torch

    torch.manual_seed(405)
    return transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**TINY)).eval()


def saved(state: dict[str, Any], path: Path) -> Path:
    from safetensors.torch import save_file

    save_file({name: value.contiguous() for name, value in state.items()}, str(path))
    return path


@pytest.mark.parametrize("form", ["plain", "with a head, named as of old"])
def test_wav2vec_is_transformers_own(form: str, reference: Any, tmp_path: Path) -> None:
    import torch

    state = reference.state_dict()
    if form != "plain":
        old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
        for new, name in old.items():
            state = {key.replace(new, name): value for key, value in state.items()}
        state = {f"wav2vec2.{key}": value for key, value in state.items()} | {"lm_head.bias": torch.zeros(32)}
    net = Wav2Vec(saved(state, tmp_path / "net.safetensors"), config=TINY)
    waves = np.random.default_rng(1).normal(0, 0.1, (2, 24_000)).astype(np.float32)
    normal = (waves - waves.mean(1, keepdims=True)) / waves.std(1, keepdims=True)
    with torch.inference_mode():
        wanted = reference(torch.from_numpy(normal), output_hidden_states=True)
    np.testing.assert_allclose(net.features(waves, 3), wanted.last_hidden_state.numpy(), atol=1e-4)
    np.testing.assert_allclose(net.features(waves, 1), wanted.hidden_states[1].numpy(), atol=1e-4)
    np.testing.assert_allclose(net.features(waves[1:], 3)[0], net.features(waves, 3)[1], atol=1e-4)
    with pytest.raises(ValueError, match="layers 1 to 3"):
        net.features(waves, 4)


def test_other_weights_are_refused(reference: Any, tmp_path: Path) -> None:
    state = reference.state_dict()
    name = "encoder.layers.0.attention.k_proj.weight"
    lacking = {key: value for key, value in state.items() if key != name}
    with pytest.raises(ValueError, match="1 weights missing"):
        Wav2Vec(saved(lacking, tmp_path / "a.safetensors"), config=TINY)
    with pytest.raises(ValueError, match="1 of other shapes"):
        Wav2Vec(saved({**state, name: state[name][:4]}, tmp_path / "b.safetensors"), config=TINY)


def test_the_releases_grid_is_every_second_state_of_each_window_alone(reference: Any, tmp_path: Path) -> None:
    """As the authors' scripts do it: normalise the window's sound, put silence after it, stretch 499 states over 250 frames."""
    import torch

    net = Wav2Vec(saved(reference.state_dict(), tmp_path / "net.safetensors"), config=TINY)
    frames = 250 + 40
    wave = np.random.default_rng(1).normal(0.02, 0.1, frames * 640 + 77).astype(np.float32)
    found = on_release_grid(net, wave, frames, 3)
    assert found.shape == (frames, 32)
    for first, length in ((0, 250), (250, 40)):
        sound = wave[first * 640 : (first + length) * 640]
        window = np.zeros((1, 160_000), np.float32)
        window[0, : len(sound)] = (sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)
        with torch.inference_mode():
            states = reference(torch.from_numpy(window)).last_hidden_state.transpose(1, 2)
            wanted = torch.nn.functional.interpolate(states, 250, mode="linear", align_corners=True)[0].T
        assert states.shape[2] == 499
        np.testing.assert_allclose(found[first : first + length], wanted[:length].numpy(), atol=1e-4)
    np.testing.assert_allclose(on_release_grid(net, wave, frames, 3, batch=2), found, atol=1e-4)
    longer = on_release_grid(net, wave, frames + 3, 3)
    np.testing.assert_allclose(longer[:250], found[:250], atol=1e-4)
    assert longer.shape == (frames + 3, 32) and np.isfinite(longer).all()


def test_labels_say_how_features_are_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Net:
        def __init__(self, weights: Path, device: str) -> None:
            assert (weights, device) == (tmp_path, "cpu")

        def states(self, waves: np.ndarray, layer: int) -> np.ndarray:
            return np.repeat(np.arange(499, dtype=np.float32)[None, :, None] + 1000 * layer, WIDTH, 2)

    monkeypatch.setattr(wav2vec, "opened", Net)
    found = features_of(RELEASE_LABEL, np.zeros(260 * 640, np.float32), 260, tmp_path)
    assert found[:, 0].tolist() == [12_000 + 2 * n for n in (*range(250), *range(10))]
    for label in ("wav2vec2-base-960h/12/other", "wav2vec2-base-960h/x/release", "hubert/12/release", "logmel"):
        with pytest.raises(ValueError, match=r"cannot be computed.*<layer>/release"):
            features_of(label, np.zeros(6400, np.float32), 10, tmp_path)
