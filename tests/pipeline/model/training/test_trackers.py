"""wandb beside TensorBoard: asked for, missing, offline, refusing; a stand-in for the package writes down what it is told."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.model.training import trackers
from tests.pipeline.model.training.small import fit, losses, recipe

KEY = "k" * 40
_STAND_IN = """
import json, os
class Error(Exception): pass
class config:
    @staticmethod
    def update(values, **how): note("config", values)
def note(kind, what):
    with open(os.environ["STAND_IN"], "a") as file: file.write(json.dumps([kind, what]) + chr(10))
class Run:
    def log(self, values, step=None, **how): note("log", {**values, "step": step})
    def finish(self): note("finish", None)
def init(**given):
    if "refuse" in os.environ["STAND_IN"]: raise Error("invalid key " + os.environ["WANDB_API_KEY"] + chr(10) + "more")
    note("init", given)
    return Run()
"""


@pytest.fixture
def wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the stand-in was told, a line a call."""
    place = tmp_path / "packages"
    place.mkdir()
    (place / "wandb.py").write_text(_STAND_IN)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    for name in (trackers.KEY, trackers.MODE):
        monkeypatch.delenv(name, raising=False)
    told = tmp_path / "told.jsonl"
    monkeypatch.setenv("STAND_IN", str(told))
    return told


def _calls(told: Path, kind: str) -> list[dict[str, Any]]:
    return [what for named, what in map(json.loads, told.read_text().splitlines()) if named == kind]


def test_wandb_has_the_numbers_too_and_is_offline_without_a_key(shards: Path, tmp_path: Path, wandb: Path) -> None:
    said: list[str] = []
    fit(shards, tmp_path / "run", steps=3, trackers=("tensorboard", "wandb"), say=said.append)
    [begun] = _calls(wandb, "init")
    assert (begun["project"], begun["name"], begun["mode"]) == ("csg405", "run", "offline")
    assert begun["dir"] == str(tmp_path / "run") and begun["settings"]["console"] == "off"
    assert {line["step"]: line["loss"] for line in _calls(wandb, "log") if "loss" in line} == losses(tmp_path / "run")
    assert _calls(wandb, "config")[0]["learning_rate"] == "0.001"
    assert len(_calls(wandb, "finish")) == 1
    assert list((tmp_path / "run" / "tensorboard").rglob("events*"))
    [line] = [line for line in said if "wandb" in line]
    assert "wandb is offline, as there is no WANDB_API_KEY: `wandb sync " in line


@pytest.mark.parametrize(("told", "mode"), [({}, "online"), ({trackers.MODE: "offline"}, "offline")])
def test_the_key_and_the_mode_of_the_environment_count_and_the_key_is_nowhere(
    shards: Path, tmp_path: Path, wandb: Path, told: dict[str, str], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {trackers.KEY: KEY, **told}.items():
        monkeypatch.setenv(name, value)
    fit(shards, tmp_path / "run", steps=1, trackers=("wandb",))
    assert _calls(wandb, "init")[0]["mode"] == mode
    assert not (tmp_path / "run" / "tensorboard").exists(), "it was not asked for"
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert files and not any(KEY.encode() in path.read_bytes() for path in [*files, wandb])


def test_what_keeps_wandb_from_starting_is_told_in_a_line_and_the_run_goes_on(
    shards: Path, tmp_path: Path, wandb: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN", str(tmp_path / "refuse"))
    monkeypatch.setenv(trackers.KEY, KEY)
    said: list[str] = []
    fit(shards, tmp_path / "run", steps=1, trackers=("tensorboard", "wandb"), say=said.append)
    [line] = [line for line in said if "wandb" in line]
    assert line == "wandb did not start (invalid key ***): training without it"
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    said.clear()
    fit(shards, tmp_path / "missing", steps=1, trackers=("tensorboard", "wandb"), say=said.append)
    [line] = [line for line in said if "wandb" in line]
    assert line.startswith("train.trackers asks for wandb, which is not installed (") and "install" in line
    assert set(losses(tmp_path / "missing")) == {1}


def test_others_are_refused_and_one_name_is_a_list() -> None:
    with pytest.raises(ValueError, match="tensorboard"):
        recipe(trackers=("mlflow",))
    assert recipe(trackers="wandb").trackers == ("wandb",)
