"""What was taken down is refused when it comes back: by its id, by a ledger beside the input, by its sound where that is kept."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.cli.main import main
from pipeline.media import chromaprint
from pipeline.media.chromaprint import fingerprint
from pipeline.media.video import write_video
from pipeline.tables import people, takedowns
from pipeline.tables.store import Store
from pipeline.tables.takedowns import Takedown
from tests.pipeline.engine.planted_works import decoded
from tests.stages.twins.talks import RATE, talk

SECONDS, DAY = 12, "2026-11-30"


def film(path: Path, wave: np.ndarray) -> None:
    pictures = (np.full((64, 64, 3), 60 + n % 100, np.uint8) for n in range(25 * len(wave) // RATE))
    write_video(path, pictures, wave, size=(64, 64))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    film(folder / "talk.mp4", talk(1, SECONDS))
    film(folder / "again.mkv", 0.5 * talk(1, SECONDS))
    film(folder / "other.mp4", talk(2, SECONDS))
    return folder


def crawled(run: Path, folder: Path) -> dict[str, tuple[str, str]]:
    """{file: status and detail}."""
    done = CliRunner().invoke(
        main, ["run", "crawl", "-r", str(run), "-p", "folder", "-i", str(folder), "--workers", "0"]
    )
    assert done.exit_code == 0, done.output
    return {row["unit"]: (row["status"], row["detail"]) for row in Store(run).outcomes("videos").to_pylist()}


def test_its_id_and_its_sound_are_refused(films: Path, tmp_path: Path) -> None:
    folder, run = Path(shutil.copytree(films, tmp_path / "films")), tmp_path / "run"
    (folder / "again.mkv").rename(tmp_path / "again.mkv")
    assert {status for status, _ in crawled(run, folder).values()} == {"ok"}
    rows = {row["source"]: row["video_id"] for row in Store(run).read("videos", ["source", "video_id"]).to_pylist()}
    done = CliRunner().invoke(main, ["run", "fingerprint_sound", "-r", str(run), "--workers", "0"])
    assert done.exit_code == 0, done.output
    call = ["takedown", rows["talk.mp4"], "-r", str(run), "--yes", "--keep-fingerprint"]
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 0, done.output
    (tmp_path / "again.mkv").rename(folder / "again.mkv")
    found = crawled(run, folder)
    assert found["other.mp4"][0] == "ok" and found["talk.mp4"] == ("rejected", "it was taken down")
    status, why = found["again.mkv"]
    assert (
        status == "rejected"
        and why.startswith("a re-upload of what was taken down on 20")
        and "of the bits differ" in why
    )
    assert Store(run).read("videos", ["source"])["source"].to_pylist() == ["other.mp4"]
    held = [path for path in run.rglob("*") if path.is_file() and rows["talk.mp4"][5:] in "".join(decoded(path))]
    assert held == [], "also no note of who owns it, and no line of what is known of files"
    again = CliRunner().invoke(main, ["takedown", "-r", str(run), "--yes"])
    assert again.exit_code == 0 and "nothing to do" in again.output


def test_another_film_under_the_name_of_one_that_was_taken_down_is_crawled(films: Path, tmp_path: Path) -> None:
    folder, run = tmp_path / "films", tmp_path / "run"
    folder.mkdir()
    shutil.copy(films / "talk.mp4", folder)
    assert crawled(run, folder) == {"talk.mp4": ("ok", "")}
    [video] = Store(run).read("videos", ["video_id"])["video_id"].to_pylist()
    assert CliRunner().invoke(main, ["takedown", video, "-r", str(run), "--yes"]).exit_code == 0
    for _ in range(2):
        assert crawled(run, folder) == {"talk.mp4": ("rejected", "it was taken down")}
    shutil.copy(films / "other.mp4", folder / "talk.mp4")
    assert "ok" in {status for status, _ in crawled(run, folder).values()}
    [other] = Store(run).read("videos", ["video_id"])["video_id"].to_pylist()
    assert other != video


def test_a_ledger_beside_the_input_is_read_first_and_kept(films: Path, tmp_path: Path) -> None:
    folder, run = Path(shutil.copytree(films, tmp_path / "films")), tmp_path / "run"
    items = fingerprint(talk(1, SECONDS)).astype("<u4").tobytes()
    line = Takedown(people.mark("yt:aaaaaaaaaaa"), DAY, sound_of="chromaprint-1", sound=items)
    takedowns.add(folder / takedowns.LEDGER, [line])
    found = crawled(run, folder)
    assert {name: status for name, (status, _) in found.items()} == {
        "talk.mp4": "rejected",
        "again.mkv": "rejected",
        "other.mp4": "ok",
    }
    assert takedowns.read(run / takedowns.LEDGER) == {line.mark: line}
    assert all((folder / name).is_file() for name in found), "a file that was used where it lies stays"


def test_a_minute_of_it_is_refused_whatever_its_share(tmp_path: Path) -> None:
    folder, run = tmp_path / "films", tmp_path / "run"
    folder.mkdir()
    long = talk(1, 150)
    for name, seconds in (("much.mp4", 65), ("less.mp4", 20)):
        film(folder / name, np.concatenate([talk(5, 70), long[40 * RATE : (40 + seconds) * RATE], talk(6, 70)]))
    items = fingerprint(long).astype("<u4").tobytes()
    line = Takedown(people.mark("yt:aaaaaaaaaaa"), DAY, sound_of="chromaprint-1", sound=items)
    takedowns.add(folder / takedowns.LEDGER, [line])
    assert {name: status for name, (status, _) in crawled(run, folder).items()} == {
        "much.mp4": "rejected",
        "less.mp4": "ok",
    }


def test_what_comes_near_is_let_in_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder, run = tmp_path / "films", tmp_path / "run"
    folder.mkdir()
    film(folder / "talk.mp4", talk(1, 2 * SECONDS))
    mixed = np.concatenate([talk(5, 20), talk(1, 2 * SECONDS)[4 * RATE : 9 * RATE], talk(6, 20)])
    items = fingerprint(mixed).astype("<u4").tobytes()
    takedowns.add(
        folder / takedowns.LEDGER, [Takedown(people.mark("yt:aaaaaaaaaaa"), DAY, (), (), "chromaprint-1", items)]
    )
    with caplog.at_level(logging.WARNING):
        assert crawled(run, folder)["talk.mp4"][0] == "ok"
    log = "".join(path.read_text() for path in run.glob("logs/*"))
    assert "comes near to what was taken down" in caplog.text + log


def test_without_chromaprint_it_is_told_that_re_uploads_are_not_recognised(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder, run = tmp_path / "films", tmp_path / "run"
    folder.mkdir()
    shutil.copy(films / "talk.mp4", folder)
    items = fingerprint(talk(1, SECONDS)).astype("<u4").tobytes()
    takedowns.add(
        folder / takedowns.LEDGER, [Takedown(people.mark("yt:aaaaaaaaaaa"), DAY, (), (), "chromaprint-1", items)]
    )
    monkeypatch.setattr("stages.crawl.taken_down.is_available", lambda: False)
    with caplog.at_level(logging.WARNING):
        assert crawled(run, folder)["talk.mp4"][0] == "ok"
    log = "".join(path.read_text() for path in run.glob("logs/*"))
    assert "re-uploads of 1 works that were taken down are not recognised" in caplog.text + log


def test_a_rebuild_reads_the_ledger_beside_the_released_links(tmp_path: Path) -> None:
    published, run = tmp_path / "published", tmp_path / "run"
    published.mkdir()
    link = "https://www.youtube.com/watch?v=aaaaaaaaaaa"
    (published / "list.txt").write_text(f"{link}\n")
    takedowns.add(published / takedowns.LEDGER, [Takedown(people.mark("yt:aaaaaaaaaaa"), DAY)])
    call = ["run", "crawl", "-r", str(run), "-p", "folder", "-m", str(published / "list.txt"), "--workers", "0"]
    done = CliRunner().invoke(main, call)
    [row] = Store(run).outcomes("videos").to_pylist()
    assert (row["status"], row["detail"]) == ("rejected", "it was taken down"), done.output


def test_the_name_of_the_fingerprint_is_the_stages(tmp_path: Path) -> None:
    from stages.crawl.kept import SOUND_OF

    assert SOUND_OF == chromaprint.NAME
