"""The last layer of a start is fitted to the shards: it is the least-squares one, once, and what is frozen stays."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.model import diffusion
from pipeline.model.audio_to_skeleton import AudioToSkeleton
from pipeline.model.dit import NetSettings
from pipeline.model.training import TrainingError, checkpoint, refit
from pipeline.model.training.cache import Cache, open_cache
from pipeline.model.training.draws import drawn
from pipeline.model.training.provenance import TRAINED_ON, RecipeChanged
from pipeline.model.training.setup import new_model
from pipeline.model.training.start import adapt, freeze
from pipeline.model.training.windows import Windows
from tests.pipeline.model.training.small import fit, losses, recipe

ARCHS: dict[str, dict[str, Any]] = {"dit": {}, "release": {"arch": "release", "keypoints": 123}}
LEGS = slice(2 * 13, 2 * 23)  # values that nobody's picture shows


@pytest.fixture(scope="module")
def cache(shards: Path) -> Cache:
    return open_cache(shards, "train", shards.parent / "cache")


def model_of(cache: Cache, **given: Any) -> AudioToSkeleton:
    """A network whose weights are all of one size, the last layer's too."""
    model = new_model(recipe(**given), cache)
    torch.manual_seed(5)
    for weights in model.net.parameters():
        torch.nn.init.normal_(weights, std=0.1)
    return model.to("cpu")


def error_of(model: AudioToSkeleton, cache: Cache, batches: int, **given: Any) -> torch.Tensor:
    """Mean squared error of the values that count in the windows of the first steps; a gradient may be taken of it."""
    made, total, count = recipe(**given), torch.zeros(()), 0
    windows = Windows(cache, made.window_frames, made.net().lead_frames, made.seed)
    model.net.eval()
    for step in range(batches):
        numbers = range(step * made.batch, (step + 1) * made.batch)
        batch = windows.__getitems__(list(numbers))
        ready, noise, t, null = drawn(made, model.space, batch, numbers, torch.device("cpu"))
        x_t = diffusion.noisy(ready.clean, noise, t, diffusion.alpha_bars())
        found = model.net(x_t, t, ready.audio.float(), ready.reference, null, ready.present, ready.lead)
        total = total + diffusion.squared_error(found, ready.clean, ready.counts)
        count += int(ready.counts.sum())
    return total / count


