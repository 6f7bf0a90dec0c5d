"""What a run notes as it goes: a line a mean, the same to TensorBoard, and nothing twice."""

import json
from pathlib import Path

import pytest

from pipeline.model.training import TrainingError
from pipeline.model.training.metrics import METRICS
from tests.pipeline.model.training.small import fit, losses


def test_tensorboard_has_the_losses(undisturbed: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(next((undisturbed / "tensorboard").rglob("events*")).parent))
    events.Reload()
    found = {event.step: event.value for event in events.Scalars("loss")}
    assert found == pytest.approx(losses(undisturbed), rel=1e-6)


def test_weights_that_are_no_numbers_are_not_kept(shards: Path, tmp_path: Path) -> None:
    """A checkpoint that goes on is one that can."""
    said = r"weights are not finite at step 1\. The same command starts anew, with one of train\.learning_rate=1e\+38"
    with pytest.raises(TrainingError, match=said):
        fit(shards, tmp_path, learning_rate=1e39, clip_norm=0, checkpoint_every=1, warmup_steps=0, log_every=10)
    assert not list(tmp_path.glob("checkpoints/*"))


def test_the_norm_is_that_before_clipping_and_measured_without_it_too(
    shards: Path, tmp_path: Path, undisturbed: Path
) -> None:
    fit(shards, tmp_path, steps=1, clip_norm=0)
    norms = losses(tmp_path, "gradient_norm")
    assert norms[1] > 0
    assert norms[1] == pytest.approx(losses(undisturbed, "gradient_norm")[1], rel=1e-5)


def test_clipping_and_warm_up_do_what_they_say(shards: Path, tmp_path: Path) -> None:
    fit(shards, tmp_path, steps=4, warmup_steps=3, learning_rate=4e-3)
    lines = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    rates = [line["learning_rate"] for line in lines if "loss" in line]
    assert rates == pytest.approx([2e-3, 3e-3, 4e-3, 4e-3])  # of the next step


def test_a_line_is_the_mean_of_the_steps_since_the_one_before(shards: Path, tmp_path: Path, undisturbed: Path) -> None:
    fit(shards, tmp_path, log_every=3)
    each, means = losses(undisturbed), losses(tmp_path)
    assert set(means) == {3, 6, 8}
    assert means[6] == pytest.approx(sum(each[step] for step in (4, 5, 6)) / 3)
    assert means[8] == pytest.approx((each[7] + each[8]) / 2)


def test_lines_after_the_step_it_goes_on_from_and_cut_ones_are_dropped(
    shards: Path, tmp_path: Path, undisturbed: Path
) -> None:
    fit(shards, tmp_path, steps=6)
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"step": 7, "loss": 99.0}\n{"step": 8, "lo')
    fit(shards, tmp_path)
    assert losses(tmp_path) == losses(undisturbed)
    assert [line["step"] for line in map(json.loads, (tmp_path / METRICS).read_text().splitlines())].count(7) == 1
