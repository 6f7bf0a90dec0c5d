"""Files that rows promise: lost ones are made again, what cannot be made again stays, and a lost input stops what reads it."""

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field

from pipeline.base.damage import Damaged
from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.units import Row
from pipeline.engine.check import damages
from pipeline.engine.console import run_shown
from pipeline.engine.plan import plan
from pipeline.engine.settings import runtime
from pipeline.engine.stage import Context, Reads
from pipeline.engine.unit import Unit
from pipeline.registry.models import Registry
from pipeline.storage import storage_of, tombstone_of
from pipeline.tables import calls, check, results
from pipeline.tables.retry import refetch
from pipeline.tables.store import Store
from tests.pipeline.engine import toys
from tests.pipeline.engine.runs import HERE, chain, contents, go, go_all, outcomes
from tests.stages import fake_run

SIZE = 100


class ToyFetch(toys.ToyCrawl):
    """Puts a download of each unit into the run."""

    name: ClassVar[str] = "toy_fetch"

    gone: tuple[str, ...] = Field((), json_schema_extra=runtime())

    _run: Path = Path()

    def setup(self, context: Context) -> None:
        self._run = context.run

    def process(self, unit: Unit) -> Iterator[Row]:
        if unit.id in self.gone:
            raise Reject(Reason.REMOVED, "by its owner")
        [row] = super().process(unit)
        key = f"raw/aa/{unit.id}.mp4"
        with storage_of(self._run).writing(key) as path:
            path.write_bytes(b"r" * SIZE)
        yield {**row, "path": key, "bytes": SIZE, "sha256": hashlib.sha256(b"r" * SIZE).hexdigest()}


class ToyFilm(toys.ToyExport):
    """Films each kept person."""

    name: ClassVar[str] = "toy_film"
    reads: ClassVar[tuple[Reads, ...]] = (*toys.ToyExport.reads, Reads("videos", ("path", "width")))
    leaves: ClassVar[tuple[str, ...]] = ("index.txt",)

    crf: int = 1
    sized: bool = Field(True, json_schema_extra=runtime())
    broken: bool = Field(False, json_schema_extra=runtime())

    def process(self, unit: Unit) -> Iterator[Row]:
        if self.broken:
            raise Failure(Reason.SOURCE_DISCARDED, "freed")
        if not (self._run / unit.row("videos")["path"]).exists():
            raise Failure(Reason.SOURCE_MISSING, "no file")
        [row] = super().process(unit)
        key = f"clips/{unit.id.replace('/', '_').replace(':', '_')}.mp4"
        with storage_of(self._run).writing(key) as path:
            path.write_bytes(unit.id.encode().ljust(SIZE))
        yield {**row, "video": key, "video_bytes": SIZE if self.sized else None}


class ToyPack(toys.Toy):
    """Packs every clip into one row."""

    name: ClassVar[str] = "toy_pack"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("samples", ("video", "frames")),)
    writes: ClassVar[str] = "releases"

    buckets: int = 1

    def process(self, unit: Unit) -> Iterator[Row]:
        yield {"release": "all", "rows": len(unit.rows("samples"))}


def stages(**film: Any) -> list[Any]:
    return [ToyFetch(units=("a", "b")), *chain()[1:-1], ToyFilm(**film), ToyPack()]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    go_all(tmp_path, stages())
    return tmp_path


def clips(run: Path) -> list[Path]:
    return sorted((run / "clips").iterdir())


