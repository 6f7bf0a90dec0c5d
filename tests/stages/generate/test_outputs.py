"""What a generation leaves, and where it can be left."""

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch", reason="needs csg405[train]")
pytest.importorskip("diffusers", reason="needs csg405[train]")
pytest.importorskip("safetensors", reason="needs csg405[train]")

from pipeline.media.video import GridReader, probe  # noqa: E402
from pipeline.model.generation.sampling import OURS  # noqa: E402
from pipeline.registry.models import Registry  # noqa: E402
from pipeline.shards.read import open_shards  # noqa: E402
from pipeline.skeleton import layout  # noqa: E402
from pipeline.skeleton.align import Similarity  # noqa: E402
from pipeline.skeleton.local import from_local  # noqa: E402
from pipeline.theatre import planted  # noqa: E402
from tests.pipeline.nets.fakes import asset  # noqa: E402
from tests.stages.generate.studio import BOTH, Place, rows_of, somebody  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


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
    given = {"skeleton": place.npz(somebody(place.made)), "begin_at_reference": 0, "smooth": "none"}
    one = place.generate(audio=place.wav(), **given, guidance=1.0)["local"]
    other = place.generate(audio=place.wav(rate=8000), **given, guidance=1.0)["local"]
    strong = place.generate(audio=place.wav(), **given, guidance=6.0)["local"]
    assert np.nanmax(np.abs(one - strong)) > 0.1
    assert np.nanmax(np.abs(one - other[: len(one)])) > 1e-3


@pytest.mark.parametrize(
    ("clips", "given", "wanted"),
    [((0, 3), None, 3.5), ((0, 0), None, 1.0), ((0, 3), 2.0, 2.0), ((0, 0), 2.0, 2.0), ((0, 0), 0.0, 0.0)],
)
@pytest.mark.usefixtures("unfilmed", "of_the_paper")
def test_guidance_is_the_papers_for_unpaired_and_paired(
    clips: tuple[int, int], given: float | None, wanted: float, place: Place, asked: list[dict[str, Any]]
) -> None:
    rows = list(open_shards(place.made / "shards").rows(("clip_id",)))
    reference, voice = (rows[number]["clip_id"] for number in clips)
    found = place.generate(reference_clip=reference, voice_clip=voice, guidance=given)
    assert asked[0]["guidance"] == wanted == found["about"]["settings"]["guidance"]
    assert asked[0]["begin_at_reference"] == 0 and asked[0]["smooth"] == "none"


@pytest.fixture
def of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the model were trained by the paper's recipe."""
    from pipeline.model.audio_to_skeleton import AudioToSkeleton

    monkeypatch.setattr(AudioToSkeleton, "published", property(lambda self: True))


@pytest.mark.usefixtures("unfilmed")
def test_another_model_begins_at_its_reference_and_is_smoothed(
    place: Place, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"audio": place.wav(), "skeleton": place.npz(somebody(place.made))}
    found = place.generate(**given)
    used = {"guidance": OURS.unpaired, "begin_at_reference": OURS.begin_at_reference, "smooth": OURS.smooth}
    assert {name: asked[0][name] for name in used} == used
    assert {name: found["about"]["settings"][name] for name in used} == used
    assert (
        f"5 frames at the reference, smoothing {OURS.smooth}; what was not asked for is ours" in capsys.readouterr().out
    )
    place.generate(**given, begin_at_reference=0, smooth="none", guidance=3.5)
    assert (asked[1]["guidance"], asked[1]["begin_at_reference"], asked[1]["smooth"]) == (3.5, 0, "none")
    capsys.readouterr()
    interval = {"guidance_from": 0.3, "guidance_to": 0.7, "guidance_rescale": 0.5}
    for guidance, said in (
        (3.5, "\nguided from 0.3 to 0.7, rescaled by 0.5, sampler "),
        (1.0, "\nnothing guided at gui"),
    ):
        place.generate(**given, **interval, guidance=guidance)
        assert said in capsys.readouterr().out
    assert (asked[2]["guidance_interval"], asked[2]["guidance_rescale"]) == ((0.3, 0.7), 0.5)


@pytest.mark.usefixtures("unfilmed")
def test_from_end_to_end_the_first_frames_are_the_references(place: Place) -> None:
    points = somebody(place.made)
    given = {"audio": place.wav(2.4), "skeleton": place.npz(points), "align": "never", "smooth": "none"}  # two windows
    begun, plain = (place.generate(**given, begin_at_reference=frames)["keypoints"] for frames in (5, 0))
    seen = np.isfinite(plain[0]).all(-1)
    off = np.linalg.norm(begun[:, seen] - points[seen], axis=-1).max(1)
    assert (off[:5] < 0.1).all() and (off[5:] > 1).all()
    assert np.linalg.norm(plain[0, seen] - points[seen], axis=-1).max() > 1


@pytest.mark.usefixtures("unfilmed")
def test_seconds_without_speech_are_told_and_kept(
    place: Place, asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"audio": place.wav(2.4), "skeleton": place.npz(somebody(place.made))}
    monkeypatch.setattr(Registry, "optional", lambda self, names: SimpleNamespace(path=asset("models/silero_vad.onnx")))
    found = place.generate(**given)
    assert "voice-16000-1: no speech in 2.4 of its 2.4 s (at 0.0-2.4 s): " in capsys.readouterr().out
    assert found["about"]["without_speech_seconds"] == [[0.0, 2.4]]
    monkeypatch.setattr(Registry, "optional", lambda self, names: None)
    found = place.generate(**given)
    said = capsys.readouterr().out
    assert (
        "voice-16000-1: not looked for seconds without speech: voice activity detector (silero_vad) is missing" in said
    )
    assert found["about"]["without_speech_seconds"] is None


@pytest.mark.usefixtures("unfilmed", "of_the_paper")
def test_clips_that_were_not_named_are_paired_too_when_they_are_one(
    place: Place, asked: list[dict[str, Any]], tmp_path: Path
) -> None:
    planted.write(tmp_path / "one", {"test": range(1)}, 5)
    place.generate(shards=tmp_path / "one")
    place.generate(shards=tmp_path / "one", skeleton=place.npz(somebody(place.made)))
    held_out = next(open_shards(place.made / "shards", "test").rows(("clip_id",)))["clip_id"]
    place.generate(voice_clip=held_out)
    assert [call["guidance"] for call in asked] == [1.0, 3.5, 1.0]


@pytest.mark.usefixtures("unfilmed")
def test_settings_reach_the_sampler(place: Place, asked: list[dict[str, Any]]) -> None:
    more = {"sampler": "dpm", "sampler_steps": 7, "seed": 9, "overlap_frames": 11, "window_batch": 3}
    place.generate(audio=place.wav(), **more)
    wanted = {"sampler": "dpm", "steps": 7, "seed": 9, "overlap": 11, "batch": 3}
    assert {name: asked[0][name] for name in wanted} == wanted


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
