"""Files that an older reader looked at: told, read again from where they lie when that is asked for, and never fetched again."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.base.files import tombstone_of
from pipeline.base.reasons import Reason, Reject
from pipeline.cli.main import main
from pipeline.engine.chosen import chosen_of
from pipeline.media import probe as probing
from pipeline.media import readers
from pipeline.media.readers import Reader
from pipeline.tables.store import Store
from pipeline.theatre import server
from stages.crawl import Crawl, record, worker
from stages.crawl import fetch as fetching
from tests.stages import golden_films
from tests.stages.test_crawl import QUICK

ASKS = "--redo does it again, --keep leaves it as it is"
NEWS = readers.READERS[1].news
PROFILE = """
description = "old readers"
required = ["crawl"]
[targets]
crawl = ["crawl", "split"]
[stages.crawl]
allow_loopback = true
[stages.split]
vad = []
min_clip_seconds = 1.0
target_clip_seconds = 2.0
[web]
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing odd, combed pictures, and a clock that restarts."""
    folder = tmp_path_factory.mktemp("films")
    for make in (golden_films.plain, golden_films.combed, golden_films.clock):
        make(folder)
    for part in folder.glob("[01].ts"):
        part.unlink()
    return folder


class Run:
    """`csg405` on a run of these films, and what it left."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("CSG405_CACHE", str(folder / "cache"))
        self.folder, self._patch, self._profile = folder / "run", monkeypatch, folder / "old.toml"
        web = "\n".join(f"{key} = {value:.0f}" for key, value in QUICK.items() if isinstance(value, int))
        self._profile.write_text(f"{PROFILE}{web}\nrequests_per_hour = 10000000\nmin_free_gigabytes = 0\n")

    def __call__(self, *arguments: str, code: int = 0) -> str:
        about = ["--profile", str(self._profile), "--run", str(self.folder)]
        found = CliRunner().invoke(main, [*arguments, *about])
        assert found.exit_code == code, found.output + repr(found.exception)
        return " ".join(found.output.split())

    def crawl(self, *more: str, code: int = 0) -> str:
        return self("run", "crawl", "--workers", "0", *more, code=code)

    def only_crawl(self, *more: str, code: int = 0) -> str:
        """Without `crawl`'s other stage: the target is a stage of the same name."""
        self._profile.write_text(self._profile.read_text().replace('["crawl", "split"]', '["crawl"]'))
        return self.crawl(*more, code=code)

    def as_before(
        self, source: str, version: Callable[[Any], int | None] = lambda probed: 1, *, split: bool = True
    ) -> None:
        """Crawl with a reader of before: `version` says of each film with which; today's for 2."""
        measured = record.measured

        def old(probed: Any) -> dict[str, Any]:
            if (by := version(probed)) == 2:
                return measured(probed)
            unknown = {"combed": None, "combed_share": None, "sample_aspects": None, "interlaced": False}
            return {**measured(probed), **unknown, "reader_version": by}

        with self._patch.context() as patch:
            patch.setattr(record, "measured", old)
            (self.crawl if split else self.only_crawl)("--input", source)

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The rows of `videos` by the name of their film."""
        rows = Store(self.folder).read("videos").to_pylist()
        return {row["source"].rpartition("/")[2].partition(".")[0]: row for row in rows}

    @property
    def readers(self) -> dict[str, int | None]:
        return {name: row["reader_version"] for name, row in self.rows.items()}

    @property
    def pending(self) -> dict[str, int]:
        stages = json.loads(self("status", "--json"))["stages"]
        return {stage["stage"]: stage["pending"] for stage in stages if stage["pending"]}

    def outcomes(self) -> list[dict[str, Any]]:
        return Store(self.folder).outcomes("videos").select(["unit", "fingerprint", "versions", "status"]).to_pylist()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(tmp_path, monkeypatch)


def mixed(probed: Any) -> int | None:
    """The restarted clock was seen by today's reader, the combed film by one of before there were versions."""
    return 2 if probed.clock else None if probed.combed else 1


