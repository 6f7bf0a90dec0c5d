"""The whole evaluation: what is done stays done, a change does only what depends on it, and every hole has a reason."""

import csv
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.base.errors import BadUse, StageError
from pipeline.cli.faults import Fault, errors_in_a_line
from pipeline.media.audio import write_wav
from pipeline.model.generation.inputs import BadInput
from pipeline.registry.models import Entry
from pipeline.tables.store import Store
from pipeline.theatre import planted
from stages.evaluate import Evaluate
from stages.evaluate.cast import Cast, letterboxed
from stages.evaluate.pairs import unpaired
from stages.evaluate.scores import Scores
from tests.pipeline.backends import fakes
from tests.stages.evaluate.studio import FRAMES, Studio, played, row_of, subject, video_id, write_film, write_shards
from tests.stages.imported import imported, listening

ROOT = Path(__file__).parents[3]
WHO = {subject(0): "ada", subject(1): "ben", subject(2): "cai"}
MET = unpaired(WHO, 405)
METHODS = "| the true", "| transfer", "| ours", "| mine"


def measured(lines: list[str]) -> list[str]:
    """The table's own rows, reasons without their numbers."""
    return [re.sub(r"\[\d+\]", "", line) for line in lines if line.startswith(METHODS)]


def number_of(clip: str) -> int:
    return int(clip.partition("/")[0].removeprefix("file:"), 16)


class Mine:
    """Another system: it copies true films, each pair's under the name that pairs.csv asks for."""

    def __init__(self, studio: Studio, folder: Path) -> None:
        self.studio, self.folder = studio, folder
        for setting in ("paired", "unpaired"):
            (folder / setting).mkdir(parents=True)
        studio.evaluate(method="folder", folder=str(folder), inputs_only=True)
        with (studio.place() / "inputs/pairs.csv").open() as file:
            self.pairs = list(csv.DictReader(file))

    def film(self, setting: str, of: Callable[[dict[str, str]], str]) -> list[Path]:
        """Leave the true film of `of(pair)` for each pair of the setting."""
        found = []
        for pair in self.pairs:
            if pair["setting"] == setting:
                found.append(self.folder / pair["video"])
                shutil.copy(self.studio.run / f"clips/{number_of(of(pair))}.mp4", found[-1])
        return found

    def evaluate(self, **settings: Any) -> list[str]:
        return self.studio.evaluate(method="folder", folder=str(self.folder), **settings)


@pytest.fixture
def mine(studio: Studio, tmp_path: Path) -> Mine:
    return Mine(studio, tmp_path / "mine")


# What it does, and does not do again


