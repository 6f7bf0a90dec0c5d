"""Generation from end to end: what it starts from, what it leaves, where the skeleton stands, and what is refused in one line."""

import errno
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch", reason="needs csg405[train]")
pytest.importorskip("diffusers", reason="needs csg405[train]")
pytest.importorskip("safetensors", reason="needs csg405[train]")

from pipeline import shard  # noqa: E402
from pipeline.cli_session import Fault, Session, errors_in_a_line  # noqa: E402
from pipeline.generation.place import usual  # noqa: E402
from pipeline.media.audio import RATE, read_wave, write_wav  # noqa: E402
from pipeline.media.ids import disk_name  # noqa: E402
from pipeline.media.video import GridReader, probe, write_clip  # noqa: E402
from pipeline.nets.audio_to_skeleton import AudioToSkeleton, Motion, Reference  # noqa: E402
from pipeline.skeleton import layout  # noqa: E402
from pipeline.skeleton.align import Similarity  # noqa: E402
from pipeline.skeleton.local import from_local  # noqa: E402
from pipeline.theatre import planted, render_take, take_named  # noqa: E402
from pipeline.theatre.detector import build_detector  # noqa: E402
from pipeline.theatre.posenet import build_pose_net  # noqa: E402
from pipeline.training import checkpoint  # noqa: E402
from pipeline.training.cache import open_cache  # noqa: E402
from pipeline.training.recipe import Recipe  # noqa: E402
from pipeline.training.setup import new_model  # noqa: E402
from stages.generate import Generate, film  # noqa: E402
from stages.generate.inputs import find_inputs  # noqa: E402

ROOT = Path(__file__).parents[2]
WINDOW = 40  # frames
QUICK = {"sampler": "ddim", "sampler_steps": 2, "overlap_frames": 8}
BOTH = [layout.LEFT_SHOULDER, layout.RIGHT_SHOULDER]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Nets this small wait for each other where they are spread over threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of nine speakers, three of them held out, the nets of the theatre, and a model with random weights."""
    folder = tmp_path_factory.mktemp("made")
    planted.write(folder / "shards", {"train": range(6), "test": range(6, 9)}, 6)
    nets = folder / "nets"
    nets.mkdir()
    build_detector(nets / "theatre_detector.onnx")
    build_pose_net(nets / "theatre_pose.onnx")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(405)
        data = open_cache(folder / "shards", "train", folder / "cache")
        model = new_model(Recipe(size="tiny", window_frames=WINDOW), data)
        model.save(folder / "mean.safetensors")  # its last layer is zero: whatever it hears, it gives the mean skeleton
        torch.nn.init.normal_(model.net.final.weight, std=0.02)
        model.save(folder / "model.safetensors")
    return folder


class Place:
    """A run folder over what was made, and ways to generate in it."""

    def __init__(self, made: Path, folder: Path) -> None:
        self.made, self.folder, self.run = made, folder, folder / "run"
        self.model = made / "model.safetensors"
        self.run.mkdir()
        (self.run / "shards").symlink_to(made / "shards")
        self.out = folder / "out" / "out.mp4"

    def session(self) -> Session:
        """As the command line builds it."""
        return Session("demo", str(self.run), "", "", "", str(self.made / "nets"), ["machine.device=cpu"], ["generate"])

    def settings(self, **more: Any) -> Generate:
        paths = {"model": str(self.model), "out": str(self.out)}
        return Generate(**{**QUICK, **paths, **{k: str(v) if isinstance(v, Path) else v for k, v in more.items()}})

    def generate(self, **more: Any) -> dict[str, Any]:
        """What stands in the .npz afterwards, `about` as JSON."""
        self.settings(**more).run(self.session())
        return arrays_of(self.out)

    def refused(self, **more: Any) -> str:
        """The one line in which it is refused; nothing is left."""
        with pytest.raises(Fault) as caught, errors_in_a_line():
            self.settings(**more).run(self.session())
        message = caught.value.message
        assert message and "\n" not in message.strip()
        assert not [path for path in (*self.out.parent.glob("*"), *self.run.glob("generated/*")) if path.is_file()]
        return message

    def wav(self, seconds: float = 1.2, rate: int = RATE, channels: int = 1) -> Path:
        """A voice of this length."""
        clock = np.arange(round(seconds * rate)) / rate
        wave = 0.4 * np.sin(2 * np.pi * (200 * clock + 300 * clock**2)) * np.minimum(1, 5 * clock)
        path = self.folder / f"voice-{rate}-{channels}.wav"
        write_wav(path, np.repeat(wave[:, None], channels, 1) if channels > 1 else wave, rate)
        return path

    def npz(self, keypoints: np.ndarray, name: str = "reference.npz", **more: Any) -> Path:
        path = self.folder / name
        np.savez(path, keypoints=keypoints, **more)
        return path


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Place:
    return Place(made, tmp_path)


def arrays_of(out: Path) -> dict[str, Any]:
    with np.load(out.with_suffix(".npz"), allow_pickle=False) as file:
        found = {name: file[name] for name in file.files}
    return {**found, "about": json.loads(str(found["about"]))}


def somebody(made: Path, scale: float = 1.0, moved: tuple[float, float] = (0, 0)) -> np.ndarray:
    """(133, 2) px of a 512 crop: a speaker of medium size, larger or smaller about the neck, or elsewhere."""
    points = planted.pair(planted.speaker(6), 5, [1]).keypoints[0]
    neck = points[BOTH].mean(0)
    space = AudioToSkeleton.load(made / "model.safetensors").space
    width = float(space.framing[0, 1]) / np.linalg.norm(points[BOTH[0]] - points[BOTH[1]])
    return (points - neck) * width * scale + space.framing[1:, 1].numpy() + moved


def wide(keypoints: np.ndarray) -> float:
    """Median shoulder width, px."""
    return float(np.median(np.linalg.norm(keypoints[..., BOTH[0], :] - keypoints[..., BOTH[1], :], axis=-1)))


def rows_of(path: Path) -> list[dict[str, Any]]:
    return list(shard.Shards(path.parent, (path,), {}).rows())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the model is asked for; it gives back the reference, standing still."""
    calls: list[dict[str, Any]] = []

    def still(self: AudioToSkeleton, audio: np.ndarray, reference: Reference, **how: Any) -> Motion:
        calls.append({"audio": audio, "reference": reference, **how})
        local = np.where(reference.valid[:, None], reference.local, np.nan).astype(np.float32)
        frames = len(audio)
        return Motion(
            np.repeat(local[None], frames, 0), np.repeat(reference.neck[None], frames, 0), reference.valid.astype("f4")
        )

    monkeypatch.setattr(AudioToSkeleton, "generate", still)
    return calls


