"""A run says what it was made from, and does not go on as another one."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.model.audio_to_skeleton import AudioToSkeleton
from pipeline.model.training import checkpoint
from pipeline.model.training.cache import open_cache
from pipeline.model.training.loop import train
from pipeline.model.training.provenance import TRAINED_ON, RecipeChanged, check_same, provenance, resumed
from tests.pipeline.model.training.small import fit, recipe, shard_rows, write_shards


def test_it_says_what_it_was_trained_on(shards: Path, undisturbed: Path) -> None:
    about = json.loads((undisturbed / TRAINED_ON).read_text())
    index = json.loads((shards / "_index.json").read_text())
    hashes = {entry["path"]: entry["sha256"] for entry in index["files"] if entry["split"] == "train"}
    assert about["data"]["train"]["shards"] == hashes
    assert about["settings"]["learning_rate"] == 1e-3
    assert about["audio_features_of"] == "logmel768"
    assert about["versions"]["torch"] == torch.__version__
    model = AudioToSkeleton.load(checkpoint.weights_of(undisturbed))
    assert model.trained_on == about


@pytest.mark.parametrize(("key", "value"), [("batch", 3), ("seed", 1), ("size", "base"), ("ablate", "concat")])
def test_another_recipe_is_not_mixed_into_a_run(shards: Path, undisturbed: Path, key: str, value: Any) -> None:
    with pytest.raises(RecipeChanged, match=f"{key} was .*, now {value!r}.*--model-name"):
        fit(shards, undisturbed, **{key: value})


def test_other_shards_are_not_mixed_into_a_run(shards: Path, tmp_path: Path) -> None:
    fit(shards, tmp_path / "run", steps=1)
    other = write_shards(tmp_path / "shards", {"train": shard_rows(3)})
    with pytest.raises(RecipeChanged, match="the shards are other ones"):
        train(recipe(steps=2), other, tmp_path / "run", tmp_path / "cache", say=lambda line: None)


def test_a_run_may_be_made_longer_and_speed_may_change(shards: Path, tmp_path: Path) -> None:
    data = open_cache(shards, "train", tmp_path)
    then = provenance(recipe(), data, None)
    check_same(then, provenance(recipe(steps=100, micro_batch=1, readers=2), data, None), tmp_path)
    assert "validation" not in then["data"]


def test_what_may_change_is_noted_with_its_step_and_what_did_not_exist_had_its_default(
    shards: Path, tmp_path: Path
) -> None:
    data = open_cache(shards, "train", tmp_path)
    then = provenance(recipe(), data, None)
    del then["settings"]["start_statistics"]
    then["versions"]["torch"] = "1.0"
    other = {"learning_rate": 1e-4, "clip_norm": 0.5, "schedule": "cosine", "ema_decay": 0.99, "precision": "fp32"}
    today = provenance(recipe(**other, warmup_steps=9), data, None, 4)
    now = resumed(then, today, 7, tmp_path)
    assert now["settings"]["learning_rate"] == 1e-4
    was = {name: [recipe().model_dump()[name], value] for name, value in (other | {"warmup_steps": 9}).items()}
    assert now["history"] == [
        {"step": 0, "processes": 1},
        {"step": 7, "processes": 4, "settings": was, "versions": {"torch": ["1.0", torch.__version__]}},
    ]
    assert resumed(now, today, 8, tmp_path)["history"] == now["history"], "nothing changed"


def test_what_is_not_installed_is_said_to_be_unknown(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.model.training.provenance.PACKAGES", ("torch", "no-such-package"))
    versions = provenance(recipe(), open_cache(shards, "train", tmp_path), None)["versions"]
    assert versions == {"torch": torch.__version__, "no-such-package": "unknown"}