@pytest.mark.slow
def test_results_of_older_versions_are_asked_about(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    studio.evaluate(method="transfer")
    before = studio.table()
    monkeypatch.setattr(Scores, "version", 3)

    def attempts() -> set[int]:
        folders = ("true-drawn", "transfer-skeleton")
        return {n for folder in folders for n in studio.attempts(folder, "scores").values()}

    def run(**answer: bool) -> None:
        Evaluate(inception=(), i3d=(), method="transfer").run(studio.session(), **answer)

    with pytest.raises(StageError) as told:
        run()
    for of in ("true-drawn version 2 -> 3: 3 finished units", "transfer-skeleton version 2 -> 3: 6 finished units"):
        assert f"scores of {of} would be done again" in str(told.value)
    assert "--redo does it again, --keep leaves it as it is" in str(told.value)
    assert attempts() == {1} and studio.table() == before, "it stops before anything starts"
    with pytest.raises(BadUse, match="not both"):
        run(redo=True, keep=True)
    run(keep=True)
    run()
    assert attempts() == {1}, "what is kept is not asked about again"
    run(redo=True)
    assert attempts() == {2} and studio.table() == before
    run()
    assert attempts() == {2}


def test_transfer_is_the_true_motion_and_is_done_once(studio: Studio) -> None:
    lines = studio.evaluate(method="transfer")
    scores = studio.rows("transfer-skeleton")
    for name in WHO:
        row = scores[f"paired/{name}/{name}"]
        assert row["ssim"] > 0.99 and row["psnr_db"] > 30 and row["keypoint_error_px"] < 0.01
    assert {row["setting"] for row in scores.values()} == {"paired", "unpaired"} and len(scores) == 6
    true = studio.rows("true-drawn")
    for pair in MET:
        assert scores[pair.id]["mouth_correlation"] == pytest.approx(
            true[f"real/{pair.voice}/{pair.voice}"]["mouth_correlation"], abs=0.05
        ), "the voice's own motion"
    films = {path: path.stat().st_mtime_ns for path in studio.place().glob("*/videos/*/*.mp4")}
    assert len(films) == 9

    assert studio.evaluate(method="transfer", seed=7, guidance=2.0, sampler="ddim") == lines
    assert {path: path.stat().st_mtime_ns for path in studio.place().glob("*/videos/*/*.mp4")} == films
    for folder in ("transfer-skeleton", "true-drawn"):
        for kind in ("pairs", "renditions", "scores"):
            assert set(studio.attempts(folder, kind).values()) == {1}, (folder, kind)
    assert not list(studio.place().glob("*/work/*"))


def test_another_list_does_only_its_new_pairs(studio: Studio) -> None:
    studio.evaluate(method="transfer", settings=("unpaired",))
    seed = next(seed for seed in range(50) if set(unpaired(WHO, seed)) != set(MET))
    before, other = {pair.id for pair in MET}, {pair.id for pair in unpaired(WHO, seed)}
    studio.evaluate(method="transfer", pairs_seed=seed, settings=("unpaired",))
    scores = studio.rows("transfer-skeleton")
    assert {name for name, row in scores.items() if row["setting"] == "unpaired"} == other
    assert set(studio.attempts("transfer-skeleton", "renditions").values()) == {1}
    assert set(studio.attempts("true-drawn", "renditions").values()) == {1}
    films = list((studio.place() / "transfer-skeleton/videos/unpaired").glob("*.mp4"))
    assert len(films) == len(other), "films of pairs that are no more are gone"
    listed = studio.run / "list.txt"
    listed.write_text(f"{subject(0)} {subject(1)}\n{subject(2)}\n")
    lines = studio.evaluate(method="transfer", pairs=str(listed))
    assert set(studio.rows("transfer-skeleton")) == {
        f"unpaired/{subject(1)}/{subject(0)}",
        f"paired/{subject(2)}/{subject(2)}",
    }
    assert any(line.startswith("| transfer (skeleton) | 1 + 1 |") for line in lines)
    assert before != other


def test_another_fit_or_film_size_films_again(studio: Studio) -> None:
    studio.evaluate(method="transfer", settings=("unpaired",))
    studio.evaluate(method="transfer", settings=("unpaired",), fit=False)
    assert set(studio.attempts("transfer-skeleton", "renditions").values()) == {2}
    assert set(studio.attempts("true-drawn", "renditions").values()) == {1}
    assert len(list((studio.place() / "transfer-skeleton/videos/unpaired").glob("*.mp4"))) == 3


@pytest.mark.slow
def test_methods_stand_side_by_side(mine: Mine) -> None:
    studio = mine.studio
    mine.film("unpaired", lambda pair: pair["voice"])
    first = mine.evaluate(settings=("unpaired",))
    assert [line.split("|")[1].strip() for line in measured(first)[:2]] == ["the true videos", "mine"]
    both = studio.evaluate(method="transfer", settings=("unpaired",))
    assert set(measured(first)) < set(measured(both)), "the other method's rows are as they were"
    labelled = mine.evaluate(settings=("unpaired",), label="mine again (v2)")
    assert len(measured(labelled)) == len(measured(both)) + 2
    rows = list(csv.DictReader((studio.place() / "table2.csv").open()))
    assert [row["source"] for row in rows[:5]] == ["true", "true", "measured", "measured", "measured"]
    assert {row["source"] for row in rows[5:]} == {"paper"} and len(rows) == 14


@pytest.mark.slow
def test_true_films_as_anothers(mine: Mine) -> None:
    """Paired: identical. Unpaired with the voice's own film: lips as true, somebody else's face."""
    mine.film("paired", lambda pair: pair["reference"])
    mine.film("unpaired", lambda pair: pair["voice"])
    lines = mine.evaluate(settings=("paired", "unpaired"))
    scores, true = mine.studio.rows("folder-mine"), mine.studio.rows("true")
    for name in WHO:
        assert scores[f"paired/{name}/{name}"]["psnr_db"] == np.inf
        assert true[f"real/{name}/{name}"]["csim"] > 0.97
    for pair in MET:
        own, best = scores[pair.id], true[f"real/{pair.voice}/{pair.voice}"]
        assert own["csim"] < best["csim"] - 0.1
        assert own["sync_c"] == pytest.approx(best["sync_c"], abs=1.0)
    assert any(line.startswith("| mine | 3 + 3 | 1.000 | inf |") for line in lines)


@pytest.mark.slow
def test_distances_of_identical_sets_are_nothing(mine: Mine, tmp_path: Path) -> None:
    feature_nets = pytest.importorskip("tests.pipeline.metrics.feature_nets", reason="needs torch")
    session = mine.studio.session()
    for name, shape, width in (("inception", (299, 299), 2048), ("i3d", ("T", 224, 224), 400)):
        path = mine.studio.nets / f"{name}.onnx"
        feature_nets.as_onnx(path, ("N", 3, *shape), width)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        session.models.entries[name] = Entry(purpose=name, file=path.name, licence="", sha256=digest)
    mine.film("unpaired", lambda pair: pair["voice"])
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{pair.voice} {pair.reference}\n" for pair in MET))
    nets = {"inception": ("inception",), "i3d": ("i3d",), "pairs": str(listed)}
    lines = mine.evaluate(session=session, **nets)
    [row] = [row for row in csv.DictReader((mine.studio.place() / "table2.csv").open()) if row["method"] == "mine"]
    assert float(row["fid"]) < 1e-3 and float(row["fvd"]) < 1e-3 and row["ssim"] == ""
    assert any(f"FID: {3 * FRAMES} samples for 2048 dimensions" in line for line in lines)


# Other systems' videos


@pytest.mark.slow
def test_videos_of_other_systems_in_every_state(mine: Mine, tmp_path: Path) -> None:
    paired = mine.film("paired", lambda pair: pair["reference"])
    first, second, third = mine.film("unpaired", lambda pair: pair["reference"])
    paired[0].unlink()
    paired[1].write_text("this is no video")
    pictures = played("ada").pictures
    elsewhere = write_film(tmp_path / "some where/film é #1.mp4", [cv2.resize(p, (256, 256)) for p in pictures])
    paired[2].unlink()
    paired[2].symlink_to(elsewhere)
    write_film(first, np.concatenate([pictures, pictures[::-1]]))
    second.write_bytes(second.read_bytes()[:2000])
    third.write_bytes(b"")
    lines = mine.evaluate(label="mine")
    outcomes = mine.studio.outcomes("folder-mine", "renditions")
    reasons = sorted(row["reason"] for row in outcomes.values() if row["status"] != "ok")
    assert reasons[0] in ("corrupt", "empty_file") and "not_media" in reasons and "not_there" in reasons
    rows = mine.studio.rows("folder-mine")
    [linked] = [row for row in rows.values() if row["setting"] == "paired"]
    [long] = [row for name, row in rows.items() if name.startswith("unpaired")]
    assert linked["compared_frames"] == FRAMES
    assert long["csim_frames"] <= FRAMES
    assert any(line.startswith("| mine | 1/3 + 1/3 |") for line in lines)
    assert sum(line.startswith("- mine: 1 of renditions:") for line in lines) >= 3

    shutil.copy(mine.studio.run / "clips/0.mp4", paired[0])
    again = mine.evaluate(label="mine")
    assert any(line.startswith("| mine | 2/3 + 1/3 |") for line in again)
    assert mine.studio.attempts("folder-mine", "scores")[next(iter(n for n in rows if n.startswith("paired")))] == 1


@pytest.mark.slow
def test_folders_of_one_name_take_no_turns_in_the_table(mine: Mine, tmp_path: Path) -> None:
    mine.film("paired", lambda pair: pair["reference"])
    first = mine.evaluate(settings=("paired",))
    other = tmp_path / "theirs/mine"
    shutil.copytree(mine.folder, other)
    shutil.copy(other / mine.pairs[0]["video"], other / mine.pairs[1]["video"])
    with pytest.raises(BadInput, match=rf"called 'mine' are those of {re.escape(str(mine.folder))}.*--label"):
        mine.studio.evaluate(method="folder", folder=str(other), settings=("paired",))
    assert mine.evaluate(settings=("paired",)) == first, "the same folder again"
    both = mine.studio.evaluate(method="folder", folder=str(other), settings=("paired",), label="mine 2")
    assert set(measured(first)) < set(measured(both))
    moved = mine.studio.evaluate(method="folder", folder=str(other), settings=("paired",), label="mine")
    assert len(measured(moved)) == len(measured(both)), "a label that is given is meant"


def test_what_other_systems_are_given(mine: Mine) -> None:
    inputs = mine.studio.place() / "inputs"
    assert len(mine.pairs) == 6 and {pair["setting"] for pair in mine.pairs} == {"paired", "unpaired"}
    for pair in mine.pairs:
        assert (inputs / pair["picture"]).is_file() and (inputs / pair["sound"]).is_file()
    one = next(pair for pair in mine.pairs if pair["reference"] == subject(1))
    picture = cv2.imread(str(inputs / one["picture"]))[..., ::-1]
    assert np.abs(picture.astype(int) - played("ben").pictures[0]).mean() < 2
    assert not (mine.studio.place() / "table2.md").exists(), "only inputs were asked for"
    write_film(mine.studio.run / "clips/1.mp4", 255 - played("ben").pictures, played("ben").wave)
    run = mine.studio.run
    write_shards(run, [row_of(run, number, who) for number, who in enumerate(("ada", "ben", "cai"))])
    mine.studio.evaluate(method="folder", folder=str(mine.folder), inputs_only=True)
    changed = cv2.imread(str(inputs / one["picture"]))[..., ::-1]
    assert np.abs(changed.astype(int) + picture - 255).mean() < 8, "the film is another, and so is the picture"


# Test sets that are odd


@pytest.mark.slow
def test_who_opts_out_is_gone(studio: Studio) -> None:
    studio.evaluate(method="transfer")
    (studio.run / "opt_out.txt").write_text(f"{video_id(1)}\n")
    lines = studio.evaluate(method="transfer")
    assert not any(subject(1) in name for name in studio.rows("transfer-skeleton"))
    assert any(line.startswith("| transfer (skeleton) | 2 + 2 |") for line in lines)
    left = [path.name for path in studio.place().rglob("*") if path.suffix in (".mp4", ".png", ".wav")]
    assert len(left) == 2 + 2 + 4 + 2 and not any("0001_0" in name for name in left)


def test_one_clip_alone(studio: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    write_shards(studio.run, [row_of(studio.run, 0, "ada")])
    lines = studio.evaluate(method="transfer")
    assert any(line.startswith("| transfer (skeleton) | 1 + 0 |") for line in lines)
    assert "there are no unpaired pairs" in "\n".join(lines)
    assert "1 of 1 clips meet no other speaker" in capsys.readouterr().err


def test_a_speaker_with_more_than_half(studio: Studio, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row_of(studio.run, n, who, speaker=who) for n, who in enumerate(("ada", "ada", "ada", "ben"))]
    write_shards(studio.run, rows)
    lines = studio.evaluate(method="transfer", settings=("unpaired",))
    assert any(line.startswith("| transfer (skeleton) | 0 + 2 |") for line in lines)
    assert "2 of 4 clips meet no other speaker" in capsys.readouterr().err


def test_a_clip_without_sound_and_one_without_film(studio: Studio) -> None:
    rows = [row_of(studio.run, 0, "ada", audio=None), row_of(studio.run, 1, "ben"), row_of(studio.run, 2, "cai")]
    write_shards(studio.run, [*rows, row_of(studio.run, 3, "ben", video="clips/nowhere.mp4")])
    studio.evaluate(method="transfer")
    assert studio.outcomes("", "subjects")[subject(3)]["reason"] == "source_missing"
    silent = studio.rows("transfer-skeleton")[f"paired/{subject(0)}/{subject(0)}"]
    assert silent["ssim"] > 0.9 and silent["beat_alignment"] is None and "no sound" in silent["absent"]
    assert not list((studio.place() / "inputs/voices").glob("*000000_0*"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"method": "folder"}, "--folder"),
        ({"method": "folder", "folder": "nowhere"}, "nowhere"),
        ({"protocol": "pats"}, "--source"),
        ({"method": "transfer", "pairs": "nowhere.txt"}, "there is no such file"),
        ({"method": "transfer", "source": "nowhere"}, "_index.json"),
        ({"method": "transfer", "split": "train"}, "the test set is empty"),
        ({"method": "ours"}, "make train"),
        (
            {"method": "transfer", "gpus": ("0", "1"), "backend_gpu": "2"},
            "--backend-gpu 2 means nothing: leave one out",
        ),
    ],
)
def test_refused_in_a_line(settings: dict[str, Any], said: str, studio: Studio) -> None:
    with pytest.raises(Fault) as caught, errors_in_a_line():
        studio.evaluate(**settings)
    assert said in caught.value.message and "\n" not in caught.value.message.strip()
    assert issubclass(BadInput, ValueError)


