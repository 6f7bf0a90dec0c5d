"""Where a test set comes from: shards with and without their films, and the files of PATS and TED-talks under their own names."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.audio import write_wav
from pipeline.media.video import probe, write_video
from pipeline.nets.footage import WrongFootage
from stages.evaluate.cast import letterboxed, onto_square, squares, whole_body_frame
from stages.evaluate.subjects import Subjects
from tests.stages.evaluate.studio import FRAMES, SIDE, played, row_of, subject, write_film, write_shards
from tests.stages.stage_assets import AssetModels, asset


def of_clip(run: Path, name: str, **settings: Any) -> dict[str, Any]:
    stage = Subjects(source=str(run / "shards"), base=str(run), **settings)
    worker = stage.worker(Context(run))
    [row] = worker.process(Unit(name, {}))
    return row


# Shards


def test_a_clip_of_the_shards(filmed: Path) -> None:
    row = of_clip(filmed, subject(1))
    scene = played("ben")
    assert (row["speaker"], row["frames"], row["side"], row["film"]) == ("ben", FRAMES, SIDE, "clips/1.mp4")
    np.testing.assert_allclose(row["keypoints"].reshape(FRAMES, 133, 2), scene.keypoints, atol=1 / 64)
    assert row["reference_frame"] == 0 and row["audio"].startswith(b"fLaC")


def test_which_clips(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    rows = [row_of(run, 0, "ada") | {"clip_id": f"file:{n:016x}/0+{FRAMES}"} for n in range(6)]
    write_shards(run, rows, "train")
    sources = {split: Subjects(source=str(run / "shards"), split=split).sources() for split in ("test", "train", "all")}
    assert sources["test"] == [] and sources["train"] == sources["all"] == sorted(map(subject, range(6)))
    few = [Subjects(source=str(run / "shards"), split="all", limit=n).sources() for n in (2, 3, 6, 9)]
    assert set(few[0]) < set(few[1]) and len(few[1]) == 3 and few[2] == few[3] == sources["all"]


@pytest.mark.parametrize(
    ("video", "reason"),
    [
        (None, Reason.NOT_MEDIA),
        ("clips/gone.mp4", Reason.SOURCE_MISSING),
        ("../outside.mp4", Reason.NOT_MEDIA),
        ("/etc/hostname", Reason.NOT_MEDIA),
        ("clips/text.mp4", Reason.NOT_MEDIA),
    ],
)
def test_clips_without_their_film(video: str | None, reason: Reason, filmed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(filmed / "clips", run / "clips")
    (run / "clips/text.mp4").write_text("no video")
    shutil.copy(run / "clips/0.mp4", tmp_path / "outside.mp4")
    write_shards(run, [row_of(run, 0, "ada", video=video)])
    with pytest.raises((Reject, Failure)) as caught:
        of_clip(run, subject(0))
    assert caught.value.reason is reason


def test_clips_on_another_disk(filmed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(filmed / "clips", tmp_path / "disk")
    run.mkdir()
    (run / "clips").symlink_to(tmp_path / "disk")
    write_shards(run, [row_of(run, 0, "ada", video="clips/0.mp4")])
    assert of_clip(run, subject(0))["film"] == "clips/0.mp4"


def test_the_reference_is_the_first_frame_with_the_whole_upper_body() -> None:
    scores = np.zeros((5, 133), np.float32)
    assert whole_body_frame(scores) == 0
    scores[2:, :13] = 0.9
    scores[:, 0] = 0.9
    assert whole_body_frame(scores) == 2


# Files


class Files:
    """A folder of films that are annotated by the theatre's nets."""

    def __init__(self, folder: Path, nets: Path) -> None:
        self.folder, self.nets = folder, nets

    def row(self, name: str, **settings: Any) -> dict[str, Any]:
        chosen = {"protocol": "pats", "detector": ("theatre_detector",), "pose": ("theatre_pose",), **settings}
        stage = Subjects(source=str(self.folder), **chosen)
        nets = {name: self.nets / f"{name}.onnx" for name in ("theatre_detector", "theatre_pose")}
        worker = stage.worker(Context(self.folder, models=AssetModels(**nets)))  # type: ignore[arg-type]
        [row] = worker.process(Unit(name, {}))
        return row


