"""A model as one file and one call: it loads as it was saved, damage is refused, motion of any length is whole."""

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.model import dit
from pipeline.model.audio_to_skeleton import AudioToSkeleton, Motion, Reference
from pipeline.model.dit import NetSettings
from pipeline.registry.archives import BadModel
from pipeline.skeleton import layout
from pipeline.skeleton.local import from_local, to_local

WINDOW = 40
LENGTHS = (1, 13, WINDOW, WINDOW + 1, 3 * WINDOW + WINDOW // 2)
DROPPED = list(range(13, 23))


@pytest.fixture(autouse=True)
def smallest(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Networks of one narrow layer, on one thread: nothing here depends on their size."""
    monkeypatch.setitem(dit.SIZES, "tiny", (1, 24, 2))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny(**more: Any) -> NetSettings:
    return NetSettings(**{"size": "tiny", "window_frames": WINDOW, **more})


def person(seed: int = 0) -> np.ndarray:
    """Keypoints (133, 2) of one skeleton in a 512 crop."""
    return np.random.default_rng(seed).uniform(50, 450, (layout.K, 2)).astype(np.float32)


def reference(seed: int = 0) -> Reference:
    return Reference.of(person(seed), np.ones(layout.K))


def voice(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((frames, dit.AUDIO_FEATURES)).astype(np.float32)


def filled(model: AudioToSkeleton) -> AudioToSkeleton:
    """A space as measured around `person(0)`, whose shoulders' middle is the neck; points spread by 4 px."""
    points = person()
    mean = to_local(points[None])[0][0] if model.settings.ablate != "local" else points
    std = np.full((layout.K, 2), 4.0)
    model.space.fill(mean, std, np.array([6.0, 3.0]), np.ones(layout.K), np.zeros((3, 3)))
    return model


def trained(**more: Any) -> AudioToSkeleton:
    """A model none of whose weights is zero."""
    torch.manual_seed(0)
    model = filled(AudioToSkeleton.new(tiny(**more), "logmel768"))
    with torch.no_grad():
        for parameter in model.net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    model.net.eval()
    return model


class Told(nn.Module):
    """A network that says what a function makes of audio (N, F, 768), for all channels alike, and keeps what it was asked."""

    def __init__(self, settings: NetSettings, says: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.settings, self.says = settings, says
        self.asked: list[dict[str, Tensor | None]] = []

    def forward(
        self,
        noisy: Tensor,
        step: Tensor,
        audio: Tensor,
        reference: Tensor,
        null: Tensor | None = None,
        present: Tensor | None = None,
        lead: Tensor | None = None,
    ) -> Tensor:
        assert len(noisy) == len(step) == len(audio) == len(reference) and noisy.shape[1] == audio.shape[1] <= WINDOW
        self.asked.append({"step": step, "reference": reference, "null": null, "lead": lead, "audio": audio})
        return self.says(audio)[..., None].expand_as(noisy)


def told(says: Callable[[Tensor], Tensor], **more: Any) -> AudioToSkeleton:
    settings = tiny(**more)
    model = filled(AudioToSkeleton.new(settings, "logmel768"))
    model.net = Told(settings, says)  # type: ignore[assignment]
    return model


def first_feature(audio: Tensor) -> Tensor:
    return audio[..., 0]


def scored(model: AudioToSkeleton, motion: Motion) -> np.ndarray:
    """(F, 133, 2) z-scores of a motion."""
    return (motion.local - model.space.mean.numpy()) / model.space.std.numpy()


def same(a: Motion, b: Motion) -> bool:
    return all(np.array_equal(x, y, equal_nan=True) for x, y in zip(vars(a).values(), vars(b).values(), strict=True))


VARIANTS: tuple[dict[str, Any], ...] = (
    {},
    {"neck": True},
    {"keypoints": 123, "dropout": 0.1},
    {"ablate": "reference"},
    {"ablate": "concat"},
    {"ablate": "local"},
    {"arch": "release", "keypoints": 123},
)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_saved_model_loads_as_it_was(variant: dict[str, Any], tmp_path: Path) -> None:
    model = trained(**variant)
    model.trained_on = {"shards": "a.parquet", "step": 7}
    path = tmp_path / "new folder" / "model.safetensors"
    model.save(path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    found = AudioToSkeleton.load(path)
    assert found.settings == model.settings and found.audio_of == "logmel768"
    assert found.trained_on == model.trained_on and not found.net.training
    for ours, theirs in ((model.net, found.net), (model.space, found.space)):
        assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())
    few = {"steps": 4, "sampler": "ddim"}
    assert same(found.generate(voice(50), reference(), **few), model.generate(voice(50), reference(), **few))


def test_the_header_can_be_read_by_anyone(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    trained(neck=True).save(path)
    with safe_open(str(path), "np") as file:
        header, names = file.metadata(), set(file.keys())
    assert header["format"] == "csg405.audio-to-skeleton" and header["version"] == "1"
    assert json.loads(header["net"])["window_frames"] == WINDOW and header["audio_features_of"] == "logmel768"
    assert {"net.null_audio", "space.mean", "space.std", "space.seen"} <= names
    assert all(name.startswith(("net.", "space.")) for name in names)


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    trained().save(path)
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    AudioToSkeleton.load(path)
    assert torch.equal(torch.rand(3), wanted)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    trained().save(path)
    return path


def refused(path: Path, says: str = ".") -> None:
    with pytest.raises(BadModel, match=says) as raised:
        AudioToSkeleton.load(path)
    sentence = str(raised.value)
    assert str(path) in sentence and "\n" not in sentence and len(sentence) > len(str(path)) + 20


def rewritten(path: Path, tensors: dict[str, Tensor] | None = None, **header: str | None) -> None:
    """The same file with some tensors or entries of its header put in another's place; None takes an entry out."""
    with safe_open(str(path), "pt") as file:
        was, kept = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    save_file(kept | (tensors or {}), path, {name: text for name, text in (was | header).items() if text is not None})


@pytest.mark.parametrize("kept", [0.0, 1e-4, 0.02, 0.5, 0.999])
def test_a_file_cut_short_is_refused(saved: Path, kept: float) -> None:
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(kept * len(whole))])
    refused(saved, "take another checkpoint")


def test_a_byte_too_many_or_too_few_is_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    for changed in (whole[:-1], whole + b"\0"):
        saved.write_bytes(changed)
        refused(saved, "damaged")


def test_flipped_bytes_of_the_header_are_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    end = 8 + int.from_bytes(whole[:8], "little")
    for at in (*range(8), *range(8, end, 7)):
        for flip in (0x01, 0x80):
            changed = bytearray(whole)
            changed[at] ^= flip
            saved.write_bytes(changed)
            refused(saved)


def test_a_turned_bit_among_the_weights_is_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    first = 8 + int.from_bytes(whole[:8], "little")
    for at in (first, (first + len(whole)) // 2, len(whole) - 1):
        changed = bytearray(whole)
        changed[at] ^= 0x10
        saved.write_bytes(changed)
        refused(saved, "its content does not match its header")


@pytest.mark.parametrize("size", [0, 7, 8, 100, 100_000])
def test_random_bytes_are_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "random.safetensors"
    path.write_bytes(np.random.default_rng(size).bytes(size))
    refused(path)


class Trap:
    """What creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("write", [lambda x, p: p.write_bytes(pickle.dumps(x)), torch.save], ids=["pickle", "torch"])
def test_nothing_is_unpickled(tmp_path: Path, write: Callable[[Any, Path], Any]) -> None:
    sprung, path = tmp_path / "sprung", tmp_path / "model.safetensors"
    write({"net": Trap(sprung)}, path)
    refused(path)
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists(), "the trap does not work"


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"format": "pt"}, "its header says 'pt'"),
        ({"format": None}, "its header says 'nothing'"),
        ({"version": "2"}, "has version 2, this csg405 reads 1: update csg405"),
        ({"version": None}, "has version None"),
        ({"net": None}, "describes no network"),
        ({"net": "[1]"}, "describes no network"),
        ({"net": "{"}, "describes no network"),
        ({"net": '{"size": "huge"}'}, "describes no network"),
        ({"net": '{"depth": 3}'}, "describes no network"),
        ({"trained_on": "{"}, "damaged"),
        ({"trained_on": "3"}, "damaged"),
    ],
    ids=str,
)
def test_another_header_is_refused(saved: Path, header: dict[str, str | None], says: str) -> None:
    rewritten(saved, **header)
    refused(saved, says)


@pytest.mark.parametrize(
    "more", [{"keypoints": 123}, {"neck": True}, {"arch": "release"}, {"ablate": "concat"}, {"size": "base"}], ids=str
)
def test_weights_of_another_network_are_refused(saved: Path, more: dict[str, Any]) -> None:
    rewritten(saved, net=tiny(**more).to_json())
    refused(saved, "damaged")


def test_weights_of_another_shape_or_name_are_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    for tensors in (
        {"net.final.weight": torch.zeros(3, 24)},
        {"space.mean": torch.zeros(134, 2)},
        {"net.other": torch.zeros(1)},
        {"space.other": torch.zeros(1)},
    ):
        saved.write_bytes(whole)
        rewritten(saved, tensors)
        refused(saved, "damaged")


def test_a_reference_counts_what_was_seen_from_its_own_root() -> None:
    points, scores = person(), np.ones(layout.K)
    points[layout.CHIN] = np.nan
    scores[layout.LEFT_WRIST], scores[100], scores[120] = 0.29, np.nan, 0.31
    found = Reference.of(points, scores)
    assert np.isfinite(found.local).all() and found.local.dtype == found.neck.dtype == np.float32
    unseen = {layout.CHIN, layout.LEFT_WRIST, *range(91, 112)}
    assert set(np.flatnonzero(~found.valid)) == unseen
    np.testing.assert_allclose(found.neck, points[[5, 6]].mean(0), rtol=1e-6)
    whole = Reference.of(person(), np.ones(layout.K))
    np.testing.assert_allclose(from_local(whole.local[None], whole.neck[None])[0], person(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("variant", [{}, {"neck": True}, {"arch": "release"}], ids=str)
def test_points_never_learned_are_noise_about_nought_to_the_network_as_in_training(variant: dict[str, Any]) -> None:
    """Legs that no film shows: nothing trains what a network says of them."""
    seen: list[Tensor] = []

    class Watched(Told):
        def forward(self, noisy: Tensor, *given: Any, **more: Any) -> Tensor:
            seen.append(noisy)
            return super().forward(noisy, *given, **more)

    model = told(lambda audio: torch.full(audio.shape[:2], 5.0), **variant)
    model.net = Watched(model.settings, model.net.says)  # type: ignore[assignment, arg-type]
    model.space.seen[DROPPED] = 0.01
    made = model.generate(voice(WINDOW), reference(), guidance=3.5, sampler="ddim", steps=20)
    legs = slice(2 * DROPPED[0], 2 * DROPPED[-1] + 2)
    last = seen[-1][0]
    assert last[:, legs].mean().abs() < 0.2
    assert last[:, : legs.start].mean() > 4 and last[:, legs.stop :].mean() > 4
    assert np.isnan(made.local[:, DROPPED]).all() and not made.scores[DROPPED].any()


@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize("variant", [{}, {"neck": True}, {"arch": "release"}], ids=str)
def test_any_length_of_voice_gives_as_much_motion(variant: dict[str, Any], frames: int) -> None:
    motion = trained(**variant).generate(voice(frames), reference(), sampler="dpm", steps=3)
    assert motion.local.shape == (frames, layout.K, 2) and motion.neck.shape == (frames, 2)
    assert motion.scores.shape == (layout.K,) and (motion.scores == 1).all()
    assert np.isfinite(motion.local).all() and np.isfinite(motion.neck).all()
    assert motion.local.dtype == motion.neck.dtype == motion.scores.dtype == np.float32


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpm"])
@pytest.mark.parametrize("arch", ["dit", "release"])
def test_the_seed_decides_the_motion(arch: str, sampler: Any) -> None:
    model = trained(arch=arch)
    first, again, other = (
        model.generate(voice(60), reference(), sampler=sampler, steps=5, seed=seed) for seed in (1, 1, 2)
    )
    assert same(first, again)
    assert np.abs(first.local - other.local).max() > 0.1


def test_ancestral_sampling_takes_its_noise_from_the_seed_too() -> None:
    model = trained()
    torch.manual_seed(1)
    first = model.generate(voice(20), reference(), steps=5)
    torch.manual_seed(2)
    assert same(first, model.generate(voice(20), reference(), steps=5))


def test_voice_and_reference_decide_the_motion() -> None:
    model = trained()
    few: dict[str, Any] = {"sampler": "ddim", "steps": 4}
    first = model.generate(voice(30), reference(), **few)
    for other in (model.generate(voice(30, 1), reference(), **few), model.generate(voice(30), reference(1), **few)):
        assert np.abs(first.local - other.local).max() > 0.1


@pytest.mark.parametrize("arch", ["dit", "release"])
@pytest.mark.parametrize(("guidance", "silences"), [(1.0, {False}), (3.5, {False, True})])
def test_without_guidance_nobody_asks_what_silence_would_do(arch: str, guidance: float, silences: set[bool]) -> None:
    model = told(first_feature, arch=arch)
    model.generate(voice(3 * WINDOW), reference(), guidance=guidance, steps=2)
    assert {bool(null) for asked in model.net.asked for null in asked["null"]} == silences
    assert all(asked["null"].all() or not asked["null"].any() for asked in model.net.asked)


@pytest.mark.parametrize("arch", ["dit", "release"])
def test_guidance_moves_the_motion_away_from_silence(arch: str) -> None:
    model = told(first_feature, arch=arch)
    net = model.net

    def both(*given: Tensor, **more: Tensor) -> Tensor:
        return Told.forward(net, *given, **more) + given[4][:, None, None] * 2.0

    net.forward = both  # type: ignore[method-assign]
    sound = np.zeros((50, dit.AUDIO_FEATURES), np.float32)
    plain, guided = (
        scored(model, model.generate(sound, reference(), guidance=guidance, steps=2)) for guidance in (1.0, 3.5)
    )
    np.testing.assert_allclose(plain, 0, atol=1e-3)
    np.testing.assert_allclose(guided, 2 + 3.5 * (0 - 2), atol=1e-3)


@pytest.mark.parametrize("frames", [3, WINDOW, 3 * WINDOW])
@pytest.mark.parametrize("variant", [{}, {"neck": True}, {"arch": "release"}, {"ablate": "local"}], ids=str)
def test_a_motion_begins_at_its_reference_and_there_alone(variant: dict[str, Any], frames: int) -> None:
    model = told(first_feature, **variant)
    scores, wrist = np.ones(layout.K), layout.LEFT_WRIST
    scores[wrist] = 0  # unknown, with the hand that is measured from it
    known = Reference.of(person(2), scores)
    sound = voice(frames)
    plain, begun = (model.generate(sound, known, guidance=1, steps=2, begin_at_reference=n) for n in (0, 5))
    valid = known.valid & (np.arange(layout.K) != wrist)
    if variant != {"ablate": "local"}:  # there the neck follows the shoulders, which begin at the reference's
        np.testing.assert_allclose(
            begun.local[:5, valid], np.tile(known.local[valid], (min(5, frames), 1, 1)), atol=1e-3
        )
    np.testing.assert_allclose(begun.neck[0], known.neck, atol=1e-3)
    points, wanted = from_local(begun.local[:5], begun.neck[:5]), from_local(known.local[None], known.neck[None])
    np.testing.assert_allclose(points[:, valid], np.broadcast_to(wanted, points.shape)[:, valid], atol=1e-2)
    if variant != {"ablate": "local"}:
        np.testing.assert_allclose(begun.local[:5, wrist], plain.local[:5, wrist], atol=1e-3)
    np.testing.assert_allclose(begun.local[5:], plain.local[5:], atol=1e-3)


def test_the_release_goes_on_from_a_beginning_at_the_reference() -> None:
    model = told(first_feature, arch="release", window_frames=8)
    sound = voice(24)
    model.generate(sound, reference(2), guidance=1, steps=1, begin_at_reference=5)
    first, second = model.net.asked[0]["lead"], model.net.asked[1]["lead"]
    assert first is not None and second is not None
    known = first[0, 0]
    torch.testing.assert_close(
        second[0, :22], known.expand(22, -1), rtol=0, atol=1e-4
    )  # 17 of the lead, 5 of the motion
    torch.testing.assert_close(second[0, 22:, 0], torch.from_numpy(sound[5:8, 0]), rtol=0, atol=1e-4)


@pytest.mark.parametrize("variant", ["paper", "release"])
def test_smoothing_is_that_of_the_data_and_points_not_modelled_stay_out(variant: Any) -> None:
    model = trained(keypoints=123)
    few: dict[str, Any] = {"guidance": 1, "sampler": "ddim", "steps": 2}
    raw, found = (model.generate(voice(60), reference(), **few, smooth=how) for how in ("none", variant))
    from scipy.signal import savgol_filter

    for points, window in ((layout.LEFT_HAND, 11), (layout.OUTER_LIPS, 7), (layout.INNER_LIPS, 5)):
        untouched = variant == "paper" and window < 11
        wanted = raw.local[:, points] if untouched else savgol_filter(raw.local[:, points], window, 2, axis=0)
        np.testing.assert_allclose(found.local[:, points], wanted, rtol=0, atol=1e-3)
    assert np.isnan(found.local[:, DROPPED]).all() and np.array_equal(found.scores, raw.scores)
    assert found.local.dtype == found.neck.dtype == np.float32


@pytest.mark.parametrize("arch", ["dit", "release"])
def test_guidance_in_no_noise_alone_asks_for_silence_once(arch: str) -> None:
    model = told(first_feature, arch=arch)
    model.generate(voice(WINDOW), reference(), guidance=3.5, guidance_interval=(0.0, 0.0), sampler="ancestral")
    assert sum(bool(asked["null"].all()) for asked in model.net.asked) == 1  # type: ignore[union-attr]


def test_rescaled_guidance_moves_as_far_as_without() -> None:
    model = told(first_feature)
    net = model.net

    def both(*given: Tensor, **more: Tensor) -> Tensor:
        return Told.forward(net, *given, **more) * torch.where(given[4][:, None, None], 0.5, 1.0)

    net.forward = both  # type: ignore[method-assign]
    sound = voice(WINDOW)
    spreads = [
        scored(model, model.generate(sound, reference(), steps=2, guidance=scale, guidance_rescale=share)).std()
        for scale, share in ((1.0, 0.0), (3.5, 0.0), (3.5, 1.0))
    ]
    assert spreads[1] == pytest.approx(2.25 * spreads[0], rel=1e-3) and spreads[2] == pytest.approx(
        spreads[0], rel=1e-3
    )


def test_the_papers_recipe_is_known_by_what_it_leaves_out() -> None:
    from pipeline.engine.profile import load

    def trained_with(recipe: dict[str, Any], **more: Any) -> AudioToSkeleton:
        return AudioToSkeleton(AudioToSkeleton.new(tiny(**more), "").net, filled(told(first_feature)).space, "", recipe)

    of = {name: load(name).settings("train").result_settings() for name in ("train-paper", "folder")}
    assert trained_with({"settings": of["train-paper"]}).published
    assert not trained_with({"settings": of["folder"]}).published and not trained_with({}).published
    assert trained_with({}, arch="release").published


@pytest.mark.parametrize("arch", ["dit", "release"])
def test_the_neck_stands_at_the_references(arch: str) -> None:
    model = told(lambda audio: audio[..., 0] * 0, arch=arch)
    other = reference(3)
    motion = model.generate(voice(100), other, steps=2)
    assert (motion.neck == other.neck).all()
    points = from_local(motion.local, motion.neck)
    np.testing.assert_allclose(
        points[:, [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER]].mean(1), motion.neck, rtol=0, atol=1e-3
    )
    np.testing.assert_allclose(points[0] - other.neck, person() - reference().neck, rtol=0, atol=1e-3)


def test_a_modelled_neck_moves_from_the_references() -> None:
    model = told(first_feature, neck=True)
    sound = voice(100)
    other = reference(3)
    motion = model.generate(sound[:WINDOW], other, guidance=1, steps=2)
    np.testing.assert_allclose(motion.neck, other.neck + sound[:WINDOW, :1] * np.array([6.0, 3.0]), rtol=0, atol=1e-3)


def test_in_the_picture_the_neck_goes_with_the_shoulders() -> None:
    model = told(first_feature, ablate="local")
    sound = voice(WINDOW)
    motion = model.generate(sound, reference(3), guidance=1, steps=2)
    wanted = person() + 4 * sound[:, None, :1]
    np.testing.assert_allclose(from_local(motion.local, motion.neck), wanted, rtol=0, atol=1e-2)
    np.testing.assert_allclose(motion.neck, wanted[:, [5, 6]].mean(1), rtol=0, atol=1e-2)


@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize("arch", ["dit", "release"])
@pytest.mark.parametrize("batch", [1, 8])
def test_each_frame_moves_to_its_own_voice(arch: str, frames: int, batch: int) -> None:
    model = told(first_feature, arch=arch)
    sound = voice(frames)
    motion = model.generate(sound, reference(), steps=2, batch=batch)
    np.testing.assert_allclose(scored(model, motion)[:, 7, 1], sound[:, 0], rtol=0, atol=1e-3)


@pytest.mark.parametrize("overlap", [10, WINDOW // 2, 50])
def test_long_motion_has_no_seam(overlap: int) -> None:
    def drifting(audio: Tensor) -> Tensor:
        return audio[..., 0] + torch.linspace(-1, 1, audio.shape[1])  # where one window ends, the next says otherwise

    frames = 3 * WINDOW + WINDOW // 2
    sound = np.zeros((frames, dit.AUDIO_FEATURES), np.float32)
    sound[:, 0] = np.sin(np.arange(frames) / 20)
    model = told(drifting)
    motion = model.generate(sound, reference(), overlap=overlap, steps=3)
    steps = np.abs(np.diff(scored(model, motion), axis=0)).max()
    smooth = 1 / 20 + 2 / (WINDOW - 1)
    ramp = 2 / (min(overlap, WINDOW // 2) + 1)  # at most all of the disagreement, spread over the least overlap
    assert steps < smooth + ramp


def test_points_that_were_never_seen_are_not_made_up() -> None:
    model = trained()
    model.space.seen[[3, 100]], model.space.seen[101] = 0.019, 0.021
    motion = model.generate(voice(50), reference(), steps=2)
    assert np.flatnonzero(motion.scores == 0).tolist() == [3, 100] and set(motion.scores) == {0, 1}
    assert np.isnan(motion.local[:, [3, 100]]).all()
    assert np.isfinite(np.delete(motion.local, [3, 100], 1)).all()


def test_points_that_are_not_modelled_are_not_made_up() -> None:
    motion = trained(keypoints=123).generate(voice(50), reference(), steps=2)
    assert np.flatnonzero(motion.scores == 0).tolist() == DROPPED and np.isnan(motion.local[:, DROPPED]).all()


@pytest.mark.parametrize("window", [8, 24, 25, WINDOW])
def test_the_release_is_led_by_the_frames_before(window: int) -> None:
    model = told(first_feature, arch="release", window_frames=window)
    frames = 3 * window + window // 2
    sound = voice(frames)
    model.generate(sound, reference(), guidance=1, steps=2)
    asked = model.net.asked
    assert len(asked) == 2 * 4
    known = asked[0]["reference"][0]
    whole = torch.cat([known.expand(25, -1), torch.from_numpy(sound[:, :1]).expand(-1, len(known))])
    for number in range(4):
        for call in asked[2 * number : 2 * number + 2]:
            start = number * window
            assert call["lead"].shape == (1, 25, 266)
            torch.testing.assert_close(call["lead"][0], whole[start : start + 25], rtol=0, atol=1e-4)
            assert torch.equal(call["audio"][0], torch.from_numpy(sound[start : start + window]))


def test_the_reference_is_given_in_the_networks_space() -> None:
    model = told(first_feature)
    scores = np.ones(layout.K)
    scores[layout.CHIN] = 0
    known = Reference.of(person(2), scores)
    model.generate(voice(3 * WINDOW), known, steps=2)
    wanted = (known.local - model.space.mean.numpy()) / 4
    wanted[layout.CHIN] = 0
    for asked in model.net.asked:
        np.testing.assert_allclose(asked["reference"], np.tile(wanted.ravel(), (len(asked["step"]), 1)), atol=1e-3)


@pytest.mark.parametrize(("arch", "parts"), [("dit", 1), ("release", 3)])
def test_progress_counts_every_step_once(arch: str, parts: int) -> None:
    seen: list[tuple[int, int]] = []
    model = told(first_feature, arch=arch)
    model.generate(voice(100), reference(), steps=4, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(n + 1, 4 * parts) for n in range(4 * parts)]
