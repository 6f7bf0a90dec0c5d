"""Checkpoints are whole or not there, whatever happens while they are written, and nothing in them is unpickled."""

import errno
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.model.audio_to_skeleton import AudioToSkeleton, save_tensors
from pipeline.model.dit import NetSettings
from pipeline.model.training import checkpoint, loop
from pipeline.registry.archives import BadModel
from tests.pipeline.model.training.small import fit, losses

SETTINGS = NetSettings(size="tiny", window_frames=16)


def _model(seed: int) -> AudioToSkeleton:
    torch.manual_seed(seed)
    model = AudioToSkeleton.new(SETTINGS, "logmel768")
    for parameter in model.net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model


def _trained(model: AudioToSkeleton) -> torch.optim.Optimizer:
    """An optimizer that has made two steps."""
    optimizer = torch.optim.AdamW(model.net.parameters(), 1e-3)
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        noisy, audio = torch.randn(2, 16, 266, generator=generator), torch.randn(2, 16, 768, generator=generator)
        model.net(noisy, torch.tensor([3, 70]), audio, noisy[:, 0]).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return optimizer


def _write(folder: Path, step: int = 2, keep: int = 3) -> Path:
    model = _model(step)
    return checkpoint.write(folder, step, model, _model(step + 100), _trained(model), {"about": {}}, keep)


def test_everything_comes_back(tmp_path: Path) -> None:
    model, average = _model(1), _model(2)
    optimizer = _trained(model)
    path = checkpoint.write(tmp_path, 7, model, average, optimizer, {"about": {"x": 1}}, 3)
    found = checkpoint.last_whole(tmp_path)
    assert found is not None
    assert found[0] == path
    assert (found[1]["step"], found[1]["about"]) == (7, {"x": 1})
    other, other_average = _model(3), _model(4)
    again = torch.optim.AdamW(other.net.parameters(), 1e-3)
    checkpoint.restore(path, other, other_average, again)
    for a, b in ((model, other), (average, other_average)):
        assert all(torch.equal(x, y) for x, y in zip(a.net.parameters(), b.net.parameters(), strict=True))
    before, after = optimizer.state_dict()["state"], again.state_dict()["state"]
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key][kind], after[key][kind]) for key in before for kind in before[key])


def test_the_last_few_are_kept(tmp_path: Path) -> None:
    for step in range(1, 6):
        _write(tmp_path, step, keep=2)
    assert [path.name for path in checkpoint.listed(tmp_path)] == ["step-000000004", "step-000000005"]


@pytest.mark.parametrize("name", [checkpoint.MODEL, checkpoint.AVERAGE, checkpoint.OPTIMIZER])
@pytest.mark.parametrize("harm", ["cut short", "a bit turned", "gone"])
def test_a_damaged_one_is_told_and_the_one_before_is_taken(tmp_path: Path, name: str, harm: str) -> None:
    good, bad = _write(tmp_path, 1), _write(tmp_path, 2)
    file = bad / name
    data = bytearray(file.read_bytes())
    if harm == "gone":
        file.unlink()
    else:
        data[len(data) // 2] ^= 1
        file.write_bytes(data[: len(data) - 5] if harm == "cut short" else data)
    with pytest.raises(BadModel, match=rf"{name}.*(is missing|sha256 differs)"):
        checkpoint.check(bad)
    found = checkpoint.last_whole(tmp_path)
    assert found is not None
    assert found[0] == good
    assert checkpoint.weights_of(tmp_path) == good / checkpoint.AVERAGE
    with pytest.raises(BadModel):
        checkpoint.weights_of(bad)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"step": 1}', '{"step": "x", "files": {}}', '{"step": 1, "files": {}}']
)
def test_a_state_that_says_nothing_is_no_checkpoint(tmp_path: Path, text: str) -> None:
    path = _write(tmp_path)
    (path / checkpoint.STATE).write_text(text)
    with pytest.raises(BadModel, match="is not a complete checkpoint"):
        checkpoint.check(path)


def test_a_state_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    path = _write(tmp_path / "checkpoints")
    secret = tmp_path / "secret"
    secret.write_text("x")
    state = json.loads((path / checkpoint.STATE).read_text())
    state["files"]["../../secret"] = "0" * 64
    (path / checkpoint.STATE).write_text(json.dumps(state))
    with pytest.raises(BadModel, match="step-000000002/secret is missing"):
        checkpoint.check(path)


class _Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path, sprung = _write(tmp_path / "checkpoints"), tmp_path / "sprung"
    (path / checkpoint.AVERAGE).write_bytes(pickle.dumps(_Trap(str(sprung))))
    with pytest.raises(BadModel, match="damaged, or not an audio-to-skeleton model"):
        AudioToSkeleton.load(path / checkpoint.AVERAGE)
    torch.save({"x": _Trap(str(sprung))}, path / checkpoint.OPTIMIZER)
    model = _model(1)
    with pytest.raises(BadModel):
        checkpoint.restore(path, model, None, torch.optim.AdamW(model.net.parameters()))
    assert not sprung.exists()


def test_another_network_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path)
    other = AudioToSkeleton.new(NetSettings(size="tiny", window_frames=32), "logmel768")
    with pytest.raises(BadModel, match="holds another network"):
        checkpoint.restore(path, other, None, torch.optim.AdamW(other.net.parameters()))


