"""The networks: shapes, sizes, what they begin as, and what each input can and cannot change."""

from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from pipeline.model.dit import LEAD_FRAMES, Arch, NetSettings, parameters_of
from pipeline.model.net import build

FRAMES = 12
SINGLE = {"modulation": "single"}
ARCHS: tuple[Arch, ...] = ("dit", "release")
VARIANTS = (("dit", ""), ("dit", "reference"), ("dit", "concat"), ("dit", "local"), ("release", ""))


pytestmark = pytest.mark.usefixtures("one_thread")


def tiny(arch: str = "dit", ablate: str = "", **more: Any) -> NetSettings:
    return NetSettings(**{"arch": arch, "ablate": ablate, "size": "tiny", "window_frames": 16, **more})


@cache
def trained(settings: NetSettings) -> nn.Module:
    """A network none of whose weights is zero, as after training: what begins as zero hides every input. Shared: change a copy."""
    torch.manual_seed(0)
    net = build(settings).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return net


def inputs(settings: NetSettings, count: int = 2, frames: int = FRAMES) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    channels = settings.channels
    return {
        "noisy": torch.randn(count, frames, channels, generator=draw),
        "step": torch.tensor([3, 70])[:count],
        "audio": torch.randn(count, frames, 768, generator=draw),
        "reference": torch.randn(count, channels, generator=draw),
    }


def other(values: Tensor) -> Tensor:
    return torch.randn(values.shape, generator=torch.Generator().manual_seed(2))


def changed(net: nn.Module, given: dict[str, Tensor], **instead: Any) -> float:
    """The largest change of the output when some inputs are others."""
    with torch.no_grad():
        return (net(**{**given, **instead}) - net(**given)).abs().max().item()


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize(("keypoints", "neck", "channels"), [(133, False, 266), (133, True, 268), (123, False, 246)])
def test_the_output_has_the_motions_shape(arch: str, keypoints: int, neck: bool, channels: int) -> None:
    settings = tiny(arch, keypoints=keypoints, neck=neck)
    assert settings.channels == channels
    net = trained(settings)
    for frames in (1, FRAMES, 16):
        with torch.no_grad():
            assert net(**inputs(settings, frames=frames)).shape == (2, frames, channels)


def on_paper(settings: NetSettings) -> nn.Module:
    with torch.device("meta"):
        return build(settings)


def test_the_releases_network_has_its_size() -> None:
    net = on_paper(NetSettings(arch="release", size="large", keypoints=123))
    assert parameters_of(net) == pytest.approx(217e6, rel=0.005)
    layer = net.encoder.layers[0]
    assert len(net.encoder.layers) == 16 and layer.self_attn.num_heads == 16 and not layer.norm_first
    assert layer.linear1.weight.shape == (4096, 1024) and net.final.weight.shape == (246, 1024)


def test_the_large_dit_is_as_deep_and_wide_as_the_papers() -> None:
    net = on_paper(NetSettings(size="large"))
    assert len(net.blocks) == 16 and net.blocks[0].heads == 16
    assert net.embed.weight.shape == (1024, 266 + 768) and net.final.weight.shape == (266, 1024)
    block = 18 * 1024**2  # 3 + 1 of attention, 4 + 4 of the MLP, 6 of the modulation
    assert parameters_of(net) == pytest.approx(16 * block, rel=0.03)


def test_one_modulation_for_all_blocks_saves_a_third_of_the_large_dit_and_leaves_the_usual_one_as_it_was() -> None:
    usual, single = (on_paper(NetSettings(size="large", modulation=each)) for each in ("block", "single"))
    assert (parameters_of(usual), parameters_of(single)) == (307_767_306, 213_401_610)
    assert not any("table" in name or name.startswith("modulation") for name in usual.state_dict())
    assert NetSettings(arch="dit", size="large").modulation == "block", "that of models from before"
    differing = {name.partition(".")[2].partition(".")[2] for name in {*usual.state_dict()} - {*single.state_dict()}}
    assert differing == {"modulation.weight", "modulation.bias"}


