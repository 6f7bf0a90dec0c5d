"""Where a test set comes from: shards with and without their films, and the files of PATS and TED-talks under their own names."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.media.audio import write_wav
from pipeline.nets.footage import WrongFootage
from pipeline.reasons import Failure, Reason, Reject
from pipeline.stage import Context, Unit
from stages.evaluate.cast import letterboxed, onto_square, squares, whole_body_frame
from stages.evaluate.subjects import Subjects, films, sounds, speaker_of
from tests.stages.stage_assets import AssetModels, asset

from .studio import FRAMES, SIDE, played, row_of, subject, write_film, write_shards


def of_clip(run: Path, name: str, **settings: Any) -> dict[str, Any]:
    stage = Subjects(source=str(run / "shards"), base=str(run), **settings)
    stage.setup(Context(run))
    [row] = stage.process(Unit(name, {}))
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


def test_the_reference_is_the_first_frame_with_the_whole_upper_body() -> None:
    scores = np.zeros((5, 133), np.float32)
    assert whole_body_frame(scores) == 0
    scores[2:, :13] = 0.9
    scores[:, 0] = 0.9
    assert whole_body_frame(scores) == 2


# Files


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_pats_as_its_scripts_leave_it(tmp_path: Path) -> None:
    """`prepare_data.sh` of S2G-MDDiffusion: `trim_data/<speaker>/<speaker>#<interval>.mp4`, `data/img/{train,test}`."""
    touch(
        tmp_path, "trim_data/chem/chemistry#71087.mp4", "trim_data/oliver/oliver#88888.mp4", "trim_data/jon/jon#1.mp4"
    )
    touch(tmp_path, "trim_data/conan/conan#5.mp4", "raw_data/seth/Xb1Wq4NA290.mp4", "notes.txt", "trim_data/.jon#3.mp4")
    assert films(tmp_path, "pats") == [
        "raw_data/seth/Xb1Wq4NA290.mp4",
        *("trim_data/chem/chemistry#71087.mp4", "trim_data/jon/jon#1.mp4", "trim_data/oliver/oliver#88888.mp4"),
    ]
    (tmp_path / "filtered_intervals.json").write_text(json.dumps({"train": [88888], "test": [71087, 1, 9]}))
    assert films(tmp_path, "pats") == ["trim_data/chem/chemistry#71087.mp4", "trim_data/jon/jon#1.mp4"]
    touch(tmp_path, "data/img/train/jon#1.mp4", "data/img/test/jon#9.mp4")
    assert films(tmp_path, "pats") == ["data/img/test/jon#9.mp4"]


@pytest.mark.parametrize(
    ("name", "speaker"),
    [
        ("chemistry#99999.mp4", "chemistry"),
        ("chem/aB3_x.mp4", "chemistry"),
        ("Kubinec/lecture 1.mp4", "chemistry"),
        ("oliver#88888.mp4", "oliver"),
        ("jon_12.mp4", "jon"),
        ("test/seth#7.mp4", "seth"),
        ("jonathan#7.mp4", "jonathan#7.mp4"),
        ("oliver/jon#3.mp4", "jon"),
    ],
)
def test_speakers_of_pats(name: str, speaker: str) -> None:
    assert speaker_of(name, "pats") == speaker


@pytest.mark.parametrize(
    ("name", "speaker"),
    [
        ("VM6HZqQKhok#016609#016737.mp4", "VM6HZqQKhok"),
        ("test/-nKdufEaL8k#007202#007434.mp4", "-nKdufEaL8k"),
        ("016737#016609#VM6HZqQKhok#000000#000000.mp4", "VM6HZqQKhok"),
        ("a talk.mp4", "a talk"),
    ],
)
def test_speakers_of_ted_talks(name: str, speaker: str) -> None:
    assert speaker_of(name, "ted") == speaker


def test_ted_talks_of_the_test_folder(tmp_path: Path) -> None:
    touch(tmp_path, "TED384-v2/train/VM6HZqQKhok#016609#016737.mp4", "TED384-v2/test/4E_1AB1rsSw#014854#015029.mp4")
    assert films(tmp_path, "ted") == ["TED384-v2/test/4E_1AB1rsSw#014854#015029.mp4"]
    (tmp_path / "broken.mp4").symlink_to(tmp_path / "nowhere")
    assert films(tmp_path / "TED384-v2/train", "ted") == ["VM6HZqQKhok#016609#016737.mp4"]


class Files:
    """A folder of films that are annotated by the theatre's nets."""

    def __init__(self, folder: Path, nets: Path) -> None:
        self.folder, self.nets = folder, nets

    def row(self, name: str) -> dict[str, Any]:
        stage = Subjects(
            protocol="pats", detector=("theatre_detector",), pose=("theatre_pose",), source=str(self.folder)
        )
        nets = {name: self.nets / f"{name}.onnx" for name in ("theatre_detector", "theatre_pose")}
        stage.setup(Context(self.folder, models=AssetModels(**nets)))  # type: ignore[arg-type]
        [row] = stage.process(Unit(name, {}))
        return row


@pytest.fixture
def puppets(tmp_path: Path, nets: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.setattr("pipeline.nets.footage.check_footage", lambda *_: None)
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


def test_nets_of_puppets_refuse_people(nets: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongFootage, match=r"annotate\.detector"):
        Files(tmp_path, nets).row("jon#1.mp4")


def test_sounds_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "audio/jon#7.wav", "b/seth 1.FLAC", "b/.jon#9.wav")
    assert set(sounds(tmp_path)) == {"jon#7", "seth 1"}


def test_a_real_clip_and_small_nets(tmp_path: Path) -> None:
    clip = asset("clips/csgpage_demo1.mp4")
    write_film(tmp_path / "VM6HZqQKhok#000000#000024.mp4", list(squares(clip, 24, 384)))
    stage = Subjects(protocol="ted", detector=("yolox_nano",), pose=("lite133",), source=str(tmp_path))
    stage.setup(Context(tmp_path, models=AssetModels()))  # type: ignore[arg-type]
    [row] = stage.process(Unit(stage.sources()[0], {}))
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
