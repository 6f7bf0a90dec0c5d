"""Gradients that are not finite: skipped without a trace, counted, and a run that they end is rescued by each way it names."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.model.training import checkpoint, loop
from pipeline.model.training.metrics import METRICS
from pipeline.model.training.setup import optimizer_of
from pipeline.model.training.skips import NotFinite, Skips, not_finite
from tests.pipeline.model.training.small import fit, losses, recipe

Bad = Callable[[Any, int], bool]  # the run, the step


def _plant(patch: pytest.MonkeyPatch, bad: Bad) -> None:
    """Make the loss of some steps NaN."""
    real_step, real_error = loop._Run._step, loop._Run._error

    def step(self: Any, number: int, batch: Any) -> Any:
        self.number = number
        return real_step(self, number, batch)

    def error(self: Any, *given: Any) -> Any:
        found = real_error(self, *given)
        return found * float("nan") if bad(self, self.number) else found

    patch.setattr(loop._Run, "_step", step)
    patch.setattr(loop._Run, "_error", error)


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_skipped_step_changes_neither_weights_nor_the_optimizer(name: str, value: float) -> None:
    net = torch.nn.Linear(3, 2)
    optimizer = optimizer_of(recipe(optimizer=name), net)

    def step(scale: float, bad: float) -> None:
        (net(torch.ones(4, 3)).sum() * scale).backward()
        optimizer.found_inf = torch.tensor(bad)  # type: ignore[attr-defined]
        optimizer.step()
        optimizer.zero_grad()

    step(1.0, 0.0)
    weights = [each.detach().clone() for each in net.parameters()]
    kept = {
        (index, kind): tensor.clone()
        for index, kinds in optimizer.state_dict()["state"].items()
        for kind, tensor in kinds.items()
    }
    step(value, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(weights, net.parameters(), strict=True))
    now = optimizer.state_dict()["state"]
    assert all(torch.equal(tensor, now[index][kind]) for (index, kind), tensor in kept.items())
    step(1.0, 0.0)
    assert not any(torch.equal(a, b) for a, b in zip(weights, net.parameters(), strict=True))


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_steps_are_counted_and_only_those_in_a_row_end_a_run(lag: int) -> None:
    skips = Skips(3, lag, NotFinite)
    for step, bad in enumerate([0, 1, 1, 0, 1, 0, 1, 1], 1):
        skips.note(step, torch.tensor(bool(bad)))
    assert skips.state() == {"total": 5, "in_a_row": 2}
    other = Skips(3, lag, NotFinite)
    other.restore(skips.state())
    other.note(9, torch.tensor(True)) if lag else None
    with pytest.raises(NotFinite, match=r"in 3 steps in a row, the last of them 9$"):
        other.note(9, torch.tensor(True)) if not lag else other.settle()


def test_one_bad_batch_is_skipped_told_and_counted(
    shards: Path, tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _plant(monkeypatch, lambda run, step: step == 5)
    path = fit(shards, tmp_path, say=print)
    lines = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert [line["step"] for line in lines if line.get("skipped_steps")] == [5]
    assert set(losses(tmp_path)) == {1, 2, 3, 4, 6, 7, 8}
    assert {step: loss for step, loss in losses(tmp_path).items() if step < 5} == {
        step: loss for step, loss in losses(undisturbed).items() if step < 5
    }
    assert checkpoint.check(path)["skipped"] == {"total": 1, "in_a_row": 0}
    assert json.loads((tmp_path / "trained_on.json").read_text())["skipped_steps"] == 1
    told = capsys.readouterr().out
    assert "1 of the 1 steps to 5 skipped" in told and "1 of 8 steps were skipped" in told


def test_a_run_that_goes_on_counts_on_and_none_is_written_among_skipped_steps(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _plant(monkeypatch, lambda run, step: step in (3, 4, 6))
    given = {"checkpoint_every": 3, "keep_checkpoints": 9}
    fit(shards, tmp_path / "whole", steps=9, **given)
    kept = [path.name[-1] for path in checkpoint.listed(tmp_path / "whole" / "checkpoints")]
    assert kept == ["5", "7", "9"], "put off from 3 and 6 until a step was taken"
    fit(shards, tmp_path / "parts", steps=4, **given)  # the last step of a run is written, skipped or not
    with pytest.raises(NotFinite, match="in 2 steps in a row, the last of them 4"):
        fit(shards, tmp_path / "few", steps=9, skip_in_a_row=2, **given)
    path = fit(shards, tmp_path / "parts", steps=9, **given)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert checkpoint.check(path)["skipped"] == {"total": 3, "in_a_row": 0}


def test_what_diverged_goes_on_from_before_it_did(shards: Path, tmp_path: Path, undisturbed: Path) -> None:
    """No fault is planted: a learning rate that was raised too far, and is set back."""
    fit(shards, tmp_path, steps=3)
    with pytest.raises(NotFinite, match=r"goes on from step-000000003, with one of train\.learning_rate="):
        fit(shards, tmp_path, steps=60, learning_rate=1e30, clip_norm=0.0, checkpoint_every=50)
    fit(shards, tmp_path)
    assert losses(tmp_path) == losses(undisturbed)
    history = json.loads((tmp_path / "trained_on.json").read_text())["history"]
    assert history == [{"step": 0, "processes": 1}, {"step": 3, "processes": 1, "settings": {"steps": [3, 8]}}]


WAYS: dict[str, Bad] = {
    "learning_rate": lambda run, step: run.recipe.learning_rate >= 1e-3,
    "clip_norm": lambda run, step: run.recipe.clip_norm == 1,
    "precision": lambda run, step: run.recipe.precision == "bf16",
    "skip_in_a_row": lambda run, step: step < 212,
    "delete": lambda run, step: run.first == 180,
}
_LONG = {"window_frames": 8, "batch": 1, "steps": 215, "validate_every": 1000, "checkpoint_every": 90, "log_every": 5}


@pytest.fixture(scope="module")
def before(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of 180 steps."""
    folder = tmp_path_factory.mktemp("before")
    fit(shards, folder, **{**_LONG, "steps": 180})
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_run_that_meets_nan_at_step_200_is_rescued_by_each_way_that_it_names(
    shards: Path, tmp_path: Path, before: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(before, folder)
    _plant(monkeypatch, lambda run, step: step >= 200 and WAYS[way](run, step))
    given = (
        {**_LONG, "precision": "bf16"} if way == "precision" else _LONG
    )  # of a processor's own it has none to give up
    with pytest.raises(
        NotFinite, match=r"in 10 steps in a row, the last of them 209\. The same command goes on"
    ) as caught:
        fit(shards, folder, **given)
    with pytest.raises(NotFinite):
        fit(shards, folder, **given)
    told = str(caught.value)
    if way == "delete":
        deleted = re.search(r"delete (\S+) first", told)
        assert deleted is not None
        shutil.rmtree(deleted[1])
        fit(shards, folder, **_LONG)
    else:
        advised = re.search(rf"train\.{way}=([\w.+-]+)", told)
        assert advised is not None
        value = advised[1] if way == "precision" else float(advised[1])
        fit(shards, folder, **{**_LONG, way: int(value) if way == "skip_in_a_row" else value})
    assert set(losses(folder)) >= {180, 215}
    about = json.loads((folder / "trained_on.json").read_text())
    if way in ("learning_rate", "clip_norm", "precision"):
        assert way in about["history"][-1]["settings"]
    assert about.get("skipped_steps", 0) == (12 if way == "skip_in_a_row" else 0)


def test_what_is_advised_fits_the_run() -> None:
    first = str(not_finite("x", recipe(learning_rate=2e-4, clip_norm=0.0), None, halves=False))
    assert first.startswith(
        "x. The same command starts anew, with one of train.learning_rate=2e-05, train.clip_norm=1,"
    )
    assert "precision" not in first and "delete" not in first
    assert "train.precision=fp32" in str(not_finite("x", recipe(), Path("step-1"), halves=True))