@pytest.fixture
def links(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A list of the films as a site has them, and a downloader that fails the test once `fetch` was forbidden."""
    path = tmp_path / "links.txt"
    with server.serve(films) as address:
        path.write_text("".join(f"{address}/{name}\n" for name in ("plain.mkv", "combed.mkv")))
        yield path


def forbid_fetching(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """From now on downloads fail; returns the list of those that were tried."""
    tried: list[str] = []

    def fetch(url: str, *_: Any) -> None:
        tried.append(url)
        raise AssertionError(f"{url} was fetched again")

    monkeypatch.setattr(fetching, "fetch", fetch)
    return tried


def raw(run: Run, name: str) -> Path:
    return run.folder / run.rows[name]["path"]


def free(run: Run, name: str) -> None:
    path = raw(run, name)
    path.unlink()
    tombstone_of(path).write_text("{}")


def test_what_an_older_reader_saw_is_told_and_read_again_when_asked_for(
    run: Run, films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.as_before(str(films), mixed)
    assert run.readers == {"plain": 1, "combed": None, "clock": 2}
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
    made = run.outcomes()
    said = run.crawl(code=1)
    assert "crawl 2 files were read by a reader without a version and reader 1, and today's is reader 2" in said
    assert "2 would be read again from disk, nothing is fetched" in said and NEWS in said
    assert ASKS in said and {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == before
    assert run.pending == {"crawl": 2} and "2 wait for --redo or --keep" in run("status")
    assert "2 only to be read again from disk by today's reader, with --redo: not fetched" in run.crawl("--dry-run")
    tried = forbid_fetching(monkeypatch)
    said = run.crawl("--redo")
    assert "crawl 2 read again from disk, by today's reader; 2 of 3 units: 2 ok" in said
    assert "split 1 of 3 units: 1 ok" in said, "of the film that came out otherwise alone"
    assert not run.pending and run.crawl().count("nothing to do") == 2 and "reader" not in run.crawl()
    assert run.outcomes() == made and not tried
    (tmp_path / "fresh").mkdir()
    fresh = Run(tmp_path / "fresh", monkeypatch)
    fresh.crawl("--input", str(films))
    assert run.rows == fresh.rows, "as if today's reader had been the first"


def test_what_is_kept_stays_until_redo(run: Run, films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run.as_before(str(films), mixed)
    rows = run.rows
    assert "2 files were read by" in run.crawl("--keep") and run.rows == rows
    assert "read by" not in run.crawl() and not run.pending and run.rows == rows
    assert "2 stay as they are (--keep)" in run("status")
    assert "not both" in run.crawl("--keep", "--redo", code=2)
    monkeypatch.setattr(
        readers, "READERS", (*readers.READERS, Reader("next", lambda column: column("clock").is_valid()))
    )
    for module in (readers, probing):
        monkeypatch.setattr(module, "READER_VERSION", 3)
    assert "3 files were read by" in run.crawl(code=1), "what was said of 2 says nothing of 3"
    assert run.crawl("--keep").count("nothing to do") == 2
    run.crawl("--redo")
    assert set(run.readers.values()) == {3} and not chosen_of(run.folder).kept


def test_the_next_reader_looks_again_at_the_files_that_it_concerns_alone(
    run: Run, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.only_crawl("--input", str(films))
    monkeypatch.setattr(
        readers, "READERS", (*readers.READERS, Reader("next", lambda column: column("clock").is_valid()))
    )
    for module in (readers, probing):
        monkeypatch.setattr(module, "READER_VERSION", 3)
    assert "1 file was read by reader 2, and today's is reader 3 (next): 1 would be read again" in run.crawl(code=1)
    assert "1 of 3 units: 1 ok" in run.crawl("--redo")
    assert run.readers == {"plain": 2, "combed": 2, "clock": 3} and "nothing to do" in run.crawl()


@pytest.mark.parametrize("notes", [True, False], ids=["with notes", "without"])
def test_downloads_are_read_where_they_lie_and_one_that_was_freed_stays(
    run: Run, links: Path, notes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.as_before(str(links), split=False)
    rows, made = run.rows, run.outcomes()
    free(run, "plain")
    if not notes:
        for note in run.folder.glob("fetched/*/*.json"):
            note.unlink()
    tried = forbid_fetching(monkeypatch)
    monkeypatch.setattr(Crawl, "driver", lambda *_: pytest.fail("nobody is to be asked"))
    said = run.crawl(code=1)
    assert "2 files were read by reader 1" in said and "1 would be read again from disk" in said
    assert "1 cannot be read again, and their rows stay (1 raw discarded)" in said
    assert "1 of 2 units: 1 ok" in run.crawl("--redo")
    assert run.rows["plain"] == rows["plain"] and run.readers == {"plain": 1, "combed": 2}
    assert run.rows["combed"] == {**rows["combed"], **{n: run.rows["combed"][n] for n in ("combed", "combed_share")},
                                  "interlaced": True, "reader_version": 2}  # fmt: skip
    said = run.crawl()
    assert "nothing to do" in said and "read" not in said and not run.pending and not tried and run.outcomes() == made
    assert "1 cannot be read again (1 raw discarded)" in run("status")


def test_where_nothing_can_be_read_again_nothing_is_asked(
    run: Run, links: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.as_before(str(links), split=False)
    for name in ("plain", "combed"):
        free(run, name)
    tried = forbid_fetching(monkeypatch)
    said = run.crawl()
    assert "2 cannot be read again, and their rows stay (2 raw discarded)" in said and "nothing to do" in said
    assert "read" not in run.crawl() and set(run.readers.values()) == {1} and not tried


def test_a_new_link_beside_them_is_fetched_and_they_are_not(
    run: Run, links: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = links.read_text()
    links.write_text(both.splitlines()[0])
    run.as_before(str(links), split=False)
    links.write_text(both)
    fetched: list[str] = []
    fetch = fetching.fetch
    monkeypatch.setattr(fetching, "fetch", lambda url, *more: (fetched.append(url), fetch(url, *more))[1])
    assert "1 read again from disk, by today's reader; 2 of 2 units: 2 ok" in run.crawl("--redo")
    assert fetched == [both.splitlines()[1]] and run.readers == {"plain": 2, "combed": 2}


def test_no_download_is_freed_before_somebody_decides(run: Run, links: Path) -> None:
    run.as_before(str(links))
    assert "2 kept: crawl is to read it again, or not (--redo, --keep)" in run("discard", "raw")
    run.crawl("--keep")
    assert "2 sources freed" in run("discard", "raw")


def test_a_file_of_another_input_is_told_and_stays(run: Run, films: Path, links: Path) -> None:
    run.as_before(str(films / "plain.mkv"), split=False)
    said = run.crawl("--input", str(films / "combed.mkv"))
    assert "1 cannot be read again, and their rows stay (1 not in today's input)" in said
    assert run.readers == {"plain": 1, "combed": 2} and "cannot" not in run.crawl()


def test_other_bytes_are_not_taken_for_the_film(run: Run, links: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run.as_before(str(links), split=False)
    rows, path = run.rows, raw(run, "combed")
    path.write_bytes(bytes(path.stat().st_size))
    forbid_fetching(monkeypatch)
    said = run.crawl("--redo")
    assert "does not hold what was crawled" in said and "source_changed" in said
    assert run.rows["combed"] == rows["combed"] and run.readers == {"plain": 2, "combed": 1}
    assert "1 would be read again" in run.crawl(code=1), "asked again, for it was not done"


def test_a_crash_costs_no_row_and_a_refusal_is_a_result(run: Run, films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run.as_before(str(films), split=False)
    probe = worker.probe

    def failing(path: Path, limits: Any) -> Any:
        if path.stem == "plain":
            raise RuntimeError("a bug")
        if path.stem == "combed":
            raise Reject(Reason.CORRUPT, "as today's reader says")
        return probe(path, limits)

    with monkeypatch.context() as patch:
        patch.setattr(worker, "probe", failing)
        assert "1 units could not be made again: crawl 1 exception" in run.crawl("--redo", code=3)
    assert run.readers == {"plain": 1, "clock": 2}
    assert "1 file was read by reader 1" in run.crawl(code=1) and "1 of 3 units: 1 ok" in run.crawl("--redo")
    assert run.readers == {"plain": 2, "clock": 2}


def test_who_fetched_a_video_stays_on_record(run: Run, links: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that an older crawl fetched are its own, whichever reader looks at them: no newer fetch is claimed of them."""
    with monkeypatch.context() as patch:
        patch.setattr(Crawl, "version", 1)
        run.as_before(str(links), split=False)
    made = run.outcomes()
    assert {one["versions"].rpartition(" ")[2] for one in made} == {"1"}
    forbid_fetching(monkeypatch)
    assert "2 of 2 units: 2 ok" in run.crawl("--redo")
    assert run.outcomes() == made and not run.pending and "nothing to do" in run.crawl()


def test_who_opted_out_is_not_read_again(run: Run, films: Path) -> None:
    run.as_before(str(films), split=False)
    (run.folder / "opt_out.txt").write_text(run.rows["plain"]["video_id"])
    assert "2 files were read by reader 1" in run.crawl(code=1)
    assert "2 of 3 units: 2 ok" in run.crawl("--redo") and run.readers == {"plain": 1, "combed": 2, "clock": 2}