@pytest.fixture(params=["one by one", "by listing"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FEW", 500 if request.param == "one by one" else 0)


@pytest.mark.usefixtures("both_ways")
def test_a_file_that_is_missing_or_of_another_size_makes_its_unit_pending_and_no_other(run: Path) -> None:
    before, written = contents(run), [path.stat().st_mtime_ns for path in clips(run)]
    clips(run)[0].unlink()
    (run / "clips" / clips(run)[1].name).write_bytes(b"")

    work = plan(ToyFilm(), Store(run))
    assert len(work.pending) == 2 and work.lost_files == 2
    done = go(ToyFilm(), run)
    assert done.counts == {"ok": 2} and done.lost_files == 2
    times = [path.stat().st_mtime_ns for path in clips(run)]
    assert [a == b for a, b in zip(times, written, strict=True)].count(True) == 2, "the others were left alone"
    assert contents(run) == before
    assert {stage.name: go(stage, run).pending for stage in stages()} == dict.fromkeys([s.name for s in stages()], 0)


def test_a_row_without_a_size_promises_only_that_the_file_is_there(tmp_path: Path) -> None:
    go_all(tmp_path, stages(sized=False))
    clips(tmp_path)[0].write_bytes(b"short")
    assert not len(plan(ToyFilm(), Store(tmp_path)).pending)
    clips(tmp_path)[0].unlink()
    assert len(plan(ToyFilm(), Store(tmp_path)).pending) == 1


@pytest.mark.usefixtures("both_ways")
def test_what_was_freed_on_purpose_is_not_lost(run: Path) -> None:
    (run / "raw/aa/a.mp4").unlink()
    assert len(plan(stages()[0], Store(run)).pending) == 1
    (run / tombstone_of("raw/aa/a.mp4")).write_text("{}")
    assert not len(plan(stages()[0], Store(run)).pending)
    assert damages(Store(run), deep=True) == []


@pytest.mark.usefixtures("both_ways")
def test_files_moved_to_another_disk_behind_links_are_there(
    run: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    away = tmp_path_factory.mktemp("away")
    clip = clips(run)[0]
    clip.rename(away / clip.name)
    clip.symlink_to(away / clip.name)
    (run / "raw/aa").rename(away / "aa")
    (run / "raw/aa").symlink_to(away / "aa")
    assert not len(plan(ToyFilm(), Store(run)).pending) and not len(plan(stages()[0], Store(run)).pending)


@pytest.mark.usefixtures("both_ways")
def test_a_disk_that_does_not_read_is_no_damage(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "clips")

    monkeypatch.setattr("pipeline.storage.disk.os.scandir", fails)
    monkeypatch.setattr(Path, "stat", fails)
    with pytest.raises(OSError, match="Input/output error"):
        results.broken(storage_of(run), [results.Promise("u", "clips/a.mp4", SIZE)])


def test_what_cannot_be_made_again_keeps_its_row_and_all_that_was_made_of_it(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, clip = contents(run), clips(run)[0]
    clip.unlink()
    done = run_shown(ToyFilm(broken=True), run, Registry(cache=run / "nets"), HERE, Store(run))
    assert list(done.unmended.values()) == ["source_discarded: freed"]
    said = capsys.readouterr().out
    assert "1 of its files is missing or changed: made again" in said and "its rows stay: file:a/0+250#0" in said
    assert contents(run) == before
    assert len(plan(ToyFilm(), Store(run)).pending) == 1, "and it is tried again"


def test_the_way_back_of_a_lost_result_whose_source_was_freed(run: Path) -> None:
    before, freed = contents(run), storage_of(run)
    clips(run)[0].unlink()
    (run / "raw/aa/a.mp4").unlink()
    (run / tombstone_of("raw/aa/a.mp4")).write_text("{}")
    [why] = go(ToyFilm(), run).unmended.values()
    assert "source_missing" in why and contents(run) == before

    assert refetch(Store(run), set()) == {"videos": 1}
    assert go(stages()[0], run).counts == {"ok": 1} and freed.exists("raw/aa/a.mp4")
    assert go(ToyFilm(), run).counts == {"ok": 1} and contents(run) == before


def test_a_source_that_the_web_lost_too_takes_nothing_with_it(run: Path) -> None:
    before = contents(run)
    (run / "raw/aa/a.mp4").unlink()
    done = go(ToyFetch(units=("a", "b"), gone=("a",)), run)
    assert done.unmended == {"a": "removed: by its owner"}
    assert contents(run) == before


def test_a_lost_input_stops_what_would_be_made_of_it_anew(run: Path) -> None:
    before, clip = contents(run), clips(run)[0]
    clip.unlink()
    assert go(ToyPack(), run).pending == 0, "nothing would be made of it"
    with pytest.raises(
        Damaged, match=rf"{re.escape(clip.name)} is missing.*nothing was changed.*csg405 run export --run"
    ) as told:
        go(ToyPack(buckets=2), run)
    assert told.value.exit_code == 1
    assert contents(run) == before
    go(ToyFilm(), run)
    assert go(ToyPack(buckets=2), run).counts == {"ok": 1}


def test_a_lost_source_fails_what_was_never_made_and_stops_what_was(run: Path) -> None:
    before = contents(run)["samples"]
    (run / "raw/aa/a.mp4").write_bytes(b"half")
    with pytest.raises(Damaged, match=rf"raw/aa/a.mp4 has 4 of {SIZE} bytes.*csg405 run crawl --run"):
        go(ToyFilm(crf=2), run)
    assert contents(run)["samples"] == before
    (run / "raw/aa/a.mp4").unlink()
    fresh = run / "tables" / "samples"
    fresh.rename(run / "samples")
    assert go(ToyFilm(crf=2), run).counts == {"ok": 2, "failed": 2}
    assert {o["reason"] for o in outcomes(run, "samples").values()} == {"", "source_missing"}


def test_a_file_that_finish_writes_is_written_again(run: Path) -> None:
    index = run / "index.txt"
    for damage in (index.unlink, lambda: index.write_text("short")):
        text = index.read_text()
        damage()
        assert [one.path for one in damages(Store(run), deep=False)] == ["index.txt"]
        go(ToyFilm(), run)
        assert index.read_text() == text and not damages(Store(run), deep=True)
    stamp = run / "stamps" / "toy_film.json"
    stamp.unlink()
    index.write_text("?")
    go(ToyFilm(), run)
    assert index.read_text() == text, "a lost stamp costs another finish"


def test_a_stamp_of_an_older_version_promises_only_that_the_file_is_there(run: Path) -> None:
    stamp, index = run / "stamps" / "toy_film.json", run / "index.txt"
    rows = stamp.read_text().partition(', "files"')[0]
    stamp.write_text(rows + "}")
    index.write_text("older")
    go(ToyFilm(), run)
    assert index.read_text() == "older", "nothing is pending in a run made before"
    index.unlink()
    go(ToyFilm(), run)
    assert index.exists()


def test_check_tells_each_file_its_remedy_and_what_cannot_come_back(run: Path) -> None:
    clip, raw = clips(run)[0], run / "raw/aa/b.mp4"
    clip.unlink()
    raw.write_bytes(b"x" * SIZE)
    assert [one.path for one in damages(Store(run), deep=False)] == [f"clips/{clip.name}"]
    [_, altered] = damages(Store(run), deep=True)
    assert altered.path == "raw/aa/b.mp4" and "sha256 differs" in altered.problem and altered.set_aside
    assert altered.remedy.startswith("csg405 check --deep --set-aside") and "csg405 run crawl" in altered.remedy
    raw.write_bytes(b"")
    found = {one.path: one for one in damages(Store(run), deep=False)}
    assert {path: one.problem for path, one in found.items()} == {
        f"clips/{clip.name}": "is missing",
        "raw/aa/b.mp4": f"has 0 of {SIZE} bytes",
    }
    assert found["raw/aa/b.mp4"].remedy == f"csg405 run crawl --run {run}" and found["raw/aa/b.mp4"].lost
    assert found[f"clips/{clip.name}"].units == ("file:a/0+250#0",)


def test_a_result_of_an_evaluation_is_told_by_its_path_in_the_run_and_what_makes_it(run: Path) -> None:
    folder = run / "evaluation/csg405/true"
    calls.keep(folder, ["--set", "evaluate.method=true"])
    for film in ("videos/a.mp4", "videos/b.mp4"):
        (folder / film).parent.mkdir(parents=True, exist_ok=True)
        (folder / film).write_bytes(b"film")
        row = {"pair_id": film, "film": film, "film_sha256": hashlib.sha256(b"film").hexdigest()}
        fake_run.add(Store(folder), "pairs", [{"pair_id": film}])
        fake_run.add(Store(folder), "renditions", [row])
    (folder / "videos/a.mp4").write_bytes(b"FILM")
    (folder / "videos/b.mp4").unlink()
    altered, missing = (one for one in damages(Store(run), deep=True) if one.path.endswith(".mp4"))
    assert altered.path == "evaluation/csg405/true/videos/a.mp4"
    evaluate = f"python -m stages.evaluate --set evaluate.method=true --run {run}"
    assert altered.remedy == f"csg405 check --deep --set-aside --run {run} && {evaluate}"
    assert (missing.path, missing.remedy) == ("evaluation/csg405/true/videos/b.mp4", evaluate)
    assert check.set_aside(Store(run), [altered], {}) == [run / "set-aside" / altered.path]

    part = next(part for part in (folder / "tables/renditions/rows").iterdir())
    part.unlink()
    found = check.damages(Store(run))
    [cost] = check.costs(Store(run), found, {})
    assert (cost.store, cost.units, cost.stages) == ("evaluation/csg405/true", 1, ("test",))
    check.set_aside(Store(run), found, {})
    assert [one.remedy for one in check.damages(Store(run))] == [evaluate]


def test_a_folder_of_films_that_is_gone_is_told_once(tmp_path: Path) -> None:
    run, films = tmp_path / "run", tmp_path / "disk" / "films"
    (films / "more").mkdir(parents=True)
    for number, name in enumerate(("a.mp4", "b.mp4", "more/c.mp4")):
        (films / name).write_bytes(b"film")
        fake_run.add_video(Store(run), number, path=str(films / name), bytes=4, sha256="0" * 64)
    assert damages(Store(run), deep=False) == []
    (films / "b.mp4").unlink()
    assert [one.path for one in damages(Store(run), deep=False)] == [str(films / "b.mp4")]

    (tmp_path / "disk").rename(tmp_path / "elsewhere")
    [gone] = damages(Store(run), deep=False)
    assert (gone.path, gone.problem, gone.holds) == (str(tmp_path / "disk"), "is not there", "3 videos")
    assert gone.remedy.startswith("bring it back, or say where it is now: `csg405 run crawl --input FOLDER --run ")
    assert len(gone.units) == 3 and not gone.set_aside

    (films / "more").mkdir(parents=True)  # as where a disk is mounted no more
    (films / "more").rmdir()
    [empty] = damages(Store(run), deep=False)[:1]
    assert (empty.path, empty.problem, empty.holds) == (str(films), "is empty: is its disk there?", "2 videos")
    assert "nothing was changed; bring it back" in str(Damaged(empty, run))


def test_of_a_file_outside_the_run_no_command_is_told_to_bring_it_back(tmp_path: Path) -> None:
    run, film = tmp_path / "run", tmp_path / "talk.mp4"
    fake_run.add_video(Store(run), 1, path=str(film), bytes=4, sha256="0" * 64)
    [gone] = damages(Store(run), deep=False)
    assert (gone.path, gone.problem, gone.set_aside) == (str(film), "is missing", False)
    assert gone.remedy.startswith("put the file back; or, if it moved, run `csg405 run crawl --run ")
    assert f"`csg405 opt-out ID --run {run}`" in gone.remedy
    assert "nothing was changed; put the file back" in str(Damaged(gone, run))


def test_a_broken_source_that_was_freed_once_is_fetched_by_two_commands(run: Path) -> None:
    (run / tombstone_of("raw/aa/a.mp4")).write_text("{}")
    (run / "raw/aa/a.mp4").write_bytes(b"half")
    [half] = damages(Store(run), deep=False)
    assert half.remedy == f"csg405 retry --refetch --run {run} && csg405 run crawl --run {run}"
