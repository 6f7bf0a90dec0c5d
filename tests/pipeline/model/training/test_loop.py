"""The loop: it learns, and it goes on exactly where a kill left it."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.model.audio_to_skeleton import AudioToSkeleton
from pipeline.model.training import checkpoint, loop
from pipeline.model.training.provenance import RecipeChanged
from pipeline.model.training.setup import LostProcess
from pipeline.tables.lock import Occupied, driving
from tests.pipeline.model.training.small import fit, losses


def _weights(path: Path) -> dict[str, torch.Tensor]:
    return dict(AudioToSkeleton.load(checkpoint.weights_of(path)).net.state_dict())


def test_the_loss_falls(shards: Path, tmp_path: Path) -> None:
    fit(shards, tmp_path, steps=60, validate_every=20, checkpoint_every=60, warmup_steps=5)
    trained = list(losses(tmp_path).values())
    held_out = list(losses(tmp_path, "validation_loss").values())
    assert sum(trained[-10:]) < 0.8 * sum(trained[:10])
    assert held_out[-1] < held_out[0]


def test_the_velocity_loss_comes_on_top(shards: Path, tmp_path: Path) -> None:
    for weight in (0.0, 1.0, 2.0):
        fit(shards, tmp_path / str(weight), steps=1, velocity_loss=weight)
    none, once, twice = (losses(tmp_path / str(weight))[1] for weight in (0.0, 1.0, 2.0))
    assert once > none and twice - once == pytest.approx(once - none, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("cut", [1, 3, 5, 7])
def test_a_run_that_was_cut_goes_on_as_if_it_had_not_been(
    shards: Path, tmp_path: Path, undisturbed: Path, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = loop._Run._step

    def step(self: Any, number: int, batch: Any) -> Any:
        if number > cut:
            raise MemoryError  # stands for a kill: nothing gets a chance to write
        return real(self, number, batch)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Run, "_step", step)
        with pytest.raises(MemoryError):
            fit(shards, tmp_path)
    fit(shards, tmp_path)
    assert losses(tmp_path) == losses(undisturbed)
    assert losses(tmp_path, "validation_loss") == losses(undisturbed, "validation_loss")
    ours, theirs = _weights(tmp_path), _weights(undisturbed)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_dropout_and_leads_repeat_too(shards: Path, tmp_path: Path) -> None:
    changed = {"arch": "release", "keypoints": 123, "dropout": 0.1, "augment_mirror": 0.5, "checkpoint_every": 2}
    fit(shards, tmp_path / "whole", steps=4, **changed)
    fit(shards, tmp_path / "parts", steps=2, **changed)
    fit(shards, tmp_path / "parts", steps=4, **changed)
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")


def test_ctrl_c_leaves_a_checkpoint_of_the_step_at_hand(
    shards: Path, tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = loop._Run._step

    def step(self: Any, number: int, batch: Any) -> Any:
        if number == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, number, batch)

    monkeypatch.setattr(loop._Run, "_step", step)
    with pytest.raises(KeyboardInterrupt):
        fit(shards, tmp_path)
    found = checkpoint.last_whole(tmp_path / "checkpoints")
    assert found is not None
    assert found[1]["step"] == 5
    fit(shards, tmp_path)
    assert losses(tmp_path) == losses(undisturbed)


def test_the_micro_batch_changes_nothing_but_rounding(shards: Path, tmp_path: Path) -> None:
    for micro in (4, 3, 1):
        fit(shards, tmp_path / str(micro), micro_batch=micro, learning_rate=3e-4)
    for micro in (3, 1):
        for name in ("loss", "validation_loss"):
            ours, theirs = losses(tmp_path / str(micro), name), losses(tmp_path / "4", name)
            assert ours == pytest.approx(theirs, abs=1e-5)


def test_a_run_goes_on_with_other_rates_precision_and_average(shards: Path, tmp_path: Path, undisturbed: Path) -> None:
    """From the weights of its checkpoint, which the next step's loss shows; what changed is told before."""
    told: list[str] = []
    fit(shards, tmp_path, steps=3)
    other: dict[str, Any] = {"learning_rate": 1e-4, "clip_norm": 0.0, "schedule": "cosine", "warmup_steps": 1}
    path = fit(shards, tmp_path, steps=5, ema_decay=0.0, keep_checkpoints=9, say=told.append, **other)
    changed = "steps 3 -> 5, warmup_steps 2 -> 1"
    assert told[0] == (
        "resuming from step 3: clip_norm 1.0 -> 0.0, ema_decay 0.9 -> 0.0, learning_rate 0.001 -> 0.0001, "
        f"schedule constant -> cosine, {changed}"
    )
    assert losses(tmp_path)[4] == losses(undisturbed)[4] and losses(tmp_path)[5] != losses(undisturbed)[5]
    assert losses(tmp_path, "learning_rate")[5] == 0.0, "a cosine ends at nothing"
    assert not (path / checkpoint.AVERAGE).exists()
    before = AudioToSkeleton.load(path / checkpoint.MODEL).net.state_dict()
    path = fit(shards, tmp_path, steps=6, ema_decay=0.9, precision="bf16", say=told.append, **other)
    assert "resuming from step 5: ema_decay 0.0 -> 0.9, precision auto -> bf16, steps 5 -> 6" in told
    now = AudioToSkeleton.load(path / checkpoint.MODEL).net.state_dict()
    average = AudioToSkeleton.load(path / checkpoint.AVERAGE).net.state_dict()
    decay = (1 + 6) / (10 + 6)
    for name in now:  # it began with the weights of the moment at which it was switched on
        torch.testing.assert_close(average[name], before[name] * decay + now[name] * (1 - decay), rtol=1e-5, atol=1e-7)
    again = fit(shards, tmp_path, steps=4, ema_decay=0.9, precision="bf16", say=told.append, **other)
    assert again == path and "steps=4 are fewer than it has made: nothing is trained" in told
    assert any("; 0 steps of 4 windows" in line for line in told)


