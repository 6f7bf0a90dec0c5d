"""`python -m stages.train`: what it says, what it leaves, and that a profile which only names it stays light."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli.stage import command_of
from pipeline.engine.profile import ProfileError, load
from stages.ablation import Ablation
from stages.ablation.settings import VARIANTS
from stages.train import run as train_run
from tests.pipeline.model.training.small import shard_rows, write_shards

_QUICK = {"size": "tiny", "window_frames": 40, "batch": 2, "sample_every": 0, "log_every": 1, "checkpoint_every": 2}


def _given(run: Path, *more: str) -> list[str]:
    return ["--run", str(run), *(f"--set={key}={value}" for key, value in _QUICK.items()), "--profile", "folder", *more]


def _run(run: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stages.train", *_given(run, *more)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def _here(run: Path, *more: str) -> Result:
    """The same command line in this process: to start another and load torch there takes longer than to train."""
    return CliRunner().invoke(command_of("train"), _given(run, *more))


@pytest.mark.slow
def test_it_trains_goes_on_and_refuses_another_recipe(tmp_path: Path) -> None:
    rows = shard_rows(3)
    write_shards(tmp_path / "shards", {"train": rows[:2], "validation": rows[2:]})
    first = _run(tmp_path, "--steps", "2")
    assert first.returncode == 0, first.stderr
    assert "dit tiny, 3.1 M parameters" in first.stdout
    assert f"model: {tmp_path / 'training' / 'model' / 'checkpoints' / 'step-000000002'}" in first.stdout
    more = _here(tmp_path, "--steps", "3")
    assert "resuming from step 2" in more.stdout
    other = _here(tmp_path, "--steps", "3", "--null-audio", "0.5")
    assert other.exit_code == 1 and isinstance(other.exception, SystemExit)
    assert "null_audio was 0.1, now 0.5" in other.stderr
    assert "Traceback" not in other.stderr
    tuning = ["--start-from", "model", "--freeze", "blocks.0.*", "--learning-rate", "0.5", "--model-name", "steep"]
    named = _here(tmp_path, "--steps", "1", *tuning)
    assert named.exit_code == 0, named.output
    assert "starting from" in named.stdout and "M of them frozen" in named.stdout
    about = json.loads((tmp_path / "training" / "steep" / "trained_on.json").read_text())
    assert about["settings"]["learning_rate"] == 0.5


def test_what_training_does_without_is_told_where_one_looks(tmp_path: Path) -> None:
    """A split without the speaker, and a checkpoint that is damaged: in the terminal, not in the log alone."""
    rows = [{**row, "speaker": name} for row, name in zip(shard_rows(2), ("s1", "s2"), strict=True)]
    write_shards(tmp_path / "shards", {"train": rows, "validation": rows[1:]})
    first = _here(tmp_path, "--steps", "4", "--speaker", "s1")
    assert first.exit_code == 0, first.output
    assert "warning: no validation: no row of" in first.stderr and "is of speaker s1; there are s2" in first.stderr
    broken = tmp_path / "training" / "model" / "checkpoints" / "step-000000004" / "optimizer.safetensors"
    broken.write_bytes(broken.read_bytes()[:-5])
    again = _here(tmp_path, "--steps", "4", "--speaker", "s1")
    assert f"warning: {broken} is not the file that was written" in again.stderr
    assert again.exit_code == 0 and "resuming from step 2\n" in again.stdout


@pytest.mark.parametrize(
    ("rank", "processes", "speaks"),
    [("1", "2", False), ("0", "2", True), ("1", None, True), ("1", "1", True), (None, "2", True)],
)
def test_of_several_processes_one_speaks(
    rank: str | None, processes: str | None, speaks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(*_: object, say: Callable[[str], None]) -> Path:  # which would wait for the other process
        say("3.1 M parameters")
        logging.getLogger("pipeline.model.training").warning("no validation")
        return tmp_path / "step-1"

    write_shards(tmp_path / "shards", {"train": shard_rows(1)})
    monkeypatch.setattr(train_run, "train", trained)
    for name, value in (("RANK", rank), ("WORLD_SIZE", processes)):  # as torchrun says them
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    found = _here(tmp_path)
    assert found.exit_code == 0, found.output
    assert found.stdout.splitlines() == (["3.1 M parameters", f"model: {tmp_path / 'step-1'}"] if speaks else [])
    assert ("warning: no validation" in found.stderr) is speaks


def test_a_rank_that_was_left_over_silences_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards(tmp_path / "shards", {"train": shard_rows(1)})
    monkeypatch.setenv("RANK", "1")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    found = _here(tmp_path, "--steps", "1")
    assert found.exit_code == 0, found.output
    assert found.stdout.count("model:") == 1 and found.stderr.count("warning: no validation") == 1


def test_without_shards_it_says_what_makes_them(tmp_path: Path) -> None:
    nowhere = _here(tmp_path / "nowhere")
    assert nowhere.exit_code == 2 and "is no run" in nowhere.stderr and not (tmp_path / "nowhere").exists()
    (tmp_path / "tables").mkdir()
    found = _here(tmp_path)
    assert found.exit_code == 1 and isinstance(found.exception, SystemExit)
    assert "_index.json is missing: the stage `shards` has not finished here" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_mistyped_setting_is_told(tmp_path: Path) -> None:
    found = _here(tmp_path, "--set", "train.learning_rat=1")
    assert found.exit_code == 2 and isinstance(found.exception, SystemExit)
    assert "did you mean" in found.stderr


def test_the_pipeline_names_the_program_when_it_is_run_as_a_stage(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline.cli", "run", "train", "--run", str(tmp_path), "--profile", "folder"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode != 0
    assert "train is a program of its own: python -m stages.train" in found.stderr
    with pytest.raises(ProfileError):
        load("folder").stage("train")


def test_a_profile_that_names_it_does_not_load_torch() -> None:
    code = "import sys; from pipeline.engine.profile import load; load('demo').settings('train'); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == "False"


def test_the_papers_profile_holds_the_papers_numbers() -> None:
    found = load("train-paper").settings("train").model_dump()
    paper = {"optimizer": "adam", "learning_rate": 5e-5, "batch": 128, "steps": 2_000_000, "null_audio": 0.1}
    plain = {"ema_decay": 0.0, "clip_norm": 0.0, "warmup_steps": 0, "schedule": "constant", "window_frames": 250}
    network = {"arch": "dit", "size": "large", "keypoints": 133, "ablate": "", "neck": False}
    assert {key: found[key] for key in paper | plain | network} == paper | plain | network


def test_the_table_of_an_ablation_has_mean_and_spread() -> None:
    pytest.importorskip("torch", reason="needs csg405[train]")
    from stages.ablation.scores import table

    rows = [
        {"variant": "full", "seed": seed, "mouth_correlation": value, "limb_error_percent": 3.0, "validation_loss": 0.2}
        for seed, value in enumerate((0.90, 0.92, 0.94))
    ]
    assert table(rows).splitlines()[2] == "| full | 3 | 0.920 ± 0.020 | 3.000 ± 0.000 | 0.200 ± 0.000 |"


def test_an_ablation_trains_each_variant_on_speakers_that_it_is_not_scored_on() -> None:
    pytest.importorskip("torch", reason="needs csg405[train]")
    from stages.ablation.run import recipe, splits

    speakers = splits(Ablation())
    assert not set(speakers["train"]) & set(speakers["test"])
    assert not set(speakers["validation"]) & set(speakers["test"])
    recipes = {variant: recipe(Ablation(), variant, 2) for variant in VARIANTS}
    assert [recipe.ablate for recipe in recipes.values()] == ["", "reference", "concat", "local"]
    assert all(recipe.seed == 2 for recipe in recipes.values())