def test_a_single_modulation_is_that_of_blocks_which_all_have_the_same() -> None:
    """Each block's projection set to the shared one, its bias to the shared bias and the block's table: the same network."""
    single = trained(tiny(modulation="single"))
    usual = build(tiny())
    shared = single.modulation
    weights = {name: value for name, value in single.state_dict().items() if name in usual.state_dict()}
    for number, block in enumerate(single.blocks):
        weights[f"blocks.{number}.modulation.weight"] = shared.weight
        weights[f"blocks.{number}.modulation.bias"] = shared.bias + block.table
    usual.load_state_dict(weights)
    given = inputs(tiny())
    with torch.no_grad():
        torch.testing.assert_close(usual.eval()(**given), single(**given), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("modulation", ["block", "single"])
@pytest.mark.parametrize("ablate", ["", "reference", "concat", "local"])
def test_a_new_dit_says_zero_and_its_blocks_change_nothing(ablate: str, modulation: str) -> None:
    settings = tiny(ablate=ablate, modulation=modulation)
    torch.manual_seed(0)
    net = build(settings)
    given = inputs(settings)
    assert not net(**given).any()
    tokens, heard = torch.randn(2, FRAMES, 192), torch.randn(2, FRAMES, 192) if ablate == "concat" else None
    for block in net.blocks:
        condition = net.time(torch.tensor([3, 70]))
        if net.modulation is not None:
            condition = net.modulation(condition)
        assert torch.equal(block(tokens, condition, None, heard, None), tokens)


@pytest.mark.parametrize(("arch", "ablate", "more"), [*((*each, {}) for each in VARIANTS), ("dit", "", SINGLE)])
def test_a_new_network_learns_from_its_first_steps(arch: str, ablate: str, more: dict[str, str]) -> None:
    settings = tiny(arch, ablate, **more)
    torch.manual_seed(0)
    net = build(settings)
    given = inputs(settings)
    target = other(given["noisy"])
    pace = torch.optim.Adam(net.parameters(), 1e-3)
    losses = []
    for _ in range(8):
        pace.zero_grad()
        loss = ((net(**given) - target) ** 2).mean()
        loss.backward()
        pace.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]
    dead = [name for name, p in net.named_parameters() if name != "null_audio" and (p.grad is None or not p.grad.any())]
    assert not dead