@pytest.fixture
def puppets(tmp_path: Path, nets: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.setattr("stages.evaluate.annotation.check_footage", lambda *_: None)
    folder = tmp_path / "PATS, a copy"
    folder.mkdir()
    return Files(folder, nets)


def test_a_file_is_annotated_in_the_square_of_its_set(puppets: Files) -> None:
    scene = played("ada")
    wide = np.pad(scene.pictures[:24], ((0, 0), (0, 0), (128, 128), (0, 0)))  # 768 x 512: laid whole into 256
    write_film(puppets.folder / "jon/jon#7.mp4", wide)
    write_wav(puppets.folder / "jon#7.wav", scene.wave)
    row = puppets.row("jon/jon#7.mp4")
    assert (row["speaker"], row["frames"], row["side"]) == ("jon", 24, 256)
    scale = 256 / 768
    true = (scene.keypoints[:24] + 128.5) * scale - 0.5
    found = row["keypoints"].reshape(24, 133, 2)
    both = np.isfinite(found).all(-1) & np.isfinite(true).all(-1)
    assert both[:, :11].mean() > 0.7 and np.median(np.linalg.norm(found - true, axis=-1)[both]) < 2
    [picture] = squares(Path(row["film"]), 1, 256)
    assert picture.shape == (256, 256, 3) and picture[:42].max() < 30 < picture[60:200].max()
    assert row["audio"] is not None, "the sound file of its name"


def test_nobody_there_no_video_and_no_sound(puppets: Files) -> None:
    write_film(puppets.folder / "jon#1.mp4", np.full((20, 64, 64, 3), 120, np.uint8))
    (puppets.folder / "jon#2.mp4").write_text("no video")
    write_film(puppets.folder / "jon#3.mp4", played("ada").pictures[:12])
    for name, reason in (("jon#1.mp4", Reason.NO_PERSON), ("jon#2.mp4", Reason.NOT_MEDIA)):
        with pytest.raises(Reject) as caught:
            puppets.row(name)
        assert caught.value.reason is reason
    assert puppets.row("jon#3.mp4")["audio"] is None


def write_frames(folder: Path, pictures: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures):
        assert cv2.imwrite(str(folder / f"{number:07}.png"), picture[..., ::-1])
    return folder


def small(count: int = 24) -> np.ndarray:
    return np.stack([letterboxed(picture, 256) for picture in played("ada").pictures[:count]])


def test_a_folder_of_frames_is_as_good_as_its_video(puppets: Files) -> None:
    """As S2G-MDDiffusion leaves PATS: pictures in `img/test`, sound in `audio`."""
    write_frames(puppets.folder / "data/img/test/jon#7", small())
    (puppets.folder / "data/audio").mkdir()
    write_wav(puppets.folder / "data/audio/jon#7.wav", played("ada").wave)
    row = puppets.row("data/img/test/jon#7")
    assert (row["speaker"], row["frames"], row["fps"], row["side"]) == ("jon", 24, 25.0, 256)
    assert row["video_id"] == f"file:{row['film_sha256'][:16]}" and row["audio"] is not None
    true = (played("ada").keypoints[:24] + 0.5) / 2 - 0.5
    found = row["keypoints"].reshape(24, 133, 2)
    both = np.isfinite(found).all(-1) & np.isfinite(true).all(-1)
    assert both[:, :11].mean() > 0.7 and np.median(np.linalg.norm(found - true, axis=-1)[both]) < 1
    for picture, one in zip(squares(Path(row["film"]), 24, 256, row["fps"]), small(), strict=True):
        np.testing.assert_array_equal(picture, one)


def test_frames_of_another_rate_and_their_sound(puppets: Files) -> None:
    write_frames(puppets.folder / "jon#7", small())
    write_wav(puppets.folder / "jon#7.wav", played("ada").wave[: 12 * 640])  # 24 frames in 0.48 s: 50 a second
    row = puppets.row("jon#7", frames_fps=50)
    assert (row["frames"], row["fps"]) == (12, 50)
    for picture, one in zip(squares(Path(row["film"]), 12, 256, 50), small()[::2], strict=True):
        np.testing.assert_array_equal(picture, one)
    with pytest.raises(Reject, match=r"0\.96 s at 25 fps, its sound 0\.48 s: 50 frames a second would fit") as caught:
        puppets.row("jon#7")
    assert caught.value.reason is Reason.LATE_SOUND


def test_silent_videos_of_ted_talks_have_the_rate_of_their_talk(puppets: Files) -> None:
    """`load_videos.py` writes every frame of a 25-fps talk into a video that says 10."""
    path = puppets.folder / "VM6HZqQKhok#016609#016633.mp4"
    numbered = np.stack([np.full((64, 64, 3), 10 * number, np.uint8) for number in range(24)])
    write_video(path, iter(numbered), None, size=(64, 64), fps=10)
    assert probe(path).grid_frames == 60
    for fps, shown in ((25, range(24)), (50, range(0, 24, 2)), (12.5, [n // 2 for n in range(48)])):
        made = [int(picture.mean() / 10 + 0.5) for picture in squares(path, len(shown), 64, fps)]
        assert made == list(shown), fps
    write_video(path, iter(small()), None, size=(256, 256), fps=10)
    assert puppets.row(path.name, protocol="ted")["frames"] == 24
    assert (row := puppets.row(path.name, protocol="ted", frames_fps=50))["frames"] == 12 and row["fps"] == 50
    assert puppets.row(path.name)["frames"] == 60, "PATS's videos say what they are"


def test_sound_that_is_none(puppets: Files) -> None:
    write_frames(puppets.folder / "jon#7", small(4))
    (puppets.folder / "jon#7.mp3").write_text("no sound")
    with pytest.raises(Reject, match=r"its sound, jon#7\.mp3"):
        puppets.row("jon#7")


def test_what_leads_out_of_the_folder(puppets: Files) -> None:
    outside = write_film(puppets.folder.parent / "private.mp4", small(4))
    (puppets.folder / "jon#1.mp4").symlink_to(outside)
    write_frames(puppets.folder / "jon#2", small(4))
    (puppets.folder / "jon#2.wav").symlink_to(outside)
    write_frames(puppets.folder / "jon#3", small(4))
    (puppets.folder / "jon#3/0000002.png").unlink()
    (puppets.folder / "jon#3/0000002.png").symlink_to("../jon#2/0000002.png")
    for name in ("jon#1.mp4", "jon#2", "jon#3"):
        with pytest.raises(Reject) as caught:
            puppets.row(name)
        assert caught.value.reason is Reason.BAD_LINK, name


def test_a_clip_without_end(puppets: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.evaluate.subjects.of_files.MAX_FRAMES", 3)
    write_frames(puppets.folder / "jon#1", small(4))
    with pytest.raises(Reject) as caught:
        puppets.row("jon#1")
    assert caught.value.reason is Reason.TOO_LONG


def test_nets_of_puppets_refuse_people(nets: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongFootage, match=r"annotate\.detector"):
        Files(tmp_path, nets).row("jon#1.mp4")


@pytest.mark.slow
def test_a_real_clip_and_small_nets(tmp_path: Path) -> None:
    clip = asset("clips/csgpage_demo1.mp4")
    write_film(tmp_path / "VM6HZqQKhok#000000#000024.mp4", list(squares(clip, 24, 384)))
    stage = Subjects(protocol="ted", detector=("yolox_nano",), pose=("lite133",), source=str(tmp_path))
    worker = stage.worker(Context(tmp_path, models=AssetModels()))  # type: ignore[arg-type]
    [row] = worker.process(Unit(next(iter(stage.sources())), {}))
    points, scores = row["keypoints"].reshape(24, 133, 2), row["scores"]
    assert (row["side"], row["speaker"], row["frames"]) == (384, "VM6HZqQKhok", 24)
    shoulders = points[:, 5:7][scores[:, 5:7] > 0.3]
    assert len(shoulders) > 24 and (shoulders > 0).all() and (shoulders < 384).all()


def test_letterboxed() -> None:
    tall = np.full((300, 100, 3), 200, np.uint8)
    square = letterboxed(tall, 150)
    assert square.shape == (150, 150, 3) and square[:, 75].min() == 200 and square[:, :49].max() == 0
    assert letterboxed(square, 150) is square


@pytest.mark.parametrize(
    ("width", "height", "side"), [(301, 200, 256), (200, 333, 384), (1280, 720, 256), (64, 64, 256)]
)
def test_points_stay_on_what_they_mark(width: int, height: int, side: int) -> None:
    """A white square's middle, in pictures of sides that do not divide."""
    picture = np.zeros((height, width, 3), np.uint8)
    x, y, half = width // 3, height // 2, width // 8
    picture[y - half : y + half + 1, x - half : x + half + 1] = 255
    weight = letterboxed(picture, side)[..., 0].astype(float)
    rows, columns = np.mgrid[:side, :side]
    middle = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
    assert np.abs(onto_square(np.array([x, y], np.float32), width, height, side) - middle).max() < 0.05