@pytest.fixture
def unfilmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No video is drawn, where arrays say it all: it takes longer than everything else."""
    monkeypatch.setattr(film, "write_skeletons", lambda path, *_: path.touch())


# What it starts from


def command(place: Place, *more: str) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "stages.generate", "--profile", "demo", "--run", str(place.run)]
    line += ["--models", str(place.made / "nets"), "--sampler", "ddim", "--sampler-steps", "2", *more]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(line, cwd=place.folder, env=env, capture_output=True, text=True, timeout=300, check=False)


def test_the_command_line_writes_all_three_files(place: Place) -> None:
    reference = place.npz(somebody(place.made))
    given = ["--audio", str(place.wav()), "--skeleton", str(reference), "--out", "new/talk.mp4"]
    ended = command(place, "--model", str(place.model), *given)
    assert ended.returncode == 0, ended.stderr
    assert "30 frames of voice-16000-1, led by reference, guidance 3.5" in ended.stdout
    for suffix in (".mp4", ".npz", ".parquet"):
        assert f"wrote new/talk{suffix}" in ended.stdout and (place.folder / f"new/talk{suffix}").stat().st_size > 0
    assert arrays_of(place.folder / "new/talk.mp4")["keypoints"].shape == (30, 133, 2)


def test_the_command_line_tells_a_missing_model_in_a_line(place: Place) -> None:
    ended = command(place, "--audio", str(place.wav()))
    assert ended.returncode == 1
    [line] = ended.stderr.strip().splitlines()
    assert "training/model holds no model: `make train` makes one" in line
    assert not (place.run / "generated").exists()


def test_named_neither_two_held_out_clips_of_different_videos_are_taken(place: Place) -> None:
    rows = list(shard.open_shards(place.made / "shards", "test").rows(("clip_id", "video_id")))
    first, second = rows[0], next(row for row in rows if row["video_id"] != rows[0]["video_id"])
    place.settings(out="").run(place.session())
    names = [disk_name(f"{row['clip_id']}#0") for row in (first, second)]
    found = arrays_of(place.run / "generated" / f"{names[0]}-{names[1]}.mp4")
    assert [found["about"]["reference"], found["about"]["voice"]] == names


@pytest.mark.usefixtures("unfilmed")
def test_with_one_held_out_video_the_other_comes_from_training(
    place: Place, asked: list[dict[str, Any]], tmp_path: Path
) -> None:
    planted.write(tmp_path / "few", {"train": range(1), "test": range(1, 2)}, 5)
    found = place.generate(shards=tmp_path / "few")["about"]
    rows = {split: next(shard.open_shards(tmp_path / "few", split).rows(("clip_id",))) for split in ("test", "train")}
    assert found["reference"] == disk_name(f"{rows['test']['clip_id']}#0")
    assert found["voice"] == disk_name(f"{rows['train']['clip_id']}#0")


@pytest.mark.usefixtures("unfilmed")
def test_a_clip_gives_its_first_frame_and_the_features_that_stand_in_its_row(
    place: Place, asked: list[dict[str, Any]]
) -> None:
    rows = list(shard.open_shards(place.made / "shards").rows())
    found = place.generate(reference_clip=rows[0]["clip_id"], voice_clip=rows[4]["clip_id"], align="never")
    seen = layout.seen(rows[0]["keypoints"][0])
    np.testing.assert_allclose(found["keypoints"][0][seen], rows[0]["keypoints"][0][seen], atol=1e-3)
    np.testing.assert_array_equal(asked[0]["audio"], rows[4]["audio_features"])


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 1), (22050, 2), (44100, 1), (48000, 2)])
def test_a_voice_of_any_rate_is_25_pictures_a_second(rate: int, channels: int, place: Place) -> None:
    place.generate(audio=place.wav(1.3, rate, channels), skeleton=place.npz(somebody(place.made)))
    voice = read_wave(place.wav(1.3, RATE))
    assert voice is not None
    frames = len(voice) // 640
    seen, heard = probe(place.out), read_wave(place.out)
    assert frames == 32 and (seen.grid_frames, seen.source_fps) == (frames, 25.0)
    [row] = rows_of(place.out.with_suffix(".parquet"))
    stored = shard.sound(row["audio"])
    assert len(stored) == frames * 640 and heard is not None
    for found, least in ((stored, 0.999), (heard[: frames * 640], 0.99)):
        lags = {lag: np.corrcoef(found[900:19000], voice[900 + lag : 19000 + lag])[0, 1] for lag in (-8, 0, 8)}
        assert lags[0] > least and max(lags, key=lags.__getitem__) == 0


def test_a_video_lends_its_voice(place: Place) -> None:
    voice = read_wave(place.wav())
    film = place.folder / "film.mp4"
    write_clip(film, (np.full((48, 64, 3), 90, np.uint8) for _ in range(30)), voice, size=(64, 48))
    place.generate(audio=film, skeleton=place.npz(somebody(place.made)))
    heard = read_wave(place.out)
    assert heard is not None and voice is not None
    assert np.corrcoef(heard[:19200], voice[:19200])[0, 1] > 0.98


@pytest.mark.usefixtures("unfilmed")
def test_a_skeleton_may_be_one_or_many_and_need_not_name_scores_and_size(
    place: Place, asked: list[dict[str, Any]]
) -> None:
    one = somebody(place.made)
    for name, points, more in (
        ("bare", one, {}),
        ("many", np.stack([one, one + 40, one + 80]), {"scores": np.ones((3, 133)), "size": [512, 512]}),
        ("flat", one, {"scores": np.ones(133), "size": np.array([512, 512])}),
    ):
        found = place.generate(audio=place.wav(), skeleton=place.npz(points, f"{name}.npz", **more), align="never")
        seen = layout.seen(found["keypoints"][0])
        assert seen.sum() >= 110 and found["size"].tolist() == [512, 512]
        np.testing.assert_allclose(found["keypoints"][0][seen], one[seen], atol=1e-3)


@pytest.mark.usefixtures("unfilmed")
def test_a_reference_is_as_unsure_as_those_of_training(
    place: Place, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained with `min_score` 0.7, a model knows lower scored points as absent; they still say where the body is."""
    model = AudioToSkeleton.load(place.model)
    model.trained_on = {"settings": {"min_score": 0.7}}
    model.save(place.folder / "known.safetensors")
    scores = np.full(layout.K, 0.95)
    scores[[*BOTH, layout.LEFT_HIP, layout.RIGHT_WRIST]] = 0.5
    skeleton = place.npz(somebody(place.made), scores=scores)
    for weights in (place.model, place.folder / "known.safetensors"):
        place.generate(model=weights, audio=place.wav(), skeleton=skeleton, align="never")
    any_, sure = (call["reference"] for call in asked)
    left_out = np.flatnonzero(any_.valid & ~sure.valid).tolist()
    assert left_out == sorted([*BOTH, layout.LEFT_HIP, layout.RIGHT_WRIST])
    np.testing.assert_array_equal(sure.neck, any_.neck)
    np.testing.assert_array_equal(sure.local, any_.local)
    said = "scored under 0.7, as in training not used: left_shoulder, right_shoulder, right_wrist, left_hip"
    assert capsys.readouterr().err.count(said) == 1


