"""A training that starts from another model: its weights, the statistics that go with them, and what may be frozen."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.base.hashes import sha256_of
from pipeline.model.audio_to_skeleton import AudioToSkeleton, Reference
from pipeline.model.dit import NetSettings
from pipeline.model.release_weights import import_model
from pipeline.model.training import checkpoint
from pipeline.model.training.adapters import adapted, merged
from pipeline.model.training.cache import Cache, UnknownSpeaker, open_cache
from pipeline.model.training.provenance import RecipeChanged
from pipeline.model.training.setup import new_model, optimizer_of
from pipeline.model.training.start import CannotStart, adapt, begin, freeze
from pipeline.nets.sound.wav2vec import RELEASE_LABEL
from pipeline.registry.archives import BadModel
from tests.pipeline.model import released
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


def test_means_may_be_the_shards_and_spreads_the_starts(cache: Cache, start: Path) -> None:
    """To the weights the shards' average speaker is then the average of those that they were trained on."""
    made = recipe(start_from=str(start), start_statistics="means")
    model, untouched, theirs = new_model(made, cache), new_model(made, cache), AudioToSkeleton.load(start)
    theirs.space.seen[3], untouched.space.seen[5] = 0, 0
    model.space.seen[5] = 0
    theirs.save(start)
    begin(model, made)
    both = torch.ones(133, dtype=torch.bool)
    both[[3, 5]] = False
    both &= untouched.space.seen > 0
    assert torch.equal(model.space.mean[both], untouched.space.mean[both]) and both.sum() > 50
    assert torch.equal(model.space.std[both], theirs.space.std[both])
    for point, of in ((3, untouched), (5, theirs)):  # that one of them has never seen
        assert torch.equal(model.space.mean[point], of.space.mean[point])
        assert torch.equal(model.space.std[point], of.space.std[point])
    assert torch.equal(model.space.framing, untouched.space.framing), "where people stand is as in the shards"


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