# Ours


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small model with random weights."""
    torch = pytest.importorskip("torch", reason="needs csg405[train]")
    pytest.importorskip("diffusers", reason="needs csg405[train]")
    from pipeline.model.training.cache import open_cache
    from pipeline.model.training.loop import new_model
    from pipeline.model.training.recipe import Recipe

    folder = tmp_path_factory.mktemp("model")
    planted.write(folder / "shards", {"train": range(3)}, 6)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(405)
        made = new_model(
            Recipe(size="tiny", window_frames=40), open_cache(folder / "shards", "train", folder / "cache")
        )
        torch.nn.init.normal_(made.net.final.weight, std=0.02)
        made.save(folder / "model.safetensors")
    yield folder / "model.safetensors"
    torch.set_num_threads(before)


@pytest.mark.slow
def test_ours_beside_transfer_and_another_guidance_does_only_ours(studio: Studio, model: Path) -> None:
    ours = {"method": "ours", "model": str(model), "sampler": "ddim", "sampler_steps": 2, "overlap_frames": 8}
    studio.evaluate(method="transfer", settings=("unpaired",))
    lines = studio.evaluate(**ours)
    rows = measured(lines)
    assert [row.split("|")[1].strip() for row in rows[:3]] == [
        "the true skeletons, drawn",
        "ours (skeleton)",
        "transfer (skeleton)",
    ]
    scores = studio.rows("ours-skeleton")
    assert len(scores) == 6 and all(
        row["keypoint_error_px"] > 1 for row in scores.values() if row["setting"] == "paired"
    )
    studio.evaluate(**ours, guidance=2.0)
    assert set(studio.attempts("ours-skeleton", "renditions").values()) == {2}
    for folder in ("transfer-skeleton", "true-drawn"):
        assert set(studio.attempts(folder, "renditions").values()) == {1}
    paired = {name: row for name, row in studio.rows("ours-skeleton").items() if row["setting"] == "paired"}
    assert any(row["ssim"] != scores[name]["ssim"] for name, row in paired.items()), "by default it is 1"
    again = studio.evaluate(**ours, guidance=2.0, fit=False, window_batch=1)
    assert again != lines and rows[2] in measured(again)
    assert set(studio.attempts("ours-skeleton", "renditions").values()) == {2}, "neither says anything of ours"


@pytest.mark.slow
def test_the_authors_weights_beside_transfer(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="needs csg405[train]")
    heard = listening(monkeypatch)
    given = {"model": str(imported(tmp_path)), "settings": ("paired",), "sampler": "ddim", "sampler_steps": 1}
    lines = studio.evaluate(method="ours", **given)
    assert "ours (skeleton)" in "".join(lines) and set(heard) == {(1, 160_000)} and len(heard) == 3
    scores = studio.rows("ours-skeleton")
    assert len(scores) == 3 and all(row["keypoint_error_px"] > 1 for row in scores.values())


# TED-talks, and names as they are


@pytest.mark.slow
def test_files_with_names_of_all_kinds(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.evaluate.annotation.check_footage", lambda *_: None)
    source = tmp_path / "TED talks"
    names = ["test/VM6HZqQKhok#016609#016737.mp4", "test/über uns.mp4", "train/4E_1AB1rsSw#014854#015029.mp4"]
    for name, who in zip(names, ("ada", "ben", "cai"), strict=True):
        write_film(source / name, played(who).pictures[:20], played(who).wave[: 20 * 640])
    (source / "test/.._.mp4").write_text("no video")
    lines = studio.evaluate(protocol="ted", method="transfer", source=str(source))
    assert any(line.startswith("| transfer (skeleton) | 2 + 2 |") for line in lines)
    assert any("DiffTED" in line for line in lines)
    with (studio.place("ted") / "inputs/pairs.csv").open(encoding="utf-8") as file:
        pairs = list(csv.DictReader(file))
    assert {pair["reference"] for pair in pairs} == set(names[:2])
    picture = cv2.imread(str(studio.place("ted") / "inputs" / pairs[0]["picture"]))
    assert picture.shape == (384, 384, 3)


class Talks:
    """A folder of TED-talks as folders of frames, with their sound beside, and evaluations of them."""

    def __init__(self, studio: Studio, folder: Path) -> None:
        self.studio, self.folder = studio, folder

    def add(self, name: str, who: str, margin: int = 0, frames: int = 20) -> Path:
        talk = self.folder / "tpsm_test/images" / name
        talk.mkdir(parents=True)
        for number, picture in enumerate(played(who).pictures[:frames]):
            wide = np.pad(cv2.resize(picture, (384, 384)), ((0, 0), (margin, margin), (0, 0)))
            assert cv2.imwrite(str(talk / f"{number:04}.png"), wide[..., ::-1])
        sound = self.folder / "tpsm_test/audio" / f"{name}.wav"
        sound.parent.mkdir(exist_ok=True)
        write_wav(sound, played(who).wave[: frames * 640])
        return talk

    def evaluate(self, **settings: Any) -> list[str]:
        return self.studio.evaluate(protocol="ted", method="transfer", source=str(self.folder), **settings)

    def attempts(self, folder: str, kind: str) -> dict[str, int]:
        rows = Store(self.studio.place("ted") / folder).outcomes(kind).to_pylist()
        return {row["unit"].rpartition("images/")[2][:11]: row["attempt"] for row in rows if row["status"] == "ok"}


@pytest.fixture
def talks(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Talks:
    monkeypatch.setattr("stages.evaluate.annotation.check_footage", lambda *_: None)
    made = Talks(studio, tmp_path / "TED")
    made.add("VM6HZqQKhok#016609#016629", "ada")
    made.add("4E_1AB1rsSw#014854#014874", "ben")
    return made


@pytest.mark.slow
def test_what_is_new_in_a_folder_is_annotated_and_nothing_else(
    talks: Talks, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = talks.evaluate(settings=("paired",))
    assert any(line.startswith("| transfer (skeleton) | 2 + 0 |") for line in lines)
    talks.add("B43f89Y9f-A#013336#013356", "cai")
    (talks.add("esD6aaIjhek#008846#008866", "cai") / "0003.png").unlink()
    assert any("| 3 + 0 |" in line for line in talks.evaluate(settings=("paired",)))
    assert talks.attempts("", "subjects") == {"VM6HZqQKhok": 1, "4E_1AB1rsSw": 1, "B43f89Y9f-A": 1}
    assert "1 of subjects: corrupt (frame 3 is missing: after 0002.png comes 0004.png)" in capsys.readouterr().err

    (talks.folder / "tpsm_test/audio/VM6HZqQKhok#016609#016629.wav").unlink()
    talks.evaluate(settings=("paired",))
    assert talks.attempts("", "subjects") == {"VM6HZqQKhok": 2, "4E_1AB1rsSw": 1, "B43f89Y9f-A": 1}
    assert set(talks.attempts("transfer-skeleton", "renditions").values()) == {1, 2}
    assert "1 of 4 clips have no sound" in capsys.readouterr().err

    shutil.rmtree(talks.folder / "tpsm_test/images/4E_1AB1rsSw#014854#014874")
    assert any("| 2 + 0 |" in line for line in talks.evaluate(settings=("paired",)))
    assert set(talks.attempts("transfer-skeleton", "scores")) >= {"VM6HZqQKhok", "B43f89Y9f-A"}


def test_true_frames_are_scored_as_they_are(talks: Talks, monkeypatch: pytest.MonkeyPatch) -> None:
    """At their own rate, and whole in the middle of the square: a wide picture is not squeezed into it."""
    wide = talks.add("B43f89Y9f-A#013336#013356", "cai", margin=96)
    for sound in (talks.folder / "tpsm_test/audio").iterdir():
        write_wav(sound, played("cai").wave[: 10 * 640])  # 20 frames in 0.4 s: 50 a second
    scored: list[list[np.ndarray]] = []
    monkeypatch.setattr(
        "stages.evaluate.scores.worker.csim", lambda net, whose, pictures, *_: scored.append([*pictures])
    )
    (mine := talks.folder.parent / "mine").mkdir()
    options = {"protocol": "ted", "source": str(talks.folder), "method": "folder", "folder": str(mine)}
    talks.studio.evaluate(**options, frames_fps=50)
    cast = Cast(Store(talks.studio.place("ted")), talks.studio.run)
    true = [*cast[wide.relative_to(talks.folder).as_posix()].pictures()]
    assert len(scored) == 3 and any(np.array_equal(true, pictures) for pictures in scored)
    first, third = (cv2.imread(str(wide / f"{number:04}.png"))[..., ::-1] for number in (0, 2))
    np.testing.assert_array_equal(true[:2], [letterboxed(first, 384), letterboxed(third, 384)])


def test_the_demos_nets_refuse_other_footage(studio: Studio, tmp_path: Path) -> None:
    write_film(tmp_path / "ted/VM6HZqQKhok#1#2.mp4", played("ada").pictures[:10])
    with pytest.raises(Fault) as caught, errors_in_a_line():
        studio.evaluate(protocol="ted", method="transfer", source=str(tmp_path / "ted"))
    assert "theatre footage" in caught.value.message


# Kills

DRIVER = """
import pipeline.engine.commits
pipeline.engine.commits.COMMIT_SECONDS = 0
from pipeline.cli.main import stage_main
stage_main("evaluate")
"""


def command(studio: Studio, *more: str) -> "subprocess.Popen[str]":
    line = [sys.executable, "-c", DRIVER, "--profile", "demo", "--run", str(studio.run), "--models", str(studio.nets)]
    line += ["--method", "transfer", "--split", "test", "--limit", "0", "--set", "machine.workers=1"]
    line += ["--inception", "[]", "--i3d", "[]", "--set", "machine.device=cpu", *more]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(line, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process: "subprocess.Popen[str]") -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_back_end_ends_with_the_evaluation(how: signal.Signals, studio: Studio, tmp_path: Path) -> None:
    """The driver kills its worker, or is killed itself: neither leaves the worker the time to end what it runs."""
    options = fakes.checkout(tmp_path / "checkout", "stableanimator", "hang")
    more = ["--backend", "stableanimator", "--backend-dir", str(options.checkout), "--backend-python", options.python]
    process = command(studio, *more, "--backend-size", "128x128")
    child = tmp_path / "checkout/child"
    until = time.monotonic() + 200
    while not child.exists() or not child.read_text():
        assert process.poll() is None and time.monotonic() < until, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(how)
    process.communicate(timeout=100)
    assert fakes.gone(int(child.read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["renditions", "scores"])
def test_killed_and_resumed(kind: str, studio: Studio) -> None:
    table = studio.place() / "transfer-skeleton/tables" / kind
    process = command(studio)
    until = time.monotonic() + 200
    while len(list(table.glob("outcomes/part-*.parquet"))) < 2 and time.monotonic() < until:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = studio.outcomes("transfer-skeleton", kind)
    assert 2 <= len(done) < 6
    assert not (studio.place() / "table2.md").exists()
    time.sleep(1)  # for its workers to notice
    out = ended(command(studio))
    assert f"{6 - len(done)} of 6 units: {6 - len(done)} ok" in out
    for folder in ("transfer-skeleton", "true-drawn"):
        for name in ("pairs", "renditions", "scores"):
            assert set(studio.attempts(folder, name).values()) == {1}, (folder, name)
    lines = studio.table()
    assert not list(studio.place().rglob(".writing-*.mp4")) and not list(studio.place().glob("*/work/*"))
    assert "nothing to do (6 units)" in ended(command(studio)) and studio.table() == lines
    shutil.rmtree(studio.place())
    ended(command(studio))
    assert studio.table() == lines, "as if nothing had happened"
