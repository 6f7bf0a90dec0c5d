"""Weights that stay, and the best by validation."""

from pathlib import Path

import pytest
import torch

from pipeline.model.audio_to_skeleton import AudioToSkeleton
from pipeline.model.dit import NetSettings
from pipeline.model.training import checkpoint
from pipeline.model.training.milestones import Best
from tests.pipeline.model.training.small import fit, losses


def test_only_a_lower_loss_over_the_same_windows_replaces_the_best(tmp_path: Path) -> None:
    model = AudioToSkeleton.new(NetSettings(size="tiny", window_frames=16), "logmel768")
    for step, loss in enumerate([0.5, 0.4, 0.6, float("nan")], 1):
        Best(tmp_path, {"windows": 8}).offer(model, step, loss)  # as after a restart: the file holds the record
    kept = AudioToSkeleton.load(tmp_path / "best.safetensors").trained_on["kept"]
    assert kept == {"step": 2, "validation_loss": 0.4, "validated_on": {"windows": 8}}
    assert Best(tmp_path, {"windows": 9}).loss == float("inf"), "of other windows"
    assert Best(tmp_path, {"windows": 8}, anew=True).loss == float("inf"), "of a training that is over"
    (tmp_path / "best.safetensors").write_bytes(b"{}")
    assert Best(tmp_path, {"windows": 8}).loss == float("inf"), "damaged"


def test_a_run_leaves_what_generates_at_each_milestone_and_the_best(shards: Path, tmp_path: Path) -> None:
    path = fit(shards, tmp_path, steps=4, milestone_every=2, validate_every=2)
    there = sorted(each.name for each in (tmp_path / "milestones").iterdir())
    assert there == ["best.safetensors", "step-000000002.safetensors", "step-000000004.safetensors"]
    last = AudioToSkeleton.load(tmp_path / "milestones" / there[2])
    average = AudioToSkeleton.load(path / checkpoint.AVERAGE)
    for name, weights in last.net.state_dict().items():
        assert torch.equal(weights, average.net.state_dict()[name])
    assert last.trained_on["kept"] == {"step": 4}
    held_out = losses(tmp_path, "validation_loss")
    kept = AudioToSkeleton.load(tmp_path / "milestones" / "best.safetensors").trained_on["kept"]
    assert kept["validation_loss"] == pytest.approx(min(held_out.values()))
    assert set(losses(tmp_path, "validation_mouth")) == set(held_out) == {2, 4}
