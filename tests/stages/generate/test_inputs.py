"""What a generation starts from: the command line, clips, voices, skeletons, pictures."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs csg405[train]")
pytest.importorskip("diffusers", reason="needs csg405[train]")
pytest.importorskip("safetensors", reason="needs csg405[train]")

from pipeline.base.errors import StageError  # noqa: E402
from pipeline.base.ids import disk_name  # noqa: E402
from pipeline.base.units import SAMPLE_RATE  # noqa: E402
from pipeline.cli.stage import command_of  # noqa: E402
from pipeline.media.audio import read_wave  # noqa: E402
from pipeline.media.video import probe, write_clip  # noqa: E402
from pipeline.model.audio_to_skeleton import AudioToSkeleton  # noqa: E402
from pipeline.shards.read import decode_audio, open_shards  # noqa: E402
from pipeline.skeleton import layout  # noqa: E402
from pipeline.theatre import planted, render_take, take_named  # noqa: E402
from stages.generate import inputs  # noqa: E402
from stages.generate.inputs import find_inputs  # noqa: E402
from tests.stages.generate.endless import spinning  # noqa: E402
from tests.stages.generate.studio import BOTH, ROOT, Place, arrays_of, rows_of, somebody, wide  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def given(place: Place, *more: str) -> list[str]:
    line = ["--profile", "demo", "--run", str(place.run), "--models", str(place.made / "nets")]
    return [*line, "--sampler", "ddim", "--sampler-steps", "2", *more]


def command(place: Place, *more: str) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "stages.generate", *given(place, *more)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(line, cwd=place.folder, env=env, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_the_command_line_writes_all_three_files(place: Place) -> None:
    reference = place.npz(somebody(place.made))
    files = ["--audio", str(place.wav()), "--skeleton", str(reference), "--out", "new/talk.mp4"]
    ended = command(place, "--model", str(place.model), *files)
    assert ended.returncode == 0, ended.stderr
    assert "30 frames of voice-16000-1, led by reference, guidance 1," in ended.stdout
    for suffix in (".mp4", ".npz", ".parquet"):
        assert f"wrote new/talk{suffix}" in ended.stdout and (place.folder / f"new/talk{suffix}").stat().st_size > 0
    assert arrays_of(place.folder / "new/talk.mp4")["keypoints"].shape == (30, 133, 2)


def test_the_command_line_tells_a_missing_model_in_a_line(place: Place) -> None:
    ended = CliRunner().invoke(command_of("generate"), given(place, "--audio", str(place.wav())))
    assert ended.exit_code == 1 and isinstance(ended.exception, SystemExit)
    [line] = ended.stderr.strip().splitlines()
    assert "training/model holds no model: train one with `make train`" in line
    assert not (place.run / "generated").exists()


@pytest.mark.usefixtures("own_process")
def test_a_net_that_never_ends_is_stopped(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As annotate's workers stop it: what it is worth is not known, and waiting does not help."""
    picture = place.folder / "someone.png"
    cv2.imwrite(str(picture), np.zeros((64, 64, 3), np.uint8))
    monkeypatch.setattr(inputs, "largest_person", spinning)
    monkeypatch.setattr(inputs, "PICTURE_SECONDS", 3.0)
    with pytest.raises(
        StageError, match=r"--image .*someone\.png: .* and .*: stopped after 3 s: a net that never ends"
    ):
        find_inputs(place.settings(image=picture, audio=place.wav()), place.session(), "logmel768")


def test_named_neither_two_held_out_clips_of_different_videos_are_taken(place: Place) -> None:
    rows = list(open_shards(place.made / "shards", "test").rows(("clip_id", "video_id")))
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
    rows = {split: next(open_shards(tmp_path / "few", split).rows(("clip_id",))) for split in ("test", "train")}
    assert found["reference"] == disk_name(f"{rows['test']['clip_id']}#0")
    assert found["voice"] == disk_name(f"{rows['train']['clip_id']}#0")


@pytest.mark.usefixtures("unfilmed")
def test_a_clip_gives_its_first_frame_and_the_features_that_stand_in_its_row(
    place: Place, asked: list[dict[str, Any]]
) -> None:
    rows = list(open_shards(place.made / "shards").rows())
    found = place.generate(reference_clip=rows[0]["clip_id"], voice_clip=rows[4]["clip_id"], align="never")
    seen = layout.seen(rows[0]["keypoints"][0])
    np.testing.assert_allclose(found["keypoints"][0][seen], rows[0]["keypoints"][0][seen], atol=1e-3)
    np.testing.assert_array_equal(asked[0]["audio"], rows[4]["audio_features"])


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 1), (22050, 2), (44100, 1), (48000, 2)])
def test_a_voice_of_any_rate_is_25_pictures_a_second(rate: int, channels: int, place: Place) -> None:
    place.generate(audio=place.wav(1.3, rate, channels), skeleton=place.npz(somebody(place.made)))
    voice = read_wave(place.wav(1.3, SAMPLE_RATE))
    assert voice is not None
    frames = len(voice) // 640
    seen, heard = probe(place.out), read_wave(place.out)
    assert frames == 32 and (seen.grid_frames, seen.source_fps) == (frames, 25.0)
    [row] = rows_of(place.out.with_suffix(".parquet"))
    stored = decode_audio(row["audio"])
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
    said = "scored under 0.7 and, as in training, not used: left_shoulder, right_shoulder, right_wrist, left_hip"
    assert capsys.readouterr().err.count(said) == 1


@pytest.mark.usefixtures("unfilmed")
def test_what_was_generated_can_be_a_reference_again(place: Place) -> None:
    audio = place.wav()
    first = place.generate(audio=audio, skeleton=place.npz(somebody(place.made)))
    again = place.folder / "again.npz"
    place.out.with_suffix(".npz").rename(again)
    second = place.generate(audio=audio, skeleton=again)
    assert wide(second["keypoints"]) == pytest.approx(wide(first["keypoints"]), rel=0.2)


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
