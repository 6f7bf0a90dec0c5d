"""Freed sources: what may go, what stays, that a kill loses nothing, and the way back."""

import functools
import json
import os
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner

from pipeline.base import files
from pipeline.base.reasons import Failure, Reason
from pipeline.base.units import Row
from pipeline.cli import main as cli
from pipeline.engine import discard
from pipeline.engine.profile import Profile, load
from pipeline.engine.stage import Context, Reads
from pipeline.engine.unit import Unit
from pipeline.engine.upkeep import collect
from pipeline.media.guard import open_container
from pipeline.registry.models import Registry
from pipeline.tables.lock import Occupied, driving
from pipeline.tables.opt_out import OptOut
from pipeline.tables.outcome import OK
from pipeline.tables.store import Store
from tests.pipeline.engine import toy_cli, toys
from tests.pipeline.engine.kills import age, dies, killed_at
from tests.pipeline.engine.runs import outcomes
from tests.stages.little_films import write_film

ROOM = 2  # sources that ToyFetch finds room for


class ToyFetch(toys.ToyCrawl):
    """Puts a file of each unit into the run, while there is room."""

    name: ClassVar[str] = "toy_fetch"

    film: str = ""

    _run: Path = Path()

    def setup(self, context: Context) -> None:
        self._run = context.run

    def process(self, unit: Unit) -> Iterator[Row]:
        folder = self._run / "raw" / "aa"
        folder.mkdir(parents=True, exist_ok=True)
        if len(list(folder.glob("*.mp4"))) >= ROOM:
            raise Failure(Reason.DISK_LIMIT, f"{ROOM} sources are there")
        path = folder / f"{unit.id}.mp4"
        path.write_bytes(Path(self.film).read_bytes())
        files.tombstone_of(path).unlink(missing_ok=True)
        [row] = super().process(unit)
        yield {**row, "path": f"raw/aa/{unit.id}.mp4", "sha256": "5" * 64}


class ToyLook(toys.Toy):
    """Opens the source of each clip."""

    name: ClassVar[str] = "toy_look"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("clips", ("frames",)), Reads("videos", ("path", "sha256")))
    writes: ClassVar[str] = "sound_measures"
    unit: ClassVar[str] = "clip_id"

    level: float = 0.0

    _run: Path = Path()

    def setup(self, context: Context) -> None:
        self._run = context.run

    def process(self, unit: Unit) -> Iterator[Row]:
        with open_container(self._run / unit.row("videos")["path"]):
            yield {"clip_id": unit.id, "video_id": unit.id.partition("/")[0], "loudness_dbfs": self.level}


TOYS = """
[targets]
crawl = ["toy_fetch", "toy_split"]
filter = ["toy_look"]
"""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("film") / "film.mp4", [130])