def test_a_training_starts_from_the_authors_weights(tmp_path: Path) -> None:
    """On shards that were listened to on their grid; with their statistics, without a floor under their spreads."""
    authors = tmp_path / "authors.safetensors"
    import_model(*released.write(tmp_path), "tiny").save(authors)
    begun = AudioToSkeleton.load(authors)
    rows = [{**row, "audio_features_of": RELEASE_LABEL} for row in shard_rows(3)]
    shards = write_shards(tmp_path / "shards", {"train": rows[:2], "validation": rows[2:]})
    given: dict[str, Any] = {"arch": "release", "keypoints": 123, "dropout": 0.1, "warmup_steps": 0}
    path = fit(shards, tmp_path / "run", steps=2, start_from=str(authors), **given)
    ours = AudioToSkeleton.load(path / checkpoint.MODEL)
    assert all(torch.equal(a, b) for a, b in zip(ours.space.buffers(), begun.space.buffers(), strict=True))
    assert set(losses(tmp_path / "run")) == {1, 2} and ours.published
    record = ours.trained_on["started_from"]
    assert record["sha256"] == sha256_of(authors) and set(record["trained_on"]["imported"]) == {
        *("checkpoint", "mean", "std"),
    }
    still = fit(shards, tmp_path / "still", steps=1, start_from=str(authors), learning_rate=1e-12, **given)
    for name, weights in AudioToSkeleton.load(still / checkpoint.MODEL).net.state_dict().items():
        torch.testing.assert_close(weights, begun.net.state_dict()[name], rtol=0, atol=1e-9)
    others = write_shards(tmp_path / "others" / "shards", {"train": shard_rows(1)})
    with pytest.raises(CannotStart, match=f"hears features of {RELEASE_LABEL}, these shards have logmel768"):
        fit(others, tmp_path / "other", start_from=str(authors), **given)


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


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of random weights to start from, of each network."""
    found = {}
    for arch, points in (("dit", 133), ("release", 123)):
        torch.manual_seed(5)
        settings = NetSettings(arch=arch, size="tiny", keypoints=points, window_frames=40)
        model = AudioToSkeleton.new(settings, "logmel768")
        for weights in model.net.parameters():
            torch.nn.init.normal_(weights, std=0.05)
        found[arch] = tmp_path_factory.mktemp("begun") / f"{arch}.safetensors"
        model.save(found[arch])
    return found


LORA: dict[str, dict[str, Any]] = {
    "dit": {"lora_rank": 3, "lora_alpha": 6, "warmup_steps": 0},
    "release": {"lora_rank": 3, "warmup_steps": 0, "arch": "release", "keypoints": 123},
}
ADAPTED = {"dit": r"blocks\.\d\.(qkv|out|up|down)\.weight", "release": r"encoder\.layers\.\d\.linear[12]\.weight"}


@pytest.mark.parametrize("arch", LORA)
def test_lora_trains_updates_of_its_rank_and_leaves_a_plain_model(
    shards: Path, begun: dict[str, Path], tmp_path: Path, arch: str
) -> None:
    path = fit(shards, tmp_path, steps=3, start_from=str(begun[arch]), **LORA[arch])
    start = AudioToSkeleton.load(begun[arch])
    theirs = start.net.state_dict()
    for name in (checkpoint.MODEL, checkpoint.AVERAGE):
        ours = AudioToSkeleton.load(path / name)
        assert ours.net.state_dict().keys() == theirs.keys(), "a model like any other"
        for key, weights in ours.net.state_dict().items():
            if re.fullmatch(ADAPTED[arch], key):
                values = torch.linalg.svdvals((weights - theirs[key]).double())
                assert values[3] < 1e-5 * values[0] and values[2] > 100 * values[3], (name, key)
            else:
                assert torch.equal(weights, theirs[key]), (name, key)
        assert all(torch.equal(a, b) for a, b in zip(ours.space.buffers(), start.space.buffers(), strict=True))
        record = ours.trained_on
        assert record["settings"]["lora_rank"] == 3
        assert record["started_from"]["sha256"] == sha256_of(begun[arch])
        assert {f"{layer}.weight" for layer in record["lora"]["layers"]} == {
            key for key in theirs if re.fullmatch(ADAPTED[arch], key)
        }


@pytest.mark.parametrize("arch", LORA)
def test_a_merged_model_gives_what_its_adapters_gave(cache: Cache, begun: dict[str, Path], arch: str) -> None:
    made = recipe(start_from=str(begun[arch]), **LORA[arch])
    model = new_model(made, cache)
    adapt(model.net, made)
    begin(model, made)
    for name, weights in model.net.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.1)
    channels, generator = made.net().channels, torch.Generator().manual_seed(1)
    noisy, audio = torch.randn(2, 40, channels, generator=generator), torch.randn(2, 40, 768, generator=generator)
    given = (noisy, torch.tensor([3, 70]), audio, noisy[:, 0])
    plain = merged(model)
    assert not adapted(plain.net) and merged(plain) is plain
    model.net.train()  # in evaluation torch's encoder layers take a short cut past the adapters; dropout is 0
    with torch.no_grad():
        theirs, ours = model.net(*given), plain.net(*given)
        start = AudioToSkeleton.load(begun[arch]).net(*given)
    assert float((ours - theirs).abs().max()) < 1e-6 * float(theirs.abs().max())
    assert float((start - theirs).abs().max()) > 1e-3


def test_a_training_with_lora_goes_on_as_if_it_had_not_been_cut_and_its_weights_generate(
    shards: Path, begun: dict[str, Path], tmp_path: Path
) -> None:
    given = {**LORA["dit"], "validate_every": 2}
    whole = fit(shards, tmp_path / "whole", steps=4, start_from=str(begun["dit"]), milestone_every=4, **given)
    moved = shutil.copy(begun["dit"], tmp_path / "moved.safetensors")
    fit(shards, tmp_path / "parts", steps=2, start_from=str(moved), **given)
    Path(moved).unlink()  # what the run goes on from is all in its checkpoint
    parts = fit(shards, tmp_path / "parts", steps=4, **given)
    for name in ("loss", "validation_loss"):
        assert losses(tmp_path / "whole", name) == losses(tmp_path / "parts", name)
    for name in (checkpoint.MODEL, checkpoint.AVERAGE):
        ours, theirs = (AudioToSkeleton.load(path / name).net.state_dict() for path in (parts, whole))
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    kept = AudioToSkeleton.load(tmp_path / "whole" / "milestones" / "step-000000004.safetensors")
    audio = np.zeros((50, 768), np.float32)
    reference = Reference(np.zeros((133, 2), np.float32), np.ones(133, bool), np.zeros(2, np.float32))
    assert np.isfinite(kept.generate(audio, reference, sampler="ddim", steps=2).local).any()
    with pytest.raises(RecipeChanged, match="lora_rank was 3, now 4"):
        fit(shards, tmp_path / "parts", steps=5, **{**given, "lora_rank": 4})
    (parts / checkpoint.ADAPTERS).write_bytes(b"x" * 99)
    with pytest.raises(BadModel, match=r"adapters\.safetensors is not the file that was written"):
        checkpoint.check(parts)


def test_lora_is_refused_where_it_cannot_be(
    cache: Cache, shards: Path, begun: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CannotStart, match=r"train\.lora_rank keeps weights of a model: name it with"):
        fit(shards, tmp_path, lora_rank=2)
    with pytest.raises(CannotStart, match=r"train\.freeze has no meaning: leave one out"):
        fit(shards, tmp_path, lora_rank=2, freeze=("embed.*",), start_from=str(begun["dit"]))
    net = new_model(recipe(), cache).net
    with pytest.raises(CannotStart, match=r"no linear layer is named block\.\*; there are embed, time\.first"):
        adapt(net, recipe(lora_rank=2, lora_layers=("block.*",)))
    assert adapt(net, recipe(lora_rank=2, lora_layers=("blocks.*.qkv",))) == [f"blocks.{n}.qkv" for n in range(4)]
    released = new_model(recipe(arch="release", keypoints=123), cache).net
    with pytest.raises(CannotStart, match="no linear layer is named"):  # torch's attention never calls it
        adapt(released, recipe(lora_rank=2, lora_layers=("encoder.layers.*.self_attn.out_proj",)))
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(CannotStart, match=r"^train\.lora_rank=2 needs peft: \S.*lora") as caught:
        adapt(new_model(recipe(), cache).net, recipe(lora_rank=2))
    assert "\n" not in str(caught.value)
