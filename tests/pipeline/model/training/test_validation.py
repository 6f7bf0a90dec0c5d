"""The validation loss is the same number every time, in parts of whatever size, and a run may do without."""

import logging
from pathlib import Path

import pytest
import torch

from pipeline.model.training.cache import open_cache
from pipeline.model.training.setup import new_model
from pipeline.model.training.validation import held_out_split, validation_loss
from tests.pipeline.model.training.small import fit, losses, recipe, shard_rows, write_shards

CPU = torch.device("cpu")


@pytest.mark.parametrize("arch", ["dit", "release"])
def test_it_repeats_and_the_parts_change_only_rounding(shards: Path, tmp_path: Path, arch: str) -> None:
    made = recipe(arch=arch, dropout=0.1, keypoints=123 if arch == "release" else 133)
    data, held_out = (open_cache(shards, split, tmp_path) for split in ("train", "validation"))
    model = new_model(made, data)
    first = validation_loss(model, held_out, made, CPU, 2)
    torch.rand(7)
    assert validation_loss(model, held_out, made, CPU, 2) == first
    assert validation_loss(model, held_out, made, CPU, 1) == pytest.approx(first, rel=1e-5)


def test_no_more_windows_are_taken_than_were_asked_for(shards: Path, tmp_path: Path) -> None:
    data, held_out = (open_cache(shards, split, tmp_path) for split in ("train", "validation"))
    model = new_model(recipe(), data)
    one, two = (validation_loss(model, held_out, recipe(validation_windows=n), CPU, 4) for n in (1, 2))
    assert one != two
    assert validation_loss(model, held_out, recipe(validation_windows=99), CPU, 4) == two


def test_without_a_split_to_validate_on_a_run_says_so_and_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shards = write_shards(tmp_path / "shards", {"train": shard_rows(3)})
    with caplog.at_level(logging.WARNING):
        assert held_out_split(recipe(), shards, tmp_path / "cache") is None
    assert "no validation" in caplog.text
    fit(shards, tmp_path / "run", steps=2, sample_every=1)
    assert set(losses(tmp_path / "run")) == {1, 2} and not losses(tmp_path / "run", "validation_loss")