@pytest.fixture
def csg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Command":
    toy_cli.register(monkeypatch.setitem, ToyFetch, ToyLook)
    monkeypatch.setenv("CSG405_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    return Command(tmp_path)


class Command:
    """The command over one run."""

    def __init__(self, folder: Path) -> None:
        self.run = folder / "run"
        self.profile = folder / "profile.toml"

    def __call__(self, *arguments: str, code: int = 0) -> str:
        workers = ["--workers", "0"] if arguments[0] == "run" else []
        about = ["--profile", str(self.profile), "--run", str(self.run), *workers]
        found = CliRunner().invoke(cli.main, [*arguments, *about])
        assert found.exit_code == code, found.output + repr(found.exception)
        return found.output

    @property
    def films(self) -> list[str]:
        return sorted(path.name for path in (self.run / "raw").rglob("*.mp4"))

    @property
    def stones(self) -> list[Path]:
        return sorted((self.run / "raw").rglob("*.discarded"))

    def toys(self, film: Path, *units: str) -> None:
        self.profile.write_text(
            f"{TOYS}\n[stages.toy_fetch]\nfilm = {json.dumps(str(film))}\nunits = {json.dumps(units)}"
        )


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two films on a web server of this machine."""
    folder = tmp_path_factory.mktemp("site")
    for number in (1, 2):
        write_film(folder / f"{number}.mp4", [130], seed=number)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_there_and_back(csg: Command, site: str) -> None:
    """Crawled, split, looked at, freed; a setting changes; fetched again; as if nothing had been freed."""
    links = csg.profile.with_name("links.txt")
    links.write_text("".join(f"{site}/{n}.mp4\n" for n in (1, 2)))
    csg.profile.write_text(
        f'[targets]\ncrawl = ["crawl", "split"]\nfilter = ["toy_look"]\n[web]\nmin_free_gigabytes = 0\nrequests_per_hour = 1e9\n'
        f"[stages.crawl]\nallow_loopback = true\ninput = {json.dumps(str(links))}\n[stages.split]\nvad = []\n"
    )
    csg("run", "crawl")
    before = csg.films
    assert "no sources freed" in csg("discard", "raw") and csg.films == before, "nobody has looked at them yet"
    assert "2 kept: toy_look is not done" in csg("discard", "raw")
    assert "2 sources freed" in csg("run", "filter", "--discard", "raw")
    assert csg.films == [] and len(before) == len(csg.stones) == 2
    stone = json.loads(csg.stones[0].read_text())
    assert len(stone["sha256"]) == 64 and stone["bytes"] > 1000 and stone["when"].startswith("20")
    assert csg("run", "crawl", "filter", "--discard", "raw").count("nothing to do") == 3, "what is done stays done"

    changed = ("--set", "toy_look.level=-20")
    levels = measured(csg.run)
    for _ in range(2):  # the second time as the first
        said = csg("run", "filter", *changed)
        assert said.count("not made again, its rows stay: ") == said.count("(source_discarded: ") == 2
        assert f"all done; 2 wait for their source: csg405 retry --refetch --run {csg.run}" in said
        assert measured(csg.run) == levels and len(levels) == 2
    said = csg("status", *changed)
    assert "2 units wait for a source that was freed: csg405 retry --refetch" in said

    assert "nothing matches" in csg("retry", "--refetch", "--stage", "split")
    said = csg("retry", "--refetch")
    assert "2 units of videos will be tried again" in said and csg.stones == []
    assert measured(csg.run) == levels, "what is there counts until it is made anew"
    said = csg("run", "crawl", "filter", *changed)
    assert set(measured(csg.run).values()) == {-20.0}
    assert "2 of 2 units: 2 ok" in said and "split  nothing to do (2 units)" in said
    assert "toy_look  2 of 2 units: 2 ok" in said
    assert csg.films == before and csg.stones == []
    assert "nothing matches" in csg("retry", "--refetch")
    assert "2 sources freed" in csg("discard", "raw", *changed)


def measured(run: Path) -> dict[str, float]:
    """{clip: what toy_look found}."""
    rows = Store(run).read("sound_measures", ["clip_id", "loudness_dbfs"]).to_pylist()
    return {row["clip_id"]: row["loudness_dbfs"] for row in rows}


def test_what_was_never_made_of_a_freed_source_waits_as_a_failure(csg: Command, film: Path) -> None:
    csg.toys(film, "a")
    csg("run", "crawl")
    [path] = (csg.run / "raw" / "aa").glob("*.mp4")
    files.tombstone_of(path).write_text("{}")
    path.unlink()
    assert "toy_look  2 of 2 units: 2 failed" in csg("run", "filter")
    assert {o["reason"] for o in outcomes(csg.run, "sound_measures").values()} == {"source_discarded"}
    assert "toy_look  nothing to do (2 units, of them 2 failed before)" in csg("run", "filter"), "they wait"
    said = csg("retry", "--refetch")
    assert "1 units of videos will be tried again" in said and "2 units of sound_measures" in said
    assert "toy_look  nothing to do (0 units)" in csg("run", "filter"), "the video is not back yet"
    assert "toy_look  2 of 2 units: 2 ok" in csg("run", "crawl", "filter")


def test_a_full_disk_is_freed_by_the_stages_after_it(csg: Command, film: Path) -> None:
    csg.toys(film, "a", "b", "c", "d", "e")
    said = csg("run", "crawl", "filter", "--discard", "raw")
    assert said.count("2 sources freed") == 2 and said.count("1 sources freed") == 1
    assert "toy_fetch stopped: 2 sources are there." in said and csg.films == []
    assert {o["status"] for o in outcomes(csg.run, "sound_measures").values()} == {OK}
    assert len(outcomes(csg.run, "sound_measures")) == 10


def test_a_full_disk_without_anything_to_free_stops(csg: Command, film: Path) -> None:
    csg.toys(film, "a", "b", "c")
    for arguments in (("crawl",), ("crawl", "--discard", "raw")):
        said = csg("run", *arguments, code=1)
        assert "toy_fetch stopped: 2 sources are there. Let the later stages run with --discard raw" in said
    assert len(csg.films) == 2


@pytest.fixture
def looked(csg: Command, film: Path) -> Command:
    csg.toys(film, "a", "b")
    csg("run", "crawl", "filter")
    return csg


def free(csg: Command, **wish: Any) -> discard.Freed:
    return discard.free(load(str(csg.profile)), Store(csg.run), Registry(), **wish)


def test_a_dry_run_frees_nothing(looked: Command) -> None:
    said = looked("discard", "raw", "--dry-run")
    assert "2 sources could go" in said and "raw/aa/a.mp4" in said
    assert looked.films == ["a.mp4", "b.mp4"] and looked.stones == []


def test_a_source_stays_for_a_unit_that_failed(looked: Command) -> None:
    (looked.run / "raw" / "aa" / "b.mp4").write_bytes(b"no film")
    assert "toy_look  4 of 4 units: 2 ok, 2 rejected" in looked("run", "filter", "--set", "toy_look.level=1")
    [gone, torn] = [looked.run / "raw" / "aa" / name for name in ("a.mp4", "b.mp4")]
    torn.rename(torn.with_suffix(".away"))
    looked("run", "filter", "--set", "toy_look.level=2")
    torn.with_suffix(".away").rename(torn)
    said = looked("discard", "raw", "--set", "toy_look.level=2")
    assert "1 sources freed" in said and "1 kept: toy_look" in said
    assert torn.exists() and not gone.exists()


def test_files_outside_the_run_are_never_touched(looked: Command, tmp_path: Path) -> None:
    """Whatever a row says: absolute, through a link, or out of the folder."""
    elsewhere = tmp_path / "elsewhere.mp4"
    inside = looked.run / "raw" / "aa" / "a.mp4"
    elsewhere.write_bytes(inside.read_bytes())
    inside.unlink()
    inside.symlink_to(elsewhere)
    outside = [str(elsewhere), "../elsewhere.mp4", "raw/../../elsewhere.mp4", "raw/aa/a.mp4", "tables", ""]
    found = Store(looked.run)
    for path in outside:
        rows = [{"video_id": "file:a", "path": path, "sha256": "5" * 64}]
        found.read = lambda *_, rows=rows: type("Rows", (), {"to_pylist": lambda self: rows})()  # type: ignore[method-assign]
        assert discard.free(load(str(looked.profile)), found, Registry()).sources == [], path
    assert elsewhere.exists() and inside.is_symlink()


def test_a_folder_of_ones_own_is_used_in_place(csg: Command, film: Path) -> None:
    folder = csg.run / "raw"  # even there
    folder.mkdir(parents=True)
    (folder / "mine.mp4").write_bytes(film.read_bytes())
    csg.profile.write_text(
        '[targets]\ncrawl = ["crawl", "split"]\n[stages.split]\nvad = []\n'
        f"[stages.crawl]\ninput = {json.dumps(str(folder))}\n"
    )
    assert "no sources freed" in csg("run", "crawl", "--discard", "raw")
    assert csg.films == ["mine.mp4"] and csg.stones == []


def test_it_may_be_killed_at_any_step(looked: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    while True:
        steps += 1
        with monkeypatch.context() as patch:
            killed_at(patch, steps)
            over = not dies(lambda: free(looked))
        for name in ("a", "b"):
            path = looked.run / "raw" / "aa" / f"{name}.mp4"
            assert path.exists() or files.tombstone_of(path).exists(), f"{name} is lost, killed at step {steps}"
        if over:
            break
    assert steps > 6 and looked.films == [] and len(looked.stones) == 2
    assert looked("run", "crawl", "filter").count("nothing to do") == 3


def test_it_keeps_out_of_the_way_of_a_stage_that_reads(looked: Command) -> None:
    with driving(looked.run, "sound_measures"):
        with pytest.raises(Occupied):
            free(looked)
        assert f"process {os.getpid()} on" in looked("discard", "raw", code=1)
        assert "discard  not now: process" in looked("run", "filter", "--discard", "raw")
        assert len(free(looked, dry_run=True).sources) == 2
    with driving(looked.run, "videos"):
        assert len(free(looked).sources) == 2, "a crawl that goes on is no obstacle"


def test_a_net_that_is_missing_keeps_sources(looked: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyLook, "model_names", lambda self: (("dwpose_l",),))
    said = looked("discard", "raw")
    assert "no sources freed" in said and "2 kept: toy_look cannot run here" in said


def test_what_is_left_out_is_not_freed_but_collected(looked: Command) -> None:
    found = discard.free(load(str(looked.profile)), Store(looked.run, OptOut(frozenset({"file:a"}))), Registry())
    assert [source.video_id for source in found.sources] == ["file:b"]


def test_gc_keeps_the_tombstones_of_what_counts(looked: Command) -> None:
    free(looked)
    other = looked.run / "raw" / "aa" / "nobody.mp4.discarded"
    other.write_text("{}")
    age(looked.run)
    collect(Store(looked.run))
    assert len(looked.stones) == 2 and other not in looked.stones


@pytest.mark.parametrize("name", ["folder", "demo", "csg405", "rebuild"])
def test_which_stages_need_sources(name: str) -> None:
    profile: Profile = load(name)
    found = [stage.name for stage in discard.needing_sources(profile)]
    assert {"annotate", "measure_pose", "measure_sound", "judge", "export", "previews"} <= set(found)
    assert ("split" in found) != ("manifest_clips" in found)
    assert not {"crawl", "search", "shards", "report"} & set(found)


def test_refetch_of_one_stage_alone(looked: Command) -> None:
    free(looked)
    looked("run", "filter", "--set", "toy_look.level=3")
    assert "nothing matches" in looked("retry", "--refetch", "--stage", "toy_split")
    assert "2 units of videos" in looked("retry", "--refetch", "--stage", "toy_look")


def test_a_freed_file_is_no_lost_file(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    with pytest.raises(Failure, match="source_missing"):
        open_container(path)
    files.tombstone_of(path).write_text("{}")
    with pytest.raises(Failure, match="source_discarded"):
        open_container(path)
