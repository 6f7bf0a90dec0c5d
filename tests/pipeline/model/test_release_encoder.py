"""The authors' network and ours with equal weights: outputs that theirs made once, and what each of its parts stands on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.model import diffusion
from pipeline.model.audio_to_skeleton import AudioToSkeleton
from pipeline.model.dit import LEAD_FRAMES, NetSettings, parameters_of
from pipeline.model.net import build
from pipeline.model.release_encoder import ReleaseEncoder, interleaved_sinusoids
from pipeline.model.release_weights import import_model
from pipeline.registry.archives import BadModel
from tests.pipeline.model import released

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> AudioToSkeleton:
    return import_model(*released.write(tmp_path_factory.mktemp("released")), "tiny")


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(released.RECORDED, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def said(net: ReleaseEncoder, given: dict[str, Tensor], null: bool, lengths: tuple[int, ...]) -> Tensor:
    """What the network makes of the planted inputs, and every second of wav2vec's states."""
    frames = given["noisy"].shape[1]
    present = torch.arange(frames) < torch.tensor(lengths)[:, None]
    nulls = torch.full((len(lengths),), null)
    unused = torch.full_like(given["lead"][:, 0], torch.nan)
    with torch.inference_mode():
        audio = given["states"][:, ::2]
        found: Tensor = net(given["noisy"], given["step"], audio, unused, nulls, present, given["lead"])
    return found


@pytest.mark.parametrize(("kind", "within"), [(torch.float64, 1e-6), (torch.float32, 2e-5)], ids=str)
@pytest.mark.parametrize("name", ["heard", "null"])
def test_what_it_predicts_is_what_theirs_predicted(
    name: str, kind: torch.dtype, within: float, imported: AudioToSkeleton, recorded: dict[str, np.ndarray]
) -> None:
    net = ReleaseEncoder(imported.settings).eval()
    net.load_state_dict(imported.net.state_dict())
    net.to(kind)
    given = {n: v.to(kind) if v.is_floating_point() else v for n, v in released.planted_inputs(2, 40).items()}
    found = said(net, given, name == "null", (40, 23))[:, ::3, ::7].numpy()
    present = np.arange(0, 40, 3) < np.array([[40], [23]])
    assert np.abs(found - recorded[name])[present].max() < within
    assert np.abs(recorded["heard"] - recorded["null"])[present].max() > 0.1, "the voice matters"


@pytest.mark.slow
def test_a_chain_of_a_hundred_steps_ends_where_theirs_ended(
    imported: AudioToSkeleton, recorded: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.RandomState(7)
    given, shape = released.planted_inputs(1, 30), (1, 30, released.CHANNELS)

    def noise(*_: object, **__: object) -> Tensor:
        return torch.from_numpy(draw.standard_normal(shape).astype(np.float32))

    def both(x_t: Tensor, step: Tensor, null: bool) -> Tensor:
        return said(imported.net, {**given, "noisy": x_t, "step": step}, null, (30,))  # type: ignore[arg-type]

    monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", noise)
    found = diffusion.sample(diffusion.guided(both, 3.5), noise())
    assert np.abs(found[:, ::3, ::7].numpy() - recorded["chain"]).max() < 1e-5


def test_the_published_network_has_their_parameters_and_tensors() -> None:
    with torch.device("meta"):
        net = build(NetSettings(arch="release", size="large", keypoints=123, dropout=0.1))
    assert parameters_of(net) == 217_520_374 == sum(np.prod(shape) for shape in released.shapes(1024, 16).values())
    assert len(net.state_dict()) + 2 == 209  # theirs stores its table of positions twice


def test_sines_and_cosines_lie_side_by_side() -> None:
    table = interleaved_sinusoids(300, 192)
    assert torch.equal(table, released.positions(300, 192))
    angles = np.arange(300)[:, None] / 10_000 ** (np.arange(0, 192, 2) / 192)
    np.testing.assert_allclose(table[:, ::2], np.sin(angles), atol=5e-5)
    np.testing.assert_allclose(table[:, 1::2], np.cos(angles), atol=5e-5)


def test_without_a_lead_the_reference_stands_in_for_it_and_with_one_it_is_not_looked_at(
    imported: AudioToSkeleton,
) -> None:
    given = released.planted_inputs(2, 12)
    reference, other = given["lead"][:, 3], given["lead"][:, 4]
    audio = given["states"][:, ::2]
    with torch.inference_mode():
        alone = imported.net(given["noisy"], given["step"], audio, reference)
        repeated = reference[:, None].expand(-1, LEAD_FRAMES, -1)
        assert torch.equal(imported.net(given["noisy"], given["step"], audio, other, lead=repeated), alone)
        assert (imported.net(given["noisy"], given["step"], audio, other) - alone).abs().max() > 1e-2


def test_dropout_falls_on_the_positions_too() -> None:
    torch.manual_seed(0)
    net = ReleaseEncoder(NetSettings(arch="release", size="tiny", keypoints=123, dropout=0.5))
    seen: list[Tensor] = []
    net.encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    given = released.planted_inputs(2, 12)
    for mode in (True, False):
        net.train(mode)
        net(given["noisy"], given["step"], given["states"][:, ::2], given["lead"][:, 0])
    dropped, whole = (tokens == 0 for tokens in seen)
    assert 0.45 < dropped.float().mean() < 0.55 and whole.float().mean() < 1e-3
    assert dropped[:, 0].any() and dropped[:, 1:26].any() and dropped[:, 26:].any()


def test_an_encoder_from_before_it_was_theirs_is_refused_by_name(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = AudioToSkeleton.new(NetSettings(arch="release", size="tiny", keypoints=123), "logmel768")
    model.net.null_audio = torch.nn.Parameter(torch.zeros(released.AUDIO))
    model.save(tmp_path / "model.safetensors")
    with pytest.raises(BadModel, match=r"not yet the authors' network.*train it anew.*csg405 import-model") as caught:
        AudioToSkeleton.load(tmp_path / "model.safetensors")
    assert "\n" not in str(caught.value)