@pytest.mark.parametrize("arch", ARCHS)
def test_no_other_last_layer_has_a_smaller_error(cache: Cache, arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the least-squares solution, and at no other place, the gradient is zero."""
    monkeypatch.setattr(refit, "_RIDGE", 1e-9)
    given = {**ARCHS[arch], "window_frames": 60, "batch": 3}  # 3 batches: windows at a time do not divide them
    model = model_of(cache, **given)
    last = model.net.final
    before = error_of(model, cache, 3, **given)
    (steep,) = torch.autograd.grad(before, last.weight)
    found = refit.refit(model, cache, recipe(**given), 3)
    after = error_of(model, cache, 3, **given)
    (flat,) = torch.autograd.grad(after, last.weight)
    assert after.item() < 0.5 * before.item()
    assert float(flat.abs().max()) < 1e-3 * float(steep.abs().max())
    assert found["batches"] == 3
    assert found["error_before"] == pytest.approx(before.item(), rel=1e-3)
    assert found["error_after"] == pytest.approx(after.item(), rel=1e-3)


def test_a_fit_changes_the_last_layer_alone_and_of_it_nothing_that_was_never_seen(cache: Cache) -> None:
    model, then = model_of(cache), model_of(cache).net.state_dict()
    refit.refit(model, cache, recipe(), 2)
    for name, weights in model.net.state_dict().items():
        assert torch.equal(weights, then[name]) is not name.startswith("final."), name
    for name in ("final.weight", "final.bias"):
        assert torch.equal(model.net.state_dict()[name][LEGS], then[name][LEGS])


def test_a_layer_that_fits_stays(cache: Cache) -> None:
    """Once it is the least-squares layer of these windows, a second fit moves it by what the ridge had held back."""
    model = model_of(cache)
    first = model.net.final.weight.clone()
    found = refit.refit(model, cache, recipe(batch=8), 4)
    once = model.net.final.weight.clone()
    again = refit.refit(model, cache, recipe(batch=8), 4)
    assert again["error_before"] == pytest.approx(found["error_after"], rel=1e-4)
    assert (model.net.final.weight - once).norm().item() < 0.5 * (once - first).norm().item()
    assert again["error_after"] <= again["error_before"]


def test_a_frozen_layer_is_not_fitted_and_asking_for_it_is_refused(cache: Cache) -> None:
    net = model_of(cache).net
    theirs = {"start_statistics": "shards"}
    assert refit.batches_of(recipe(**theirs), net) == refit.BATCHES
    assert refit.batches_of(recipe(**theirs, start_refit=0), net) == 0
    assert (refit.batches_of(recipe(), net), refit.batches_of(recipe(start_refit=3), net)) == (0, 3)
    freeze(net, ("final.bias",))
    assert refit.batches_of(recipe(**theirs), net) == 0
    with pytest.raises(
        TrainingError, match=r"start_refit=3 fits the last layer, which train\.freeze or train\.lora_rank"
    ):
        refit.batches_of(recipe(start_refit=3), net)
    with_adapters = model_of(cache).net
    adapt(with_adapters, recipe(lora_rank=2))
    assert refit.batches_of(recipe(**theirs, lora_rank=2), with_adapters) == 0


def test_weights_that_are_not_finite_are_refused(cache: Cache) -> None:
    model = model_of(cache)
    with torch.no_grad():
        model.net.embed.weight[0, 0] = torch.nan
    with pytest.raises(TrainingError, match=r"model\.safetensors gives errors that are not finite"):
        refit.refit(model, cache, recipe(start_from="model.safetensors"), 1)


def test_shards_of_which_nothing_counts_are_told(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(cache)
    whole = refit._inputs_and_left
    monkeypatch.setattr(refit, "_inputs_and_left", lambda *given: tuple(part * 0 for part in whole(*given)))
    with pytest.raises(TrainingError, match="no value of the first 1 batches counts"):
        refit.refit(model, cache, recipe(start_from="model.safetensors"), 1)


def test_a_fit_without_a_start_is_refused(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"train\.start_refit fits the last layer of a model: name it with train\.start_from"
    ):
        fit(shards, tmp_path / "run", steps=1, start_refit=3)


def test_a_fine_tuning_begins_with_the_fit_says_so_and_does_not_fit_again(shards: Path, tmp_path: Path) -> None:
    start = AudioToSkeleton.new(NetSettings(size="tiny", window_frames=40), "logmel768")
    torch.manual_seed(3)
    for weights in start.net.parameters():
        torch.nn.init.normal_(weights, std=0.1)
    start.save(tmp_path / "start.safetensors")
    given: dict[str, Any] = {"start_from": str(tmp_path / "start.safetensors"), "start_statistics": "shards"}
    said: list[str] = []
    fit(shards, tmp_path / "whole", steps=4, say=said.append, **given)
    fit(shards, tmp_path / "kept", steps=1, start_refit=0, **given)
    assert losses(tmp_path / "whole")[1] < 0.5 * losses(tmp_path / "kept")[1]
    about = json.loads((tmp_path / "whole" / TRAINED_ON).read_text())["started_from"]["refit"]
    assert about["batches"] == refit.BATCHES and about["error_after"] < 0.5 * about["error_before"]
    assert any(f"fitted to {4 * refit.BATCHES} windows of these shards: squared error" in line for line in said)
    assert "refit" not in json.loads((tmp_path / "kept" / TRAINED_ON).read_text())["started_from"]
    fit(shards, tmp_path / "parts", steps=2, **given)
    with pytest.raises(RecipeChanged, match="start_refit was -1, now 7"):
        fit(shards, tmp_path / "parts", steps=4, start_refit=7, start_statistics="shards")
    parts = fit(shards, tmp_path / "parts", steps=4, start_statistics="shards")
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    for name in (checkpoint.MODEL, checkpoint.AVERAGE):
        ours, theirs = (AudioToSkeleton.load(each / name).net.state_dict() for each in (
            parts, tmp_path / "whole" / "checkpoints" / checkpoint.name_of(4)
        ))  # fmt: skip
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert json.loads((tmp_path / "parts" / TRAINED_ON).read_text())["started_from"]["refit"] == about
