"""Several folders as one input: names that meet, files that lie in two of them, a run that began with one."""

import shutil
from pathlib import Path

import pytest

from pipeline.engine.runner import Options, Summary, run_stage
from pipeline.engine.session import Session
from pipeline.registry.models import Registry
from pipeline.sources.local.several import each, joined, labels
from pipeline.sources.web.lists import InputError
from pipeline.tables.store import Store
from stages.crawl import Crawl
from stages.crawl.inputs import input_of
from tests.stages.little_films import write_film


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for seed, name in enumerate("abc", 1):
        write_film(folder / f"{name}.mp4", [130 + seed], seed=seed)
    return folder


class Place:
    """Folders of films, and a run that is made from some of them."""

    def __init__(self, folder: Path, films: Path) -> None:
        self.folder, self.films, self.run = folder, films, folder / "run"

    def put(self, film: str, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.films / f"{film}.mp4", path)
        return path

    def crawl(self, *given: str) -> Summary:
        text = joined([str(self.folder / one) for one in given])
        return run_stage(Crawl(input=text), self.run, Registry(), Options(workers=0))

    def videos(self) -> dict[str, str]:
        """{unit: where its file is}."""
        rows = Store(self.run).read("videos", ["source", "path"]).to_pylist()
        return {row["source"]: str(Path(row["path"]).relative_to(self.folder)) for row in rows}


@pytest.fixture
def place(tmp_path: Path, films: Path) -> Place:
    return Place(tmp_path, films)


def test_files_of_one_name_in_two_folders_are_two_videos(place: Place) -> None:
    place.put("a", "one/talk.mp4")
    place.put("b", "two/talk.mp4")
    place.put("a", "two/again.mp4")
    done = place.crawl("one", "two")
    reasons = [one["reason"] for one in Store(place.run).outcomes("videos").to_pylist() if one["reason"]]
    assert done.counts == {"ok": 2, "rejected": 1} and reasons == ["duplicate"]
    assert set(place.videos().values()) <= {"one/talk.mp4", "two/talk.mp4", "two/again.mp4"}
    assert "two/talk.mp4" in place.videos() and not place.crawl("two", "one").pending, "the order says nothing"


def test_a_run_that_began_with_one_folder_keeps_its_units(place: Place) -> None:
    place.put("a", "one/talk.mp4")
    place.put("b", "two/talk.mp4")
    assert place.crawl("one").counts == {"ok": 1} and place.videos() == {"talk.mp4": "one/talk.mp4"}
    assert place.crawl("one", "two").counts == {"ok": 1}
    assert place.videos() == {"talk.mp4": "one/talk.mp4", "two/talk.mp4": "two/talk.mp4"}
    place.put("c", "three/deep/talk.mp4")
    assert place.crawl("three", "two", "one").counts == {"ok": 1} and len(place.videos()) == 3
    assert not place.crawl("one").pending and not place.crawl("one", "two", "three").pending


def test_folders_of_one_name_and_folders_in_folders(place: Place) -> None:
    place.put("a", "x/day/talk.mp4")
    place.put("b", "y/day/talk.mp4")
    given = [str(place.folder / name / "day") for name in "xy"]
    units = list(input_of(joined(given)).units(Store(place.run)))  # type: ignore[arg-type]
    assert len(units) == 2 and all(unit.startswith("day~") and unit.endswith("/talk.mp4") for unit in units)
    assert place.crawl("x/day", "y/day", "x").counts == {"ok": 2}, "a file in two of them is there once"
    assert place.crawl("x/day/talk.mp4", "y/day").pending == 0, "files may be named too"


def test_what_is_no_folder_is_told(place: Place) -> None:
    place.put("a", "one/talk.mp4")
    (place.folder / "links.txt").write_text("yt:aaaaaaaaaaa\n")
    with pytest.raises(
        InputError, match=r"of several inputs each is a folder of videos, or a video; not so: .*links\.txt$"
    ):
        input_of(joined([str(place.folder / "one"), str(place.folder / "links.txt")]))
    (place.folder / "two").mkdir()
    (place.folder / "two" / "notes.txt").touch()
    (place.folder / "three").mkdir()
    nothing = input_of(joined([str(place.folder / name) for name in ("two", "three")])).nothing()
    assert "hold no video; left out: in " in nothing and "1 file by name no video (1 .txt)" in nothing


def test_a_run_remembers_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two", "odd\nname"):
        (tmp_path / name).mkdir()
    both = Session("folder", "run", joined(["one", "two"]), "", "", "", ())
    both.keep_profile()
    again = Session("", "run", "", "", "", "", ())
    assert again.profile.stage("crawl").input == f"{tmp_path}/one\n{tmp_path}/two"  # type: ignore[attr-defined]
    other = Session("folder", "elsewhere", joined(["one", "two"]), "", "", "", ())
    assert other.again("crawl", {})[-4:] == ["--input", str(tmp_path / "one"), "--input", str(tmp_path / "two")]
    assert each(str(tmp_path / "odd\nname")) == [str(tmp_path / "odd\nname")], "one folder, of an odd name"
    assert each("") == [""]


def test_together_they_may_be_longer_than_a_path_can_be(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)
    names = [f"{number:02d}{'x' * 98}" for number in range(60)]
    for name in names:
        (place.folder / name).mkdir()
    place.put("a", f"{names[7]}/talk.mp4")
    both = Session("folder", "run", joined(names), "", "", "", ())
    text = both.profile.stage("crawl").input  # type: ignore[attr-defined]
    assert len(text) > 4096 and each(text) == [str(place.folder / name) for name in names]
    assert list(input_of(text).units(Store(place.run))) == [f"{names[7]}/talk.mp4"]  # type: ignore[arg-type]
    (place.folder / "list.txt").touch()
    with pytest.raises(InputError, match=r"not so: list\.txt$"):
        input_of(joined([*names, "list.txt"]))


def test_names_of_folders() -> None:
    assert labels([Path("/a/one"), Path("/b/two")]) == {Path("/a/one"): "one", Path("/b/two"): "two"}
    marked = labels([Path("/a/day"), Path("/b/day"), Path("/")])
    assert len(set(marked.values())) == 3 and all("/" not in name for name in marked.values())