@pytest.mark.usefixtures("unfilmed")
def test_what_was_generated_can_be_a_reference_again(place: Place) -> None:
    audio = place.wav()
    first = place.generate(audio=audio, skeleton=place.npz(somebody(place.made)))
    again = place.folder / "again.npz"
    place.out.with_suffix(".npz").rename(again)
    second = place.generate(audio=audio, skeleton=again)
    assert wide(second["keypoints"]) == pytest.approx(wide(first["keypoints"]), rel=0.2)


# What it leaves


def test_video_arrays_and_row_agree(place: Place) -> None:
    size = (640, 360)
    points = Similarity(0.9, 0.2, (150.0, -40.0)).apply(somebody(place.made))
    found = place.generate(audio=place.wav(), skeleton=place.npz(points, size=size))
    placed = found["about"]["placed"]
    into = Similarity(placed["scale"], placed["angle"], tuple(placed["shift"]))
    crop = found["crop_keypoints"]
    assert into.scale != pytest.approx(512 / 640, rel=0.01), "it was fitted"
    np.testing.assert_allclose(into.apply(found["keypoints"].astype(float)), crop, atol=1e-2)
    np.testing.assert_allclose(from_local(found["local"], found["neck"]), crop, atol=1e-3)
    assert np.nanmax(found["local"].std(0)) > 0.5, "it moves"
    assert found["fps"] == 25 and found["size"].tolist() == list(size)
    assert found["scores"].shape == crop.shape[:2]
    assert found["about"]["audio_features_of"] == "logmel768" and found["about"]["net"]["size"] == "tiny"
    assert str(place.folder) not in json.dumps(found["about"]), "no paths of this machine"

    seen = probe(place.out)
    assert (seen.width, seen.height, seen.grid_frames) == (*size, len(crop))
    [row] = rows_of(place.out.with_suffix(".parquet"))
    np.testing.assert_allclose(row["keypoints"], crop, atol=1 / 64)
    np.testing.assert_array_equal(from_local(row["local"], row["neck"]), row["keypoints"])
    np.testing.assert_array_equal(row["scores"], found["scores"])
    assert (row["frames"], row["fps"], row["source_width"], row["source_height"]) == (len(crop), 25, *size)
    table = pd.read_parquet(place.out.with_suffix(".parquet"))
    np.testing.assert_allclose(np.stack(table["keypoints"][0]).reshape(-1, 133, 2), crop, atol=1 / 64)
    assert sorted(path.name for path in place.out.parent.iterdir()) == ["out.mp4", "out.npz", "out.parquet"]


