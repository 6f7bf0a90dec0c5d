"""The loop: it learns, it goes on exactly where a kill left it, and it says what it was trained on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.lock import Occupied, driving
from pipeline.nets.audio_to_skeleton import AudioToSkeleton
from pipeline.training import TrainingError, checkpoint, loop
from pipeline.training.loop import METRICS, RecipeChanged, train
from tests.pipeline.training.small import recipe, shard_rows, write_shards


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = shard_rows(8)
    return write_shards(tmp_path_factory.mktemp("loop") / "shards", {"train": rows[:6], "validation": rows[6:]})


def _train(shards: Path, folder: Path, **changed: Any) -> Path:
    return train(recipe(**changed), shards, folder, shards.parent / "cache", say=lambda line: None)


def _losses(folder: Path, name: str = "loss") -> dict[int, float]:
    lines = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}


def _weights(path: Path) -> dict[str, torch.Tensor]:
    return dict(AudioToSkeleton.load(checkpoint.weights_of(path)).net.state_dict())


@pytest.fixture(scope="module")
def undisturbed(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    _train(shards, folder)
    return folder


def test_the_loss_falls(shards: Path, tmp_path: Path) -> None:
    _train(shards, tmp_path, steps=60, validate_every=20, checkpoint_every=60, warmup_steps=5)
    losses = list(_losses(tmp_path).values())
    held_out = list(_losses(tmp_path, "validation_loss").values())
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    assert held_out[-1] < held_out[0]


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
            _train(shards, tmp_path)
    _train(shards, tmp_path)
    assert _losses(tmp_path) == _losses(undisturbed)
    assert _losses(tmp_path, "validation_loss") == _losses(undisturbed, "validation_loss")
    ours, theirs = _weights(tmp_path), _weights(undisturbed)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_dropout_and_leads_repeat_too(shards: Path, tmp_path: Path) -> None:
    changed = {"arch": "release", "keypoints": 123, "dropout": 0.1, "augment_mirror": 0.5, "checkpoint_every": 2}
    _train(shards, tmp_path / "whole", steps=4, **changed)
    _train(shards, tmp_path / "parts", steps=2, **changed)
    _train(shards, tmp_path / "parts", steps=4, **changed)
    assert _losses(tmp_path / "whole") == _losses(tmp_path / "parts")


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
        _train(shards, tmp_path)
    found = checkpoint.last_whole(tmp_path / "checkpoints")
    assert found is not None
    assert found[1]["step"] == 5
    _train(shards, tmp_path)
    assert _losses(tmp_path) == _losses(undisturbed)


@pytest.mark.parametrize("micro", [1, 3])
def test_the_micro_batch_changes_nothing_but_rounding(
    shards: Path, tmp_path: Path, undisturbed: Path, micro: int
) -> None:
    _train(shards, tmp_path, micro_batch=micro)
    ours, theirs = _losses(tmp_path), _losses(undisturbed)
    assert ours == pytest.approx(theirs, rel=2e-3)
    assert ours[1] == pytest.approx(theirs[1], rel=1e-5)


def test_a_probe_finds_how_many_windows_fit(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    found: list[int] = []
    real = loop._Run._probe
    monkeypatch.setattr(loop._Run, "_probe", lambda self: found.append(real(self)) or found[-1])
    _train(shards, tmp_path / "roomy", micro_batch=0, steps=1)
    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=12 << 20))
    _train(shards, tmp_path / "narrow", micro_batch=0, steps=1)
    assert found[0] == 4
    assert 1 <= found[1] < 4
    assert _losses(tmp_path / "narrow")[1] == pytest.approx(_losses(tmp_path / "roomy")[1], rel=1e-5)


def test_a_run_that_goes_on_keeps_its_micro_batch(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop._Run, "_probe", lambda self: 3)
    _train(shards, tmp_path, micro_batch=0, steps=3)
    monkeypatch.setattr(loop._Run, "_probe", lambda self: pytest.fail("asked again"))
    path = _train(shards, tmp_path, micro_batch=0, steps=4)
    assert checkpoint.check(path)["micro"] == 3


def test_another_number_of_processes_does_not_go_on(shards: Path, tmp_path: Path) -> None:
    path = _train(shards, tmp_path, steps=3)
    state = json.loads((path / checkpoint.STATE).read_text())
    (path / checkpoint.STATE).write_text(json.dumps({**state, "processes": 4}))
    with pytest.raises(RecipeChanged, match="written by 4 processes, this run has 1"):
        _train(shards, tmp_path, steps=4)


def test_it_says_what_it_was_trained_on(shards: Path, undisturbed: Path) -> None:
    about = json.loads((undisturbed / "trained_on.json").read_text())
    index = json.loads((shards / "_index.json").read_text())
    hashes = {entry["path"]: entry["sha256"] for entry in index["files"] if entry["split"] == "train"}
    assert about["data"]["train"]["shards"] == hashes
    assert about["settings"]["learning_rate"] == 1e-3
    assert about["audio_features_of"] == "logmel768"
    assert about["versions"]["torch"] == torch.__version__
    model = AudioToSkeleton.load(checkpoint.weights_of(undisturbed))
    assert model.trained_on == about


def test_tensorboard_has_the_losses(undisturbed: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(next((undisturbed / "tensorboard").rglob("events*")).parent))
    events.Reload()
    found = {event.step: event.value for event in events.Scalars("loss")}
    assert found == pytest.approx(_losses(undisturbed), rel=1e-6)


@pytest.mark.parametrize(
    ("key", "value"), [("learning_rate", 2e-3), ("seed", 1), ("size", "base"), ("ablate", "concat")]
)
def test_another_recipe_is_not_mixed_into_a_run(shards: Path, undisturbed: Path, key: str, value: Any) -> None:
    with pytest.raises(RecipeChanged, match=f"{key} was .*, now {value!r}.*--model-name"):
        _train(shards, undisturbed, **{key: value})


def test_other_shards_are_not_mixed_into_a_run(shards: Path, tmp_path: Path) -> None:
    _train(shards, tmp_path / "run", steps=1)
    other = write_shards(tmp_path / "shards", {"train": shard_rows(3)})
    with pytest.raises(RecipeChanged, match="the shards are other ones"):
        train(recipe(steps=2), other, tmp_path / "run", tmp_path / "cache", say=lambda line: None)


def test_a_second_training_of_the_same_folder_is_refused(shards: Path, tmp_path: Path) -> None:
    with driving(tmp_path, "train"), pytest.raises(Occupied):
        _train(shards, tmp_path)


def test_a_loss_that_is_no_number_stops_the_run(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loop._Run._error
    monkeypatch.setattr(loop._Run, "_error", lambda self, *given: real(self, *given) * float("nan"))
    with pytest.raises(TrainingError, match="the loss is nan at step 1: lower learning_rate"):
        _train(shards, tmp_path)


def test_the_average_follows_the_weights(shards: Path, tmp_path: Path) -> None:
    path = _train(shards, tmp_path, ema_decay=0.9, steps=2)
    weights = AudioToSkeleton.load(path / checkpoint.MODEL).net.state_dict()
    average = AudioToSkeleton.load(path / checkpoint.AVERAGE).net.state_dict()
    assert any(not torch.equal(weights[name], average[name]) for name in weights)
    none = _train(shards, tmp_path / "none", ema_decay=0.0, steps=2)
    assert checkpoint.weights_of(none) == none / checkpoint.MODEL
    plain = AudioToSkeleton.load(none / checkpoint.MODEL).net.state_dict()
    assert all(torch.equal(plain[name], weights[name]) for name in weights)


def test_clipping_and_warm_up_do_what_they_say(shards: Path, tmp_path: Path) -> None:
    _train(shards, tmp_path, steps=4, warmup_steps=3, learning_rate=4e-3)
    lines = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    rates = [line["learning_rate"] for line in lines if "loss" in line]
    assert rates == pytest.approx([2e-3, 3e-3, 4e-3, 4e-3])  # of the next step


def test_a_drawn_sample_shows_truth_and_what_was_generated(shards: Path, tmp_path: Path) -> None:
    from pipeline.media.probe import probe

    _train(shards, tmp_path, steps=2, sample_every=2)
    made = probe(tmp_path / "samples" / "step-000000002.mp4")
    assert (made.width, made.height) == (1024, 512)
    assert made.grid_frames == 125
    assert made.audio_codec == "aac"


@pytest.mark.slow
def test_two_processes_share_the_work(shards: Path, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from tests.pipeline.training.test_loop import _train; import sys;"
        "_train(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
    ]
    more = ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    subprocess.run([*launch, *more, str(script), str(shards), str(tmp_path / "two")], check=True, env=env, timeout=500)
    _train(shards, tmp_path / "one")
    ours, theirs = _losses(tmp_path / "two"), _losses(tmp_path / "one")
    assert set(ours) == set(theirs)
    # Other noise (each process draws its own), the same data and gradients of the same size.
    assert list(ours.values()) == pytest.approx(list(theirs.values()), rel=0.25)


@pytest.mark.parametrize(
    ("count", "most", "size"), [(128, 200, 128), (128, 54, 32), (128, 26, 16), (7, 3, 3), (4, 3, 2), (5, 1, 1)]
)
def test_parts_of_a_step_are_alike_where_that_takes_few_more(count: int, most: int, size: int) -> None:
    assert loop.even(count, most) == size