@pytest.mark.parametrize(("arch", "ablate"), VARIANTS)
def test_frames_that_are_not_present_change_nothing_in_the_others(arch: str, ablate: str) -> None:
    settings = tiny(arch, ablate)
    net, given = trained(settings), inputs(settings)
    present = torch.ones(2, FRAMES, dtype=torch.bool)
    present[0, 7:] = False
    replaced = {}
    for name in ("noisy", "audio"):
        replaced[name] = given[name].clone()
        replaced[name][0, 7:] = other(given[name])[0, 7:] * 50
    with torch.no_grad():
        before, after = (net(**{**given, **instead}, present=present) for instead in ({}, replaced))
        short = net(**{name: v[:1, :7] if v.ndim == 3 else v[:1] for name, v in given.items()})
    torch.testing.assert_close(after[present], before[present], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(before[:1, :7], short, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        unmasked = (net(**{**given, **replaced}) - net(**given))[0, :7]
    assert unmasked.abs().max() > 1e-2, "the net does not look at its neighbours"


def hearing_null(net: nn.Module, given: dict[str, Tensor]) -> Tensor:
    """What a network says when it hears its null vector: the DiT as sound, the release's encoder behind the projection of sound."""
    null = net.null_audio.expand(2, FRAMES, -1)
    if net.settings.arch == "dit":
        found: Tensor = net(**{**given, "audio": null})
        return found
    net = deepcopy(net)
    net.embed_audio.register_forward_hook(lambda *_: null)
    heard: Tensor = net(**given)
    return heard


@pytest.mark.parametrize(("arch", "ablate"), VARIANTS)
def test_null_samples_hear_the_null_vector_and_not_their_audio(arch: str, ablate: str) -> None:
    settings = tiny(arch, ablate)
    net, given = trained(settings), inputs(settings)
    null = torch.tensor([True, False])
    with torch.no_grad():
        plain, first = net(**given), net(**given, null=null)
        second = net(**{**given, "audio": other(given["audio"])}, null=null)
        told = hearing_null(net, given)
    assert torch.equal(first[0], second[0])
    torch.testing.assert_close(first[0], told[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(first[1], plain[1], rtol=1e-5, atol=1e-5)
    assert (first[0] - plain[0]).abs().max() > 1e-2 < (first[1] - second[1]).abs().max()


@pytest.mark.parametrize(("arch", "ablate"), VARIANTS)
def test_the_null_vector_is_learned_from_null_samples_alone(arch: str, ablate: str) -> None:
    settings = tiny(arch, ablate)
    net, given = trained(settings), inputs(settings)
    net = deepcopy(net)
    for null, reached in ((None, False), ([False, False], False), ([False, True], True)):
        net.zero_grad()
        net(**given, null=None if null is None else torch.tensor(null)).square().sum().backward()
        assert (net.null_audio.grad is not None and bool(net.null_audio.grad.any())) == reached


@pytest.mark.parametrize(("arch", "ablate"), VARIANTS)
@pytest.mark.parametrize("name", ["noisy", "audio", "step"])
def test_motion_voice_and_time_matter(arch: str, ablate: str, name: str) -> None:
    settings = tiny(arch, ablate)
    net, given = trained(settings), inputs(settings)
    instead = torch.tensor([60, 10]) if name == "step" else other(given[name])
    assert changed(net, given, **{name: instead}) > 1e-2


@pytest.mark.parametrize("arch", ARCHS)
def test_the_reference_matters_unless_it_is_ablated(arch: str) -> None:
    for ablate in ("", "reference") if arch == "dit" else ("",):
        settings = tiny(arch, ablate)
        net, given = trained(settings), inputs(settings)
        change = changed(net, given, reference=other(given["reference"]))
        assert change == 0 if ablate else change > 1e-2


def test_the_releases_lead_stands_in_place_of_a_reference() -> None:
    settings = tiny("release")
    given = inputs(settings) | {"lead": torch.zeros(2, LEAD_FRAMES, 266)}
    assert changed(trained(settings), given, reference=other(given["reference"])) == 0


@pytest.mark.parametrize(("ablate", "width"), [("", 266 + 768), ("reference", 266 + 768), ("concat", 266)])
def test_the_reference_has_zeros_for_audio(ablate: str, width: int) -> None:
    settings = tiny(ablate=ablate)
    net, given = deepcopy(trained(settings)), inputs(settings)
    embedded: list[Tensor] = []
    net.embed.register_forward_pre_hook(lambda _, args: embedded.append(args[0]))
    with torch.no_grad():
        net(**given)
    frames, reference = embedded
    assert frames.shape == (2, FRAMES, width) and reference.shape == (2, width)
    assert torch.equal(frames[..., :266], given["noisy"]) and torch.equal(reference[:, :266], given["reference"])
    assert ablate == "concat" or torch.equal(frames[..., 266:], given["audio"])
    assert not reference[:, 266:].any()


def test_without_concatenation_the_voice_comes_through_cross_attention() -> None:
    settings = tiny(ablate="concat")
    net, given = deepcopy(trained(settings)), inputs(settings)
    assert changed(net, given, audio=other(given["audio"])) > 1e-2
    order = torch.arange(FRAMES).flip(0)
    assert changed(net, given, audio=given["audio"][:, order]) > 1e-3, "frames of audio have no place"
    for block in net.blocks:
        nn.init.zeros_(block.out_x.weight)
    assert changed(net, given, audio=other(given["audio"])) == 0


@pytest.mark.parametrize("arch", ARCHS)
def test_the_order_of_frames_matters(arch: str) -> None:
    settings = tiny(arch)
    net, given = trained(settings), inputs(settings)
    order = torch.arange(FRAMES).flip(0)
    with torch.no_grad():
        turned = net(**{**given, "noisy": given["noisy"][:, order], "audio": given["audio"][:, order]})
        assert (turned[:, order] - net(**given)).abs().max() > 1e-2


def test_the_lead_is_heard_by_the_release_alone() -> None:
    for arch, matters in (("release", True), ("dit", False)):
        settings = tiny(arch)
        net, given = trained(settings), inputs(settings)
        assert settings.lead_frames == (25 if matters else 0)
        repeated = given["reference"][:, None].expand(-1, LEAD_FRAMES, -1)
        assert changed(net, given, lead=repeated) == 0
        change = changed(net, given, lead=other(repeated))
        assert change > 1e-2 if matters else change == 0


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="ablate=concat needs arch=dit"):
        NetSettings(arch="release", ablate="concat")
    with pytest.raises(ValidationError, match="ablate=reference needs arch=dit"):
        NetSettings(arch="release", ablate="reference")
    with pytest.raises(ValidationError, match="modulation=single needs arch=dit"):
        NetSettings(arch="release", modulation="single")
    for wrong in ({"keypoints": 17}, {"size": "huge"}, {"window_frames": 7}, {"dropout": 1.0}, {"depth": 3}):
        with pytest.raises(ValidationError):
            NetSettings(**wrong)


def test_settings_outlive_json() -> None:
    settings = tiny("release", keypoints=123, neck=True, dropout=0.1)
    assert NetSettings.model_validate_json(settings.to_json()) == settings


@pytest.mark.parametrize("arch", ARCHS)
def test_dropout_drops_in_training_alone(arch: str) -> None:
    settings = tiny(arch, dropout=0.3)
    net, given = deepcopy(trained(settings)), inputs(settings)
    assert changed(net, given) == 0
    net.train()
    assert changed(net, given) > 1e-2
