"""Copies of PATS and TED-talks as public scripts leave them: which clips they hold, whose, and with which sound."""

import json
import os
from pathlib import Path

import pytest

from stages.evaluate.collection import Collection, speaker_of


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
    assert Collection(tmp_path, "pats").clips() == [
        "raw_data/seth/Xb1Wq4NA290.mp4",
        *("trim_data/chem/chemistry#71087.mp4", "trim_data/jon/jon#1.mp4", "trim_data/oliver/oliver#88888.mp4"),
    ]
    (tmp_path / "filtered_intervals.json").write_text(json.dumps({"train": [88888], "test": [71087, 1, 9]}))
    assert Collection(tmp_path, "pats").clips() == ["trim_data/chem/chemistry#71087.mp4", "trim_data/jon/jon#1.mp4"]
    touch(tmp_path, "data/img/train/jon#1.mp4", "data/img/test/jon#9.mp4")
    assert Collection(tmp_path, "pats").clips() == ["data/img/test/jon#9.mp4"]


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
        ("data/img/test/chemistry#99999", "chemistry"),
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
        ("tpsm_test/images/VM6HZqQKhok#016609#016737", "VM6HZqQKhok"),
        ("a talk.mp4", "a talk"),
        ("v1.2 of a talk", "v1.2 of a talk"),
    ],
)
def test_speakers_of_ted_talks(name: str, speaker: str) -> None:
    assert speaker_of(name, "ted") == speaker


def test_ted_talks_of_the_test_folder(tmp_path: Path) -> None:
    touch(tmp_path, "TED384-v2/train/VM6HZqQKhok#016609#016737.mp4", "TED384-v2/test/4E_1AB1rsSw#014854#015029.mp4")
    assert Collection(tmp_path, "ted").clips() == ["TED384-v2/test/4E_1AB1rsSw#014854#015029.mp4"]
    (tmp_path / "broken.mp4").symlink_to(tmp_path / "nowhere")
    assert Collection(tmp_path / "TED384-v2/train", "ted").clips() == ["VM6HZqQKhok#016609#016737.mp4"]


def test_frames_as_the_scripts_leave_them(tmp_path: Path) -> None:
    """S2G-MDDiffusion's `data`, `load_videos.py --format .png`, and DiffTED's `dataset`; each with its sound, if any."""
    s2g, tps, difted = (tmp_path / name for name in ("s2g", "tps", "difted"))
    touch(s2g, *frames("data/img/train/jon#1"), *frames("data/img/test/jon#9"), *frames("data/img/test/conan#3"))
    touch(s2g, "data/audio/jon#1.wav", "data/audio/jon#9.wav", "trim_data/jon/jon#9.mp4")
    found = Collection(s2g, "pats")
    assert found.clips() == ["data/img/test/jon#9"]
    assert found.sound("data/img/test/jon#9") == s2g / "data/audio/jon#9.wav"
    (s2g / "filtered_intervals.json").write_text(json.dumps({"train": [1], "test": [8]}))
    assert Collection(s2g, "pats").clips() == []

    talk = "VM6HZqQKhok#016609#016737"
    touch(tps, *frames(f"train/{talk}.mp4"), *frames("test/4E_1AB1rsSw#014854#015029.mp4"))
    assert Collection(tps, "ted").clips() == ["test/4E_1AB1rsSw#014854#015029.mp4"]
    assert Collection(tps, "ted").sound(f"train/{talk}.mp4") is None

    touch(
        difted,
        f"video/{talk}.mp4",
        f"audio/{talk}.mp3",
        f"tpsm_test/audio/{talk}.mp3",
        f"tpsm_test/keypoints/{talk}.pt",
    )
    touch(difted, *frames(f"tpsm_test/images/{talk}", digits=4))
    found = Collection(difted, "ted")
    assert found.clips() == [f"tpsm_test/images/{talk}"]
    assert found.sound(found.clips()[0]) == difted / f"tpsm_test/audio/{talk}.mp3", "the one that lies nearest"


def frames(folder: str, digits: int = 7, count: int = 3) -> list[str]:
    return [f"{folder}/{number:0{digits}}.png" for number in range(count)]


def test_what_is_no_clip(tmp_path: Path) -> None:
    touch(tmp_path, *frames("here"), *frames(".ipynb_checkpoints"), "poster/one.png", "notes/a.txt", "0.png", "1.png")
    touch(tmp_path / "..elsewhere", *frames("clip"))
    (tmp_path / "linked").symlink_to(tmp_path / "..elsewhere/clip")
    assert Collection(tmp_path, "ted").clips() == ["here"]


def test_sounds_of_clips_of_one_name(tmp_path: Path) -> None:
    touch(tmp_path, "video/jon/1.mp4", "video/seth/1.mp4", "audio/jon/1.wav", "audio/seth/1.wav", "audio/.2.wav")
    touch(tmp_path, "video/v1.2/0.jpg", "video/v1.2/1.JPG", "audio/v1.2.FLAC")
    found = Collection(tmp_path, "pats")
    assert found.clips() == ["video/jon/1.mp4", "video/seth/1.mp4"]
    for who in ("jon", "seth"):
        assert found.sound(f"video/{who}/1.mp4") == tmp_path / f"audio/{who}/1.wav"
    assert found.sound("video/v1.2") == tmp_path / "audio/v1.2.FLAC" and found.sound("2.mp4") is None


@pytest.mark.parametrize("changed", ["a/0000001.png", "a.wav"])
def test_a_state_is_of_one_clip_and_all_its_files(changed: str, tmp_path: Path) -> None:
    touch(tmp_path, *frames("a"), *frames("b"), "a.wav", "c.mp4", "a/notes.txt")
    before = states(tmp_path)
    (tmp_path / "a/notes.txt").write_text("a comment")
    (tmp_path / "a/9.png").symlink_to("nowhere")
    assert states(tmp_path) == before
    os.utime(tmp_path / changed, ns=(1, 1))
    after = states(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"a"}
    touch(tmp_path, "d.mp4", "c.wav", "a/0000003.png")
    later = states(tmp_path)
    assert {name for name in after if after[name] != later[name]} == {"a", "c.mp4"}


def states(folder: Path) -> dict[str, str]:
    found = Collection(folder, "ted")
    return {name: found.state(name) for name in found.clips()}
