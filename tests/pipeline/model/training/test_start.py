"""A training that starts from another model: its weights, the statistics that go with them, and what may be frozen."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.base.hashes import sha256_of
from pipeline.model.audio_to_skeleton import AudioToSkeleton
from pipeline.model.dit import NetSettings
from pipeline.model.training import checkpoint
from pipeline.model.training.cache import Cache, UnknownSpeaker, open_cache
from pipeline.model.training.setup import new_model, optimizer_of
from pipeline.model.training.start import CannotStart, begin, freeze
from pipeline.registry.models import BadModel
from tests.pipeline.model.training.small import fit, losses, recipe, shard_rows, write_shards


@pytest.fixture(scope="module")
def cache(shards: Path) -> Cache:
    return open_cache(shards, "train", shards.parent / "cache")


@pytest.fixture
def start(tmp_path: Path) -> Path:
    """A model file: random weights, and statistics of its own."""
    model = AudioToSkeleton.new(NetSettings(size="tiny", window_frames=40), "logmel768")
    for weights in model.net.parameters():
        torch.nn.init.normal_(weights, std=0.05)
    model.space.mean += 3
    model.space.std *= 7
    model.trained_on = {"settings": {"min_score": 0.5}}
    model.save(tmp_path / "start.safetensors")
    return tmp_path / "start.safetensors"


@pytest.mark.parametrize("statistics", ["model", "shards"])
def test_weights_are_the_starts_and_statistics_whose_is_said(cache: Cache, start: Path, statistics: str) -> None:
    made = recipe(start_from=str(start), start_statistics=statistics, window_frames=20, dropout=0.1)
    model, untouched, theirs = new_model(made, cache), new_model(made, cache), AudioToSkeleton.load(start)
    about = begin(model, made)
    for name, weights in theirs.net.state_dict().items():
        assert torch.equal(model.net.state_dict()[name], weights)
    expected = theirs if statistics == "model" else untouched
    for name, values in expected.space.state_dict().items():
        assert torch.equal(model.space.state_dict()[name], values)
    assert (about["sha256"], about["trained_on"]) == (sha256_of(start), theirs.trained_on)


def test_another_network_is_refused_and_what_is_advised_makes_them_the_same(cache: Cache, tmp_path: Path) -> None:
    other = AudioToSkeleton.new(NetSettings(arch="release", size="tiny", keypoints=123, window_frames=40), "logmel768")
    other.save(tmp_path / "other.safetensors")
    made = recipe(start_from=str(tmp_path / "other.safetensors"))
    with pytest.raises(CannotStart, match="is another network than this training's: SET=") as caught:
        begin(new_model(made, cache), made)
    advised: dict[str, Any] = dict(re.findall(r"train\.(\w+)=\"?([\w.]+)", str(caught.value)))
    assert set(advised) == {"arch", "keypoints"}
    made = recipe(start_from=made.start_from, arch=advised["arch"], keypoints=int(advised["keypoints"]))
    begin(new_model(made, cache), made)


def test_other_features_and_damaged_files_are_refused(cache: Cache, start: Path, tmp_path: Path) -> None:
    made = recipe(start_from=str(start))
    model = new_model(made, cache)
    model.audio_of = "wav2vec2-base-960h/12"
    with pytest.raises(CannotStart, match="hears features of logmel768, these shards have wav2vec2"):
        begin(model, made)
    start.write_bytes(start.read_bytes()[:-9])
    with pytest.raises(BadModel, match="is damaged"):
        begin(new_model(made, cache), made)
    with pytest.raises(BadModel, match="holds no model"):
        begin(new_model(made, cache), recipe(start_from=str(tmp_path / "nowhere")))


def test_what_is_frozen_is_left_out_of_the_optimizer_and_a_pattern_must_mean_something(cache: Cache) -> None:
    net = new_model(recipe(), cache).net
    kept = freeze(net, ("blocks.*", "embed.weight"))
    trained = [weights for group in optimizer_of(recipe(), net).param_groups for weights in group["params"]]
    assert kept == sum(weights.numel() for weights in net.parameters()) - sum(weights.numel() for weights in trained)
    assert {name.split(".")[0] for name, weights in net.named_parameters() if weights.requires_grad} == {
        *("null_audio", "embed", "time", "final", "final_modulation"),
    }
    with pytest.raises(CannotStart, match=r"no weights are named block\.\*; they begin with blocks\.0, blocks\.1"):
        freeze(net, ("block.*",))
    with pytest.raises(CannotStart, match="leaves nothing to train"):
        freeze(net, ("*",))


def test_a_training_starts_from_another_keeps_what_is_frozen_and_goes_on_without_naming_it(
    shards: Path, undisturbed: Path, tmp_path: Path
) -> None:
    given = {"freeze": ("blocks.*",), "warmup_steps": 0}
    path = fit(shards, tmp_path, steps=2, start_from=str(undisturbed), **given)
    begun, ours = (
        AudioToSkeleton.load(checkpoint.weights_of(undisturbed)),
        AudioToSkeleton.load(path / checkpoint.MODEL),
    )
    for name, weights in ours.net.state_dict().items():
        assert torch.equal(weights, begun.net.state_dict()[name]) is name.startswith("blocks."), name
    assert losses(tmp_path)[1] < losses(undisturbed)[1]
    with pytest.raises(CannotStart, match=r"holds a run that was started from .*; give it another name"):
        fit(shards, tmp_path, steps=3, start_from="another", **given)
    fit(shards, tmp_path, steps=3, **given)
    fit(shards, tmp_path / "whole", steps=3, start_from=str(undisturbed), **given)
    assert losses(tmp_path) == losses(tmp_path / "whole")
    about = json.loads((tmp_path / "trained_on.json").read_text())["started_from"]
    assert about["sha256"] == sha256_of(checkpoint.weights_of(undisturbed))
    assert about["trained_on"]["settings"]["steps"] == 8


def test_freezing_without_a_start_is_refused(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match=r"name it with train\.start_from=MODEL"):
        fit(shards, tmp_path, freeze=("blocks.*",))


def test_speakers_pick_rows_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    rows = [{**row, "speaker": name} for row, name in zip(shard_rows(4), ("s1", "s2", None, "s1"), strict=True)]
    shards = write_shards(tmp_path / "shards", {"train": rows, "validation": rows[1:3]})
    told: list[str] = []
    picked = open_cache(shards, "train", tmp_path / "cache", 0.7, ("s1",), say=told.append)
    assert [str(name) for name in picked.ids] == [f"{rows[n]['clip_id']}#0" for n in (0, 3)]
    assert told == ["train: 2 of 4 rows are of s1"]
    alone = write_shards(tmp_path / "alone" / "shards", {"train": [rows[0], rows[3]]})
    assert picked.statistics.to_json() == open_cache(alone, "train", tmp_path / "cache").statistics.to_json()
    assert len(open_cache(shards, "train", tmp_path / "cache")) == 4
    with pytest.raises(UnknownSpeaker, match=r"is of speaker s9; there are s1, s2$"):
        open_cache(shards, "train", tmp_path / "cache", 0.7, ("s1", "s9"))
    unnamed = write_shards(tmp_path / "unnamed" / "shards", {"train": shard_rows(1)})
    with pytest.raises(UnknownSpeaker, match="its rows name no speakers: run the stage `speakers`, then `shards`"):
        open_cache(unnamed, "train", tmp_path / "cache", 0.7, ("s1",))
