"""A file is its content: replaced, renamed, moved, swapped, half copied and grown files, and what is told of each."""

import errno
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from pipeline.base.hashes import sha256_of
from pipeline.engine.plan import plan
from pipeline.engine.runner import Options, Summary, run_stage
from pipeline.engine.stage import Stage
from pipeline.media.video import ffmpeg_exe
from pipeline.registry.models import Registry
from pipeline.shards.removal import remove_from_run
from pipeline.sources.local import content, known, state
from pipeline.sources.local.content import content_of
from pipeline.tables.opt_out import OptOut
from pipeline.tables.store import Store
from stages.crawl import Crawl
from stages.split import Split
from tests.stages.little_films import write_film


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three little films: a.mp4 and b.mp4 of one shot of 6 s, long.mp4 of 12 s."""
    folder = tmp_path_factory.mktemp("films")
    for seed, (name, frames) in enumerate({"a": 150, "b": 150, "long": 300}.items(), 1):
        write_film(folder / f"{name}.mp4", [frames], seed=seed)
    return folder


def ffmpeg(*words: object) -> None:
    subprocess.run([ffmpeg_exe(), "-v", "error", *map(str, words)], check=True, timeout=60)


class Lab:
    """A folder of videos, a run, and what commands say of them."""

    def __init__(self, folder: Path, films: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.films, self.given, self.run, self._capsys = films, folder / "in", folder / "run", capsys
        self.given.mkdir(parents=True)
        for name in ("a.mp4", "b.mp4"):
            self.put(name, name)
        self.said = ""

    def put(self, film: str, name: str) -> Path:
        path = self.given / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.films / film, path)
        return path

    def id(self, film: str) -> str:
        return f"file:{sha256_of(self.films / film)[:16]}"

    def crawl(self, given: Path | None = None, out: OptOut | None = None) -> Summary:
        return self._done(Crawl(input=str(given or self.given)), Store(self.run, out))

    def split(self, **settings: float) -> Summary:
        return self._done(Split(vad=(), **settings))

    def _done(self, stage: Stage, store: Store | None = None) -> Summary:
        self._capsys.readouterr()
        done = run_stage(stage, self.run, Registry(), Options(workers=0), store)
        self.said = self._capsys.readouterr().err
        return done

    def videos(self) -> dict[str, str]:
        """{where a live video's file is: its id}, below the input or whole."""
        rows = Store(self.run).read("videos", ["video_id", "path"]).to_pylist()
        return {row["path"].removeprefix(f"{self.given}/"): row["video_id"] for row in rows}

    def reasons(self, kind: str) -> dict[str, str]:
        """{unit: its reason} of what was rejected or failed."""
        return {o["unit"]: o["reason"] for o in Store(self.run).outcomes(kind).to_pylist() if o["reason"]}


@pytest.fixture
def lab(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Lab:
    lab = Lab(tmp_path, films, capsys)
    lab.crawl()
    assert lab.split().counts == {"ok": 2}
    return lab


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file is hashed, by name."""
    times: Counter[str] = Counter()
    whole = content._read

    def counted(path: Path, *more: object) -> tuple[str, str]:
        times[path.name] += 1
        return whole(path, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(content, "_read", counted)
    return times


# The six outcomes


def test_a_replaced_file_is_a_new_video_and_never_meets_the_old_ones_rows(lab: Lab) -> None:
    lab.put("long.mp4", "b.mp4")
    again = lab.split(guard_frames=5)  # everything is pending; the crawl has not looked yet
    assert again.counts == {"failed": 1, "ok": 1} and again.reasons == {"source_changed": 1}
    clips = Store(lab.run).read("clips", ["video_id"])["video_id"].to_pylist()
    assert set(clips) == {lab.id("a.mp4"), lab.id("b.mp4")} and not lab.reasons("clips"), "what was made of it stays"
    assert lab.crawl().counts == {"ok": 1}
    assert "1 file replaced by other content: b.mp4" in lab.said and lab.id("b.mp4") in lab.said
    alive = Store(lab.run).keys("videos").to_pylist()
    assert set(alive) == {lab.id("a.mp4"), lab.id("b.mp4"), lab.id("long.mp4")}, "what was made stays"
    again = lab.split(guard_frames=5)
    assert again.counts == {"failed": 1, "ok": 1} and set(again.unmended) == {lab.id("b.mp4")}
    lab.put("b.mp4", "b.mp4")  # it comes back
    lab.crawl()
    assert lab.split(guard_frames=5).counts == {"ok": 1}


def test_a_renamed_file_keeps_its_unit_and_its_rows(lab: Lab) -> None:
    (lab.given / "sub").mkdir()
    (lab.given / "a.mp4").rename(lab.given / "sub" / "c.mp4")
    before = Store(lab.run).read("videos").to_pylist()
    assert lab.crawl().counts == {"ok": 1} and "1 file moved or renamed" in lab.said
    assert lab.videos() == {"sub/c.mp4": lab.id("a.mp4"), "b.mp4": lab.id("b.mp4")}
    after = Store(lab.run).read("videos").to_pylist()
    assert [{**row, "path": ""} for row in after] == [{**row, "path": ""} for row in before]
    assert not lab.split().pending and not lab.crawl().pending and not lab.reasons("videos")
    (lab.given / "sub" / "c.mp4").rename(lab.given / "a.mp4")
    lab.crawl()
    assert set(lab.videos()) == {"a.mp4", "b.mp4"} and not lab.split().pending and not lab.crawl().pending


@pytest.mark.parametrize("how", ["rename", "copytree", "symlink_to"])
def test_a_moved_folder_keeps_everything(how: str, lab: Lab, hashed: Counter[str]) -> None:
    elsewhere = lab.given.with_name("elsewhere")
    if how == "copytree":
        shutil.copytree(lab.given, elsewhere)
        shutil.rmtree(lab.given)
    else:
        lab.given.rename(elsewhere)
    if how == "symlink_to":
        lab.given.symlink_to(elsewhere)
        assert not lab.crawl().pending
    else:
        assert lab.crawl(elsewhere).counts == {"ok": 2}
        assert set(lab.videos()) == {str(elsewhere / "a.mp4"), str(elsewhere / "b.mp4")}
    assert max(hashed.values(), default=0) <= 1
    assert not lab.split().pending and lab.split(guard_frames=5).counts == {"ok": 2}


def test_swapped_names_are_noticed(lab: Lab) -> None:
    a, b, c = (lab.given / f"{name}.mp4" for name in "abc")
    for old, new in ((a, c), (b, a), (c, b)):
        old.rename(new)
    assert lab.split(guard_frames=5).counts == {"failed": 2}, "no clip of one in the pictures of the other"
    assert lab.crawl().counts == {"ok": 2}
    assert lab.videos() == {"b.mp4": lab.id("a.mp4"), "a.mp4": lab.id("b.mp4")}
    assert lab.split(guard_frames=5).counts == {"ok": 2} and not lab.crawl().pending


@pytest.mark.parametrize("faststart", [False, True])
def test_a_half_copied_file_is_crawled_whole_afterwards(faststart: bool, lab: Lab) -> None:
    whole = lab.run.parent / "whole.mp4"
    ffmpeg("-i", lab.films / "long.mp4", "-c", "copy", *(["-movflags", "+faststart"] if faststart else []), whole)
    data = whole.read_bytes()
    (lab.given / "x.mp4").write_bytes(data[: len(data) // 2])
    lab.crawl()
    half = lab.videos().get("x.mp4")
    assert (half is not None) == faststart and lab.reasons("videos") == ({} if faststart else {"x.mp4": "corrupt"})
    lab.split()
    (lab.given / "x.mp4").write_bytes(data)
    assert lab.crawl().counts == {"ok": 1} and ("1 file grown and crawled anew" in lab.said) == faststart
    lab.split()
    rows = Store(lab.run).read("clips", ["video_id", "frames"]).to_pylist()
    frames = Counter({row["video_id"]: 0 for row in rows})
    for row in rows:
        frames[row["video_id"]] += row["frames"]
    assert frames[lab.videos()["x.mp4"]] == 300 and half not in frames and len(frames) == 3
    assert not lab.reasons("videos"), "what was refused was the half"
    assert not lab.crawl().pending


def test_a_file_that_grew_takes_the_place_of_its_shorter_self(lab: Lab) -> None:
    parts = []
    for name in ("a", "long"):
        parts.append(lab.run.parent / f"{name}.ts")
        ffmpeg("-i", lab.films / f"{name}.mp4", "-c", "copy", "-bsf:v", "h264_mp4toannexb", parts[-1])
    growing = lab.given / "x.ts"
    growing.write_bytes(parts[1].read_bytes()[: 188 * 300])
    lab.crawl()
    first = lab.videos()["x.ts"]
    growing.write_bytes(parts[1].read_bytes())
    assert lab.crawl().counts == {"ok": 1} and "1 file grown and crawled anew" in lab.said
    assert lab.videos()["x.ts"] != first and len(lab.videos()) == 3
    growing.write_bytes(parts[0].read_bytes() + bytes(188 * 40))  # no more of the same: another recording
    lab.crawl()
    assert "replaced by other content: x.ts#" in lab.said


# What else may happen to a folder


def test_a_file_that_is_gone_is_told_and_what_was_made_of_it_stays(lab: Lab) -> None:
    (lab.given / "a.mp4").unlink()
    assert not lab.crawl().pending
    assert f"1 file gone: a.mp4 ({lab.id('a.mp4')})" in lab.said and "csg405 opt-out" in lab.said
    assert len(lab.videos()) == 2 and not lab.split().pending


def test_a_copy_is_a_duplicate_until_the_first_is_gone(lab: Lab) -> None:
    lab.put("a.mp4", "copy.mp4")
    lab.crawl()
    assert lab.reasons("videos") == {"copy.mp4": "duplicate"}
    (lab.given / "a.mp4").unlink()
    assert lab.crawl().counts == {"ok": 1}
    assert lab.videos() == {"copy.mp4": lab.id("a.mp4"), "b.mp4": lab.id("b.mp4")} and not lab.split().pending
    lab.put("a.mp4", "a.mp4")
    lab.crawl()
    assert lab.videos() == {"copy.mp4": lab.id("a.mp4"), "b.mp4": lab.id("b.mp4")} and not lab.crawl().pending


def test_another_folder_may_use_the_same_names(lab: Lab) -> None:
    other = lab.given.with_name("other")
    other.mkdir()
    shutil.copyfile(lab.films / "long.mp4", other / "a.mp4")
    shutil.copyfile(lab.films / "b.mp4", other / "b.mp4")
    assert lab.crawl(other).counts == {"ok": 1} and not lab.said
    assert lab.videos()[str(other / "a.mp4")] == lab.id("long.mp4") and len(lab.videos()) == 3
    assert not lab.crawl().pending and not lab.crawl(other).pending


def test_a_file_that_is_written_to_while_it_is_read_is_done_later(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = content._read

    def disturbed(path: Path, *more: object) -> tuple[str, str]:
        found = whole(path, *more)  # type: ignore[arg-type]
        with path.open("ab") as file:
            file.write(b"more")
        return found

    path = lab.put("long.mp4", "x.mp4")
    with monkeypatch.context() as patch:
        patch.setattr(content, "_read", disturbed)
        assert lab.crawl().counts == {"failed": 1} and lab.reasons("videos") == {"x.mp4": "source_changed"}
    shutil.copyfile(lab.films / "long.mp4", path)
    assert lab.crawl().counts == {"ok": 1} and lab.videos()["x.mp4"] == lab.id("long.mp4")


def test_a_file_that_changes_while_it_is_decoded_gives_no_rows(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.split.worker import Splitter

    look = Splitter._look

    def disturbed(self: Splitter, path: Path, *more: int) -> object:
        with path.open("ab") as file:
            file.write(b"more")
        return look(self, path, *more)

    monkeypatch.setattr(Splitter, "_look", disturbed)
    done = lab.split(guard_frames=5)
    assert done.counts == {"failed": 2} and done.reasons == {"source_changed": 2} and not lab.reasons("clips")


def test_a_touched_file_is_hashed_once_and_nothing_is_pending(lab: Lab, hashed: Counter[str]) -> None:
    os.utime(lab.given / "a.mp4", ns=(0, 10**18))
    assert not lab.crawl().pending and not lab.crawl().pending and not lab.split().pending
    assert hashed == {"a.mp4": 1}


def test_where_times_mean_nothing_pieces_of_the_file_are_compared(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that keeps size and both times: only a look into the file shows the other content."""
    film, path = bytearray((lab.given / "a.mp4").read_bytes()), lab.given / "a.mp4"
    frozen = state.FileState.of(path)
    film[len(film) // 2] ^= 255
    path.write_bytes(film)
    of = state.FileState.of
    monkeypatch.setattr(state.FileState, "of", lambda p: frozen if p == path else of(p))
    monkeypatch.setattr(known, "ctime_means_something", lambda path: False)
    assert lab.split(guard_frames=5).counts == {"failed": 1, "ok": 1}
    assert lab.crawl().pending == 1 and "replaced by other content: a.mp4" in lab.said


def test_a_run_that_lost_its_notes_reads_the_files_again(lab: Lab, hashed: Counter[str]) -> None:
    (lab.given / "a.mp4").rename(lab.given / "c.mp4")
    lab.crawl()
    shutil.rmtree(lab.run / "input")
    hashed.clear()
    lab.crawl()
    assert max(hashed.values()) == 1
    assert set(lab.videos()) == {"b.mp4", "c.mp4"} and not lab.split().pending and not lab.crawl().pending


def test_half_a_line_of_the_notes_costs_that_line(lab: Lab, hashed: Counter[str]) -> None:
    notes = lab.run / "input" / "files.jsonl"
    data = notes.read_bytes()
    notes.write_bytes(data[: data.rindex(b'{"unit"') - 20] + b'\n[1]\nnull\n{"file": 7}\n{"unit')
    assert not lab.crawl().pending and not lab.crawl().pending
    assert sum(hashed.values()) == 1


def test_a_new_file_of_its_own_size_is_left_to_the_workers(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.put("long.mp4", "x.mp4")
    read: list[Path] = []
    monkeypatch.setattr("stages.crawl.inputs.look.content_of", lambda path, stop: read.append(path) or content_of(path))
    assert lab.crawl().counts == {"ok": 1} and read == []
    lab.put("long.mp4", "y.mp4")
    lab.crawl()
    assert [path.name for path in read] == ["y.mp4"] and lab.reasons("videos") == {"y.mp4": "duplicate"}


# Costs, and runs made before


def test_files_of_one_size_are_hashed_once_each(tmp_path: Path, hashed: Counter[str]) -> None:
    given, film = tmp_path / "in", write_film(tmp_path / "a.mp4", [10]).read_bytes()
    given.mkdir()
    for number in range(100):
        free = (12).to_bytes(4, "big") + b"free" + number.to_bytes(4, "big")
        (given / f"{number:03}.mp4").write_bytes(film + free)
    stage = Crawl(input=str(given))
    stage.look(Store(tmp_path / "run"))
    assert len(hashed) == 100 and max(hashed.values()) == 1
    for _ in range(2):
        assert run_stage(stage, tmp_path / "run", Registry(), Options(workers=0)).units == 100
    assert max(hashed.values()) <= 2 and sum(hashed.values()) <= 200


def test_what_is_crawled_is_hashed_once_for_all_stages(lab: Lab, hashed: Counter[str]) -> None:
    assert lab.split(guard_frames=5).counts == {"ok": 2} and not hashed


def test_a_run_of_before_is_hashed_once_and_nothing_is_pending(lab: Lab, hashed: Counter[str]) -> None:
    """Tables as 9c13657 left them: units are names, and nothing is known of the files."""
    lab.put("a.mp4", "copy.mp4")
    (lab.given / "cut.mp4").write_bytes((lab.films / "a.mp4").read_bytes()[:700])
    lab.crawl()
    shutil.rmtree(lab.run / "input")
    hashed.clear()
    stage = Crawl(input=str(lab.given))
    assert not len(plan(stage, Store(lab.run)).pending), "status says so before anything is read"
    assert not hashed and not lab.crawl().pending and not lab.split().pending
    assert hashed == {"a.mp4": 1, "b.mp4": 1, "copy.mp4": 1, "cut.mp4": 1}
    assert not lab.crawl().pending and sum(hashed.values()) == 4


def test_a_run_of_before_finds_its_files_in_a_folder_that_moved_meanwhile(lab: Lab, hashed: Counter[str]) -> None:
    shutil.rmtree(lab.run / "input")
    elsewhere = lab.given.rename(lab.given.with_name("elsewhere"))
    (elsewhere / "a.mp4").rename(elsewhere / "c.mp4")
    assert lab.crawl(elsewhere).counts == {"ok": 2} and hashed == {"b.mp4": 1, "c.mp4": 1}
    assert set(lab.videos()) == {str(elsewhere / "b.mp4"), str(elsewhere / "c.mp4")} and not lab.split().pending


def test_a_folder_is_crawled_where_there_are_no_hard_links(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    assert Lab(tmp_path, films, capsys).crawl().counts == {"ok": 2}


def test_a_file_that_opted_out_is_not_hashed_at_every_crawl(lab: Lab, hashed: Counter[str]) -> None:
    who = OptOut(frozenset({lab.id("b.mp4")}))
    remove_from_run(lab.run, [*who.videos])
    for again in range(2):
        lab.crawl(out=who)
        assert hashed["b.mp4"] == 0, again
    assert Store(lab.run, who).read("videos", ["video_id"])["video_id"].to_pylist() == [lab.id("a.mp4")]
    shutil.copyfile(lab.films / "long.mp4", lab.given / "b.mp4")  # another video under its name
    lab.crawl(out=who)
    assert lab.id("long.mp4") in lab.videos().values()