def test_a_run_that_goes_on_keeps_its_micro_batch(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "micro_batch", lambda *_: 3)
    fit(shards, tmp_path, micro_batch=0, steps=3)
    monkeypatch.setattr(loop, "micro_batch", lambda *_: pytest.fail("asked again"))
    path = fit(shards, tmp_path, micro_batch=0, steps=4)
    assert checkpoint.check(path)["micro"] == 3


def test_a_checkpoint_with_noise_by_process_is_refused_by_name_and_what_is_advised_works(
    shards: Path, tmp_path: Path
) -> None:
    path = fit(shards, tmp_path / "old", steps=2)
    state = json.loads((path / checkpoint.STATE).read_text())
    del state["noise"]
    (path / checkpoint.STATE).write_text(json.dumps(state))
    with pytest.raises(
        RecipeChanged, match=r"noise was drawn by process.*train\.start_from=(\S+) train.model_name"
    ) as caught:
        fit(shards, tmp_path / "old", steps=3)
    advised = re.search(r"train\.start_from=(\S+)", str(caught.value))
    assert advised is not None
    fit(shards, tmp_path / "new", steps=1, start_from=advised[1])


def test_a_second_training_of_the_same_folder_is_refused(shards: Path, tmp_path: Path) -> None:
    with driving(tmp_path, "train"), pytest.raises(Occupied):
        fit(shards, tmp_path)


def test_the_average_follows_the_weights(shards: Path, tmp_path: Path) -> None:
    path = fit(shards, tmp_path, ema_decay=0.9, steps=2)
    weights = AudioToSkeleton.load(path / checkpoint.MODEL).net.state_dict()
    average = AudioToSkeleton.load(path / checkpoint.AVERAGE).net.state_dict()
    assert any(not torch.equal(weights[name], average[name]) for name in weights)
    none = fit(shards, tmp_path / "none", ema_decay=0.0, steps=2)
    assert checkpoint.weights_of(none) == none / checkpoint.MODEL
    plain = AudioToSkeleton.load(none / checkpoint.MODEL).net.state_dict()
    assert all(torch.equal(plain[name], weights[name]) for name in weights)


def test_a_drawn_sample_shows_truth_and_what_was_generated(shards: Path, tmp_path: Path) -> None:
    from pipeline.media.probe import probe

    fit(shards, tmp_path, steps=2, sample_every=2)
    made = probe(tmp_path / "samples" / "step-000000002.mp4")
    assert (made.width, made.height) == (1024, 512)
    assert made.grid_frames == 125
    assert made.audio_codec == "aac"


ALIKE = {"steps": 50, "learning_rate": 3e-4, "checkpoint_every": 50, "validate_every": 50}
_FIT = """
import json, sys
from pathlib import Path
from tests.pipeline.model.training.small import fit
fit(Path(sys.argv[1]), Path(sys.argv[2]), **json.loads(sys.argv[3]))
"""


def _launch(processes: int, place: Path, code: str, *given: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in so many processes, as `torchrun` does."""
    script = place / "run.py"
    script.write_text(code)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4]), "OMP_NUM_THREADS": "1"}
    # Not `accelerate launch --cpu`, which starts one process whatever number it is given.
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [*launch, str(script), *given]
    return subprocess.run(command, check=False, env=env, timeout=500, capture_output=True, text=True)


@pytest.mark.slow
def test_one_process_then_two_then_one_are_the_run_of_one(shards: Path, tmp_path: Path) -> None:
    """Losses to 1e-5 of each other over 50 steps: noise, t and dropped audio belong to windows, not to processes."""
    fit(shards, tmp_path / "one", **ALIKE)
    fit(shards, tmp_path / "moved", **{**ALIKE, "steps": 15})
    settings = json.dumps({**ALIKE, "steps": 35, "micro_batch": 1})
    ended = _launch(2, tmp_path, _FIT, str(shards), str(tmp_path / "moved"), settings)
    assert ended.returncode == 0, ended.stderr
    fit(shards, tmp_path / "moved", **ALIKE)
    ours, theirs = losses(tmp_path / "moved"), losses(tmp_path / "one")
    assert set(ours) == set(theirs) == set(range(1, 51))
    assert list(ours.values()) == pytest.approx(list(theirs.values()), abs=1e-5)
    history = json.loads((tmp_path / "moved" / "trained_on.json").read_text())["history"]
    assert [(entry["step"], entry["processes"]) for entry in history] == [(0, 1), (15, 2), (35, 1)]


def test_a_process_that_ends_while_the_data_is_prepared_is_told_in_a_line(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Alone:
        """The second of two processes, whose first one is gone before the cache is made."""

        num_processes, is_main_process = 2, False

        def main_process_first(self) -> None:
            raise RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:39443")

    monkeypatch.setattr(loop, "accelerator_of", lambda *_: Alone())
    with pytest.raises(LostProcess, match=r"another of the 2 processes ended.*Connection closed by peer"):
        fit(shards, tmp_path)