def test_the_video_shows_the_skeleton_where_the_arrays_say(place: Place, asked: list[dict[str, Any]]) -> None:
    points = somebody(place.made, moved=(90, 0))
    found = place.generate(audio=place.wav(), skeleton=place.npz(points, size=(641, 513)))
    with GridReader(place.out) as reader:
        picture = next(iter(reader)).pixels
    assert picture.shape == (514, 642, 3), "odd sides grow by one"
    x, y = found["keypoints"][0][BOTH].mean(0).round().astype(int)
    right = found["keypoints"][0][layout.RIGHT_SHOULDER]
    middle = ((np.array([x, y]) + right) / 2).round().astype(int)
    r, g, b = (int(v) for v in picture[middle[1], middle[0]])
    assert r > 90 and g < 60 and b < 60, "the limb to the right shoulder is red"


@pytest.mark.usefixtures("unfilmed")
def test_points_that_training_never_saw_are_not_given(place: Place) -> None:
    found = place.generate(audio=place.wav(), skeleton=place.npz(somebody(place.made)))
    legs = np.zeros(133, bool)
    legs[13:23] = True
    assert np.isnan(found["keypoints"][:, legs]).all() and (found["scores"][:, legs] == 0).all()
    assert np.isfinite(found["keypoints"][:, ~legs]).all() and (found["scores"][:, ~legs] == 1).all()