WRITERS = 6
# Each writer is a fork of a process that has imported torch, from before it computes anything; a line asks for the next one.
_WRITER = """
import os, sys
from pathlib import Path
from tests.pipeline.model.training.test_checkpoint import _write
for _ in sys.stdin:
    child = os.fork()
    if child == 0:
        print(os.getpid(), flush=True)
        for step in range(1, 10_000):
            _write(Path(sys.argv[1]), step, keep=2)
            print(step, flush=True)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_the_last_whole_one(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    command = [sys.executable, "-c", _WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdin is not None and process.stdout is not None
        for kill in range(WRITERS):
            print("another", file=process.stdin, flush=True)
            writer = int(process.stdout.readline())
            last = 0
            while last < 2 + kill:
                last = int(process.stdout.readline())
            time.sleep(0.02 + 0.04 * kill)  # into the middle of the next one
            os.kill(writer, signal.SIGKILL)
            rest = takewhile(str.isdigit, map(str.strip, iter(process.stdout.readline, "")))
            done = max([last, *map(int, rest)])
            found = checkpoint.last_whole(tmp_path)
            assert found is not None
            assert found[1]["step"] >= done
            model = _model(1)
            checkpoint.restore(found[0], model, _model(2), torch.optim.AdamW(model.net.parameters()))
    _write(tmp_path, 99_999, keep=2)
    assert {path.name[:5] for path in tmp_path.iterdir()} == {checkpoint.PREFIX}


KILLS, KILLED_STEPS = 10, 36
_UNDER_FIRE = """
import sys
from pathlib import Path
from tests.pipeline.model.training.test_checkpoint import train_under_fire
train_under_fire(Path(sys.argv[1]))
"""


def train_under_fire(place: Path) -> None:
    """Train in child processes: ten are killed at the n-th step or flush to disk, one ends what they began, one is left alone.

    Forked before torch computes anything: each child is as new, and none waits for imports.
    """
    import torch.utils.tensorboard  # noqa: F401 - or each child would import it

    draw = random.Random(13)
    for number in range(KILLS + 2):
        death = draw.randrange(4, 30)
        child = os.fork()
        if child == 0:
            if number < KILLS:
                _die_at(death)
            folder = place / ("run" if number <= KILLS else "undisturbed")
            fit(place / "shards", folder, steps=KILLED_STEPS, window_frames=16, batch=2)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        found = checkpoint.last_whole(place / "run" / loop.CHECKPOINTS)
        print(os.waitstatus_to_exitcode(status), found[1]["step"] if found else 0, flush=True)


def _die_at(number: int) -> None:
    """SIGKILL at the n-th of steps and flushes, which a cache, a checkpoint and a note end with, before or after it."""
    left = [number]

    def counted(real: Any) -> Any:
        def call(*given: Any) -> Any:
            left[0] -= 1
            if not left[0] and number % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*given)
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    os.fsync = counted(os.fsync)
    loop._Run._step = counted(loop._Run._step)  # type: ignore[method-assign]


@pytest.mark.slow
def test_ten_kills_in_training_change_no_loss(shards: Path, tmp_path: Path) -> None:
    """Bit for bit on a processor: a step is a function of the recipe, the shards and its number."""
    shutil.copytree(shards, tmp_path / "shards")  # the cache beside them is built under fire too
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _UNDER_FIRE, str(tmp_path)]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    lines = [[int(word) for word in line.split()] for line in ended.stdout.splitlines()]
    assert [status for status, _ in lines] == [-signal.SIGKILL] * KILLS + [0, 0]
    steps = [step for _, step in lines]
    assert steps == sorted(steps) and len({*steps}) >= 3  # kills fell before, between and after checkpoints
    for name in ("loss", "validation_loss", "gradient_norm"):
        assert losses(tmp_path / "run", name) == losses(tmp_path / "undisturbed", name)
    ours, theirs = (
        AudioToSkeleton.load(checkpoint.weights_of(tmp_path / run)).net.state_dict() for run in ("run", "undisturbed")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_broken_later_one_does_not_push_out_what_was_just_written(tmp_path: Path) -> None:
    _write(tmp_path, 9, keep=1)
    (tmp_path / checkpoint.name_of(9) / checkpoint.MODEL).unlink()
    path = _write(tmp_path, 8, keep=1)
    found = checkpoint.last_whole(tmp_path)
    assert found is not None
    assert found[0] == path


def test_what_the_disk_refuses_is_an_error_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        save_tensors({"x": torch.zeros(4)}, tmp_path / "nowhere" / "x.safetensors")
    assert caught.value.errno == errno.ENOENT


def test_a_model_is_named_by_path_or_by_its_name_in_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainings = tmp_path / "training"
    assert checkpoint.model_of("", trainings) == trainings / "model", "which says itself that it is not there"
    with pytest.raises(BadModel, match=r"--model paper: no file or folder .* holds none: train one"):
        checkpoint.model_of("paper", trainings)
    for name in ("paper", "small"):
        (trainings / name / "checkpoints").mkdir(parents=True)
    assert checkpoint.model_of("paper", trainings) == trainings / "paper"
    with pytest.raises(BadModel, match=r"--model papr: .*models of this run: paper, small$"):
        checkpoint.model_of("papr", trainings)
    with pytest.raises(BadModel, match=r"training/model holds no model: name one with --model; .*paper, small$"):
        checkpoint.model_of("", trainings)
    (tmp_path / "small").touch()
    assert checkpoint.model_of("small", trainings) == Path("small"), "a path that is there comes first"
    assert checkpoint.model_of("else/where", trainings) == Path("else/where")
    (trainings / "model" / "checkpoints").mkdir(parents=True)
    assert checkpoint.model_of("", trainings) == trainings / "model"
