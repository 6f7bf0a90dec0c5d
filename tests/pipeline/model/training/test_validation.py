"""The validation loss is the same number every time, in parts of whatever size, and a run may do without."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.model.training.batch import prepare
from pipeline.model.training.cache import open_cache
from pipeline.model.training.setup import new_model
from pipeline.model.training.validation import held_out_split, validation_losses
from pipeline.model.training.windows import Windows
from tests.pipeline.model.training.small import fit, losses, recipe, shard_rows, write_shards

CPU = torch.device("cpu")


def _loss(*given: Any) -> float:
    return validation_losses(*given)["validation_loss"]


@pytest.mark.parametrize("arch", ["dit", "release"])
def test_it_repeats_and_the_parts_change_only_rounding(shards: Path, tmp_path: Path, arch: str) -> None:
    made = recipe(arch=arch, dropout=0.1, keypoints=123 if arch == "release" else 133)
    data, held_out = (open_cache(shards, split, tmp_path) for split in ("train", "validation"))
    model = new_model(made, data)
    first = _loss(model, held_out, made, CPU, 2)
    torch.rand(7)
    assert _loss(model, held_out, made, CPU, 2) == first
    assert _loss(model, held_out, made, CPU, 1) == pytest.approx(first, rel=1e-5)


def test_no_more_windows_are_taken_than_were_asked_for(shards: Path, tmp_path: Path) -> None:
    data, held_out = (open_cache(shards, split, tmp_path) for split in ("train", "validation"))
    model = new_model(recipe(), data)
    one, two = (_loss(model, held_out, recipe(validation_windows=n), CPU, 4) for n in (1, 2))
    assert one != two
    assert _loss(model, held_out, recipe(validation_windows=99), CPU, 4) == two


def test_parts_and_ranges_are_those_whose_points_and_time_steps_were_harmed(shards: Path, tmp_path: Path) -> None:
    """A network that knows the truth but for the hands, and but for t of 50 and more."""
    data, held_out = (open_cache(shards, split, tmp_path) for split in ("train", "validation"))
    model = new_model(recipe(), data)
    hands = torch.isin(model.space.chosen, torch.arange(91, 133)).repeat_interleave(2)
    still = Windows(held_out, 40, still=True)
    clean = prepare(still.__getitems__([0, 1]), model.space).clean

    class Knowing(torch.nn.Module):
        def forward(self, noisy: Any, step: Any, *_: Any) -> torch.Tensor:
            return clean + hands * 2.0 + 3.0 * (step >= 50)[:, None, None] * ~hands

    model.net = Knowing()  # type: ignore[assignment]
    found = validation_losses(model, held_out, recipe(), CPU, 2)  # t is 0 and 37
    assert found["validation_hands"] == pytest.approx(4)
    assert found["validation_mouth"] == found["validation_body"] == found["validation_face"] == 0
    assert found["validation_t_0_24"] > 0 and found["validation_t_25_49"] > 0
    assert "validation_t_50_74" not in found


def test_without_a_split_to_validate_on_a_run_says_so_and_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shards = write_shards(tmp_path / "shards", {"train": shard_rows(3)})
    with caplog.at_level(logging.WARNING):
        assert held_out_split(recipe(), shards, tmp_path / "cache") is None
    assert "no validation" in caplog.text
    fit(shards, tmp_path / "run", steps=2, sample_every=1)
    assert set(losses(tmp_path / "run")) == {1, 2} and not losses(tmp_path / "run", "validation_loss")