@pytest.mark.usefixtures("unfilmed")
def test_the_same_seed_gives_the_same_and_another_another(place: Place) -> None:
    given = {"audio": place.wav(2.4), "skeleton": place.npz(somebody(place.made))}  # more than a window
    first, again, other = (place.generate(**given, seed=seed)["local"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.nanmax(np.abs(first - other)) > 0.5


@pytest.mark.usefixtures("unfilmed")
def test_guidance_and_the_voice_matter(place: Place) -> None:
    given = {"skeleton": place.npz(somebody(place.made))}
    one = place.generate(audio=place.wav(), **given, guidance=1.0)["local"]
    other = place.generate(audio=place.wav(rate=8000), **given, guidance=1.0)["local"]
    strong = place.generate(audio=place.wav(), **given, guidance=6.0)["local"]
    assert np.nanmax(np.abs(one - strong)) > 0.1
    assert np.nanmax(np.abs(one - other[: len(one)])) > 1e-3


@pytest.mark.parametrize(
    ("clips", "given", "wanted"),
    [
        ((0, 3), None, 3.5),
        ((0, 0), None, 1.0),
        ((0, 3), 2.0, 2.0),
        ((0, 0), 2.0, 2.0),
        ((0, 0), 0.0, 0.0),
    ],
)
@pytest.mark.usefixtures("unfilmed")
def test_guidance_is_the_papers_for_unpaired_and_paired(
    clips: tuple[int, int], given: float | None, wanted: float, place: Place, asked: list[dict[str, Any]]
) -> None:
    rows = list(shard.open_shards(place.made / "shards").rows(("clip_id",)))
    reference, voice = (rows[number]["clip_id"] for number in clips)
    found = place.generate(reference_clip=reference, voice_clip=voice, guidance=given)
    assert asked[0]["guidance"] == wanted == found["about"]["settings"]["guidance"]


@pytest.mark.usefixtures("unfilmed")
def test_clips_that_were_not_named_are_paired_too_when_they_are_one(
    place: Place, asked: list[dict[str, Any]], tmp_path: Path
) -> None:
    planted.write(tmp_path / "one", {"test": range(1)}, 5)
    place.generate(shards=tmp_path / "one")
    place.generate(shards=tmp_path / "one", skeleton=place.npz(somebody(place.made)))
    held_out = next(shard.open_shards(place.made / "shards", "test").rows(("clip_id",)))["clip_id"]
    place.generate(voice_clip=held_out)
    assert [call["guidance"] for call in asked] == [1.0, 3.5, 1.0]


@pytest.mark.usefixtures("unfilmed")
def test_settings_reach_the_sampler(place: Place, asked: list[dict[str, Any]]) -> None:
    more = {"sampler": "dpm", "sampler_steps": 7, "seed": 9, "overlap_frames": 11, "window_batch": 3}
    place.generate(audio=place.wav(), **more)
    wanted = {"sampler": "dpm", "steps": 7, "seed": 9, "overlap": 11, "batch": 3}
    assert {name: asked[0][name] for name in wanted} == wanted


# Where the skeleton stands


@pytest.mark.usefixtures("unfilmed")
def test_an_ordinary_reference_is_left_as_it_is_without_a_word(
    place: Place, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    points = somebody(place.made)
    found = place.generate(audio=place.wav(), skeleton=place.npz(points))
    assert "reference" not in capsys.readouterr().err
    assert found["about"]["placed"] == {"scale": 1.0, "angle": 0.0, "shift": [0.0, 0.0]}
    np.testing.assert_allclose(asked[0]["reference"].neck, points[BOTH].mean(0), atol=1e-3)


OFF = {
    "small": (0.7, (0, 0), "shoulder width {wide:.0f} px, in training {low:.0f} to {high:.0f}"),
    "large": (1.4, (0, 0), "shoulder width {wide:.0f} px, in training {low:.0f} to {high:.0f}"),
    "right": (1.0, (150, 0), "neck x {x:.0f} px, in training"),
    "below": (1.0, (0, 150), "neck y {y:.0f} px, in training"),
}


@pytest.mark.parametrize("how", OFF)
@pytest.mark.usefixtures("unfilmed")
def test_a_reference_that_is_off_is_told_fitted_and_brought_back(
    how: str, place: Place, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    scale, moved, said = OFF[how]
    points = somebody(place.made, scale, moved)
    found = place.generate(audio=place.wav(), skeleton=place.npz(points))
    low, _, high = AudioToSkeleton.load(place.model).space.framing[0].tolist()
    x, y = points[BOTH].mean(0)
    told = capsys.readouterr().err
    assert f"reference reference: {said.format(wide=wide(points), low=low, high=high, x=x, y=y)}" in told
    assert f"fitted: {found['about']['placed']['scale']:.2f} x, turned by" in told and "now as in training" in told
    given = asked[0]["reference"]
    assert low <= wide(given.local) <= high, "the model sees a body of a size it knows"
    assert found["about"]["placed"]["scale"] == pytest.approx(1 / scale, rel=0.15)
    assert wide(found["keypoints"]) == pytest.approx(wide(points), rel=0.15)
    seen = layout.seen(found["keypoints"][0])
    np.testing.assert_allclose(found["keypoints"][-1][seen], points[seen], atol=0.05)  # even to a part of a pixel


@pytest.mark.parametrize("how", OFF)
@pytest.mark.usefixtures("unfilmed")
def test_the_mean_skeleton_comes_back_in_the_references_place_and_size(how: str, place: Place) -> None:
    """By a model that says the same whoever leads it, so that only the way back can bring it there."""
    scale, moved, _ = OFF[how]
    points = somebody(place.made, scale, moved)
    found = place.generate(
        audio=place.wav(), skeleton=place.npz(points), model=place.made / "mean.safetensors", guidance=1
    )["keypoints"]
    assert wide(found) == pytest.approx(wide(points), rel=0.15)
    np.testing.assert_allclose(np.median(found[:, BOTH].mean(1), 0), points[BOTH].mean(0), atol=2)


@pytest.mark.parametrize("how", OFF)
@pytest.mark.usefixtures("unfilmed")
def test_align_never_leaves_it_and_still_tells(
    how: str, place: Place, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    scale, moved, said = OFF[how]
    points = somebody(place.made, scale, moved)
    found = place.generate(audio=place.wav(), skeleton=place.npz(points), align="never")
    told = capsys.readouterr().err
    assert said.split("{")[0] in told and "fitted" not in told
    assert found["about"]["placed"]["scale"] == 1.0
    np.testing.assert_allclose(asked[0]["reference"].neck, points[BOTH].mean(0), atol=1e-3)
    assert wide(asked[0]["reference"].local) == pytest.approx(wide(points), abs=1e-3)


@pytest.mark.usefixtures("unfilmed")
def test_align_always_fits_an_ordinary_one_too(place: Place, asked: list[dict[str, Any]]) -> None:
    points = somebody(place.made, moved=(6, -3))
    found = place.generate(audio=place.wav(), skeleton=place.npz(points), align="always")
    target = usual(AudioToSkeleton.load(place.model).space)
    np.testing.assert_allclose(asked[0]["reference"].neck, target[BOTH].mean(0), atol=4)
    assert found["about"]["placed"]["shift"] != [0.0, 0.0]
    seen = layout.seen(found["keypoints"][0])
    np.testing.assert_allclose(found["keypoints"][0][seen], points[seen], atol=0.05)


@pytest.mark.usefixtures("unfilmed")
def test_too_little_to_fit_is_told_and_used_as_it_is(
    place: Place, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    points = somebody(place.made, 0.7)
    points[[0, 1, 2, 3, 4, 11, 12]] = np.nan
    found = place.generate(audio=place.wav(), skeleton=place.npz(points))
    assert "too little of head, shoulders and hips is seen to fit it" in capsys.readouterr().err
    assert found["about"]["placed"]["scale"] == 1.0


@pytest.mark.parametrize("unseen", ["absent", "unsure"])
def test_a_head_alone_is_refused_with_what_to_do(unseen: str, place: Place) -> None:
    points, scores = somebody(place.made), np.ones(133)
    body = [*range(5, 23), *range(91, 133)]
    if unseen == "absent":
        points[body] = np.nan
    else:
        scores[body] = 0.2
    message = place.refused(audio=place.wav(), skeleton=place.npz(points, scores=scores))
    assert message == "reference: the reference shows no shoulders: take a picture of the upper body, from the hips up"


# Pictures


@pytest.mark.parametrize(("take", "scale"), [("talk-1", 1.0), ("talk-2", 1.0), ("talk-1", 0.6), ("small", 1.0)])
@pytest.mark.usefixtures("unfilmed")
def test_a_picture_is_annotated_where_the_person_stands(take: str, scale: float, place: Place) -> None:
    pictures, truth = render_take(take_named(take), 0.2, scale)
    wanted = truth.keypoints[0, 2]
    path = place.folder / "puppet.png"
    cv2.imwrite(str(path), pictures[2][..., ::-1])
    settings = {"image": path, "audio": place.wav(), "model": place.made / "mean.safetensors", "guidance": 1}
    person, _ = find_inputs(place.settings(**settings), place.session(), "logmel768")
    assert person.size == (pictures.shape[2], pictures.shape[1]) and person.name == "puppet"
    assert np.linalg.norm(person.keypoints[BOTH] - wanted[BOTH], axis=-1).max() < 2
    found = place.generate(**settings)
    necks = found["keypoints"][:, BOTH].mean(1)
    np.testing.assert_allclose(necks, np.repeat(wanted[BOTH].mean(0)[None], len(necks), 0), atol=2)
    assert found["size"].tolist() == list(person.size)
    assert wide(found["keypoints"]) == pytest.approx(wide(wanted), rel=0.15)


def test_of_two_people_the_larger_leads(place: Place) -> None:
    near, truth = render_take(take_named("talk-1"), 0.2)
    far, _ = render_take(take_named("talk-1"), 0.2, 0.5)
    both = np.full((720, 1280 + 640, 3), 90, np.uint8)
    both[:360, :640], both[:, 640:] = far[2], near[2]
    path = place.folder / "two.png"
    cv2.imwrite(str(path), both[..., ::-1])
    person, _ = find_inputs(place.settings(image=path, audio=place.wav()), place.session(), "logmel768")
    wanted = truth.keypoints[0, 2] + [640, 0]
    assert np.linalg.norm(person.keypoints[BOTH] - wanted[BOTH], axis=-1).max() < 3


# What is refused


def test_a_picture_without_people_is_refused(place: Place) -> None:
    path = place.folder / "grey.png"
    cv2.imwrite(str(path), np.full((360, 640, 3), 128, np.uint8))
    message = place.refused(audio=place.wav(), image=path)
    assert f"--image {path}: theatre_detector and theatre_pose see nobody in it: the demo" in message


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no such file"), (b"words", "neither of PNG, JPEG, WebP"), (b"\x89PNG", "cut short")]
)
def test_a_picture_that_cannot_be_read_is_refused(content: bytes | None, said: str, place: Place) -> None:
    path = place.folder / "picture.png"
    if content is not None:
        path.write_bytes(content)
    message = place.refused(audio=place.wav(), image=path)
    assert message.startswith(f"--image {path}: ") and said in message


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"image": "a.png", "skeleton": "b.npz"}, "give one of --image, --skeleton, --reference-clip, not several"),
        ({"skeleton": "b.npz", "reference_clip": "c"}, "give one of --image, --skeleton, --reference-clip"),
        ({"audio": "a.wav", "voice_clip": "c"}, "give one of --audio, --voice-clip, not several"),
    ],
)
def test_several_of_one_kind_are_refused(given: dict[str, Any], said: str, place: Place) -> None:
    assert said in place.refused(**given)


def test_a_clip_that_the_shards_do_not_hold_is_refused(place: Place) -> None:
    for name in ("reference_clip", "voice_clip"):
        message = place.refused(**{name: "file:0123456789abcdef/0+150"})
        assert "shards holds no clip file:0123456789abcdef/0+150: `csg405 table samples` lists them" in message


def test_without_shards_there_is_nothing_to_take_clips_from(place: Place) -> None:
    assert "_index.json is missing" in place.refused(shards=place.folder / "none")


def damaged(how: str, whole: bytes) -> bytes:
    if how == "cut short":
        return whole[: len(whole) // 2]
    if how == "empty":
        return b""
    if how == "words":
        return b"no weights at all\n" * 50
    if how == "header":
        return whole[:8] + b"x" + whole[9:]
    from safetensors.torch import save

    return save({"weight": torch.zeros(3)})  # somebody else's


@pytest.mark.parametrize("how", ["cut short", "empty", "words", "header", "of another kind"])
def test_a_damaged_model_is_refused(how: str, place: Place) -> None:
    path = place.folder / "damaged.safetensors"
    path.write_bytes(damaged(how, place.model.read_bytes()))
    message = place.refused(model=path)
    assert str(path) in message
    assert "damaged" in message or "is no audio-to-skeleton model" in message


@pytest.mark.parametrize("what", ["nothing", "an empty folder"])
def test_a_model_that_is_not_there_is_refused(what: str, place: Place) -> None:
    path = place.folder / "model"
    if what == "an empty folder":
        path.mkdir()
    assert f"{path} holds no model: `make train` makes one, or name another with --model" == place.refused(model=path)


@pytest.mark.usefixtures("unfilmed")
def test_the_runs_own_training_is_the_model_by_default(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last whole checkpoint, and its averaged weights."""
    model, average = (AudioToSkeleton.load(place.made / f"{name}.safetensors") for name in ("model", "mean"))
    folder = place.run / "training" / "model" / "checkpoints"
    for step in (1, 2, 3):
        checkpoint.write(folder, step, model, average, torch.optim.SGD(model.net.parameters(), 1e-3), {}, 3)
    path = folder / checkpoint.name_of(3) / checkpoint.MODEL
    path.write_bytes(path.read_bytes()[:-100])  # a damaged one is passed over
    given = {"audio": place.wav(), "skeleton": place.npz(somebody(place.made))}
    loaded: list[Path] = []
    load = AudioToSkeleton.load
    monkeypatch.setattr(
        AudioToSkeleton, "load", classmethod(lambda cls, path, *more: loaded.append(path) or load(path, *more))
    )
    place.generate(model="", **given)
    assert loaded == [folder / checkpoint.name_of(2) / checkpoint.AVERAGE]
    for step in (1, 2):
        (folder / checkpoint.name_of(step) / checkpoint.STATE).unlink()
    for path in place.out.parent.iterdir():
        path.unlink()
    assert "training/model holds no model" in place.refused(model="")


def unheard(how: str, folder: Path) -> Path:
    path = folder / ("mute.mp4" if how == "no track" else "sound.wav")
    if how == "silence":
        write_wav(path, np.zeros(RATE, np.float32))
    elif how == "integers as floats":
        write_wav(path, 9000 * np.sin(np.arange(RATE, dtype=np.float32)))
    elif how == "a blink":
        write_wav(path, np.full(600, 0.1, np.float32))
    elif how == "no samples":
        write_wav(path, np.zeros(0, np.float32))
    elif how == "words":
        path.write_text("a voice\n")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "folder":
        path.mkdir()
    elif how == "no track":
        write_clip(path, (np.zeros((48, 64, 3), np.uint8) for _ in range(30)), None, size=(64, 48))
    return path


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("silence", "there is no sound in it"),
        ("a blink", "there is no sound in it"),
        ("integers as floats", "samples up to 9000, where 1 is full scale"),
        ("no samples", ""),
        ("no track", "there is no sound in it"),
        ("words", ""),
        ("empty", ""),
        ("folder", ""),
        ("missing", ""),
    ],
)
def test_a_voice_that_cannot_be_heard_is_refused(how: str, said: str, place: Place) -> None:
    path = unheard(how, place.folder)
    message = place.refused(audio=path, skeleton=place.npz(somebody(place.made)))
    assert message.startswith(f"--audio {path}: ") and said in message and len(message) > len(f"--audio {path}: ") + 5


class _Secret:
    """Would be run if a pickle were read."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (pytest.fail, ("a pickle was read",))


def test_pickled_objects_are_not_read(place: Place) -> None:
    for name, more in (
        ("keypoints", {"keypoints": np.array([_Secret()], object)}),
        ("scores", {"keypoints": somebody(place.made), "scores": np.array([_Secret()], object)}),
    ):
        path = place.folder / f"{name}.npz"
        np.savez(path, **more)
        message = place.refused(audio=place.wav(), skeleton=path)
        assert message.startswith(f"--skeleton {path}: no .npz with keypoints (133, 2) and scores (133,): ")


@pytest.mark.parametrize(
    "shape", [(17, 2), (133, 3), (2, 133), (4, 2, 133), (5, 17, 2), (0, 133, 2), (2, 266), (133,), ()]
)
def test_keypoints_of_another_shape_are_refused(shape: tuple[int, ...], place: Place) -> None:
    path = place.npz(np.zeros(shape))
    assert place.refused(audio=place.wav(), skeleton=path).startswith(f"--skeleton {path}: ")


@pytest.mark.parametrize(
    "more",
    [
        {"scores": np.ones(17)},
        {"scores": np.full(133, "sure")},
        {"size": [512]},
        {"size": [0, 512]},
        {"size": [512, 100_000]},
        {"size": 512},
        {"size": [np.nan, 512]},
        {"size": [np.inf, 512]},
    ],
)
def test_scores_and_sizes_that_make_no_sense_are_refused(more: dict[str, Any], place: Place) -> None:
    path = place.npz(somebody(place.made), **more)
    assert place.refused(audio=place.wav(), skeleton=path).startswith(f"--skeleton {path}: ")


def giant() -> bytes:
    """An .npz whose keypoints claim more than any machine holds."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (10**15, 133, 2)})
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("keypoints.npy", head.getvalue() + bytes(800))
    return whole.getvalue()


@pytest.mark.parametrize(
    "how", ["missing", "empty", "words", "cut short", "changed", "npy", "pickle", "no keypoints", "giant"]
)
def test_a_file_that_is_no_npz_is_refused(how: str, place: Place) -> None:
    path = place.folder / "given.npz"
    np.savez_compressed(path, keypoints=somebody(place.made))
    whole = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "npy":
        with path.open("wb") as file:
            np.save(file, somebody(place.made))
    elif how == "no keypoints":
        np.savez(path, points=somebody(place.made))
    else:
        path.write_bytes(
            {
                "empty": b"",
                "words": b"a skeleton\n",
                "cut short": whole[: len(whole) // 2],
                "changed": whole[:300] + b"\xff" * 40 + whole[340:],
                "giant": giant(),
                "pickle": b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94.",
            }[how]
        )
    message = place.refused(audio=place.wav(), skeleton=path)
    assert message.startswith(f"--skeleton {path}: no .npz with keypoints (133, 2) and scores (133,)")


@pytest.mark.usefixtures("unfilmed")
def test_names_may_be_of_all_kinds(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """With dashes in front, from the folder one is in, and beyond ASCII."""
    monkeypatch.chdir(place.folder)
    for name in ("-voice.wav", "стимул a'b \U0001f600.wav"):
        place.wav().rename(name)
        place.out = Path(f"-out {name}.mp4")
        place.generate(audio=name, skeleton=place.npz(somebody(place.made)))
        assert rows_of(place.out.with_suffix(".parquet"))[0]["clip_id"] == place.out.stem


@pytest.mark.parametrize("what", ["image", "audio", "out"])
def test_a_name_that_is_no_utf8_is_refused_before_anything_costly(
    what: str, place: Place, asked: list[dict[str, Any]]
) -> None:
    given = {"audio": place.wav(), what: os.fsdecode(os.fsencode(place.folder) + b"/\xff.mp4")}
    assert "no UTF-8" in place.refused(**given) and not asked


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("folder.mp4", "a folder has this name"),
        ("file/out.mp4", "a file stands where a folder should be"),
        ("file/deep/out.mp4", "a file stands where a folder should be"),
        (f"{'n' * 300}.mp4", "its name is too long"),
        ("locked/out.mp4", "cannot be written: check its owner"),
        ("locked/deep/out.mp4", "cannot be written: check its owner"),
    ],
)
def test_a_target_that_cannot_be_written_is_told_before_anything_costly(
    out: str, said: str, place: Place, asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.folder / "folder.mp4").mkdir()
    (place.folder / "locked").mkdir()
    (place.folder / "file").touch()
    allowed = os.access  # root may write everywhere
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked" and allowed(path, mode))
    message = place.refused(audio=place.wav(), skeleton=place.npz(somebody(place.made)), out=place.folder / out)
    assert said in message and not asked


def test_a_full_disk_names_the_file_and_what_to_do(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    message = place.refused(audio=place.wav(), skeleton=place.npz(somebody(place.made)))
    assert message.startswith(f"no space left while writing {place.out.with_suffix('.npz')}: free some")


@pytest.mark.parametrize("name", ["talk", "talk.npz", "talk.txt"])
def test_a_target_that_is_no_mp4_is_refused_before_anything_costly(
    name: str, place: Place, asked: list[dict[str, Any]]
) -> None:
    path = place.folder / "out" / name
    message = place.refused(audio=place.wav(), skeleton=place.npz(somebody(place.made)), out=path)
    assert message.startswith(f"--out {path}: ") and ".mp4" in message
    assert not asked


def test_it_does_not_write_over_what_it_starts_from(place: Place) -> None:
    skeleton = place.folder / "me.npz"
    np.savez(skeleton, keypoints=np.full((133, 2), 200.0, np.float32))
    before = skeleton.read_bytes()
    message = place.refused(skeleton=skeleton, audio=place.wav(), out=str(place.folder / "me.mp4"))
    assert "is what this generation starts from" in message
    assert skeleton.read_bytes() == before


def test_of_a_very_large_picture_the_video_is_bounded_and_the_keypoints_are_not(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    points = (somebody(place.made) + 0.5) * 19.53125 - 0.5
    made = place.generate(skeleton=place.npz(points, size=(10_000, 10_000)), audio=place.wav(0.4))
    about = probe(place.out)
    assert (about.width, about.height) == (2048, 2048)
    assert tuple(made["size"]) == (10_000, 10_000)
    assert np.linalg.norm(made["keypoints"][:, BOTH] - points[BOTH], axis=-1).max() < 2000
    said = capsys.readouterr().out
    assert said.count("reference has 10000 x 10000 px: drawn at 2048 x 2048; the .npz stays in its pixels\n") == 1
