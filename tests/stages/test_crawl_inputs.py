"""The kinds of input that `crawl.input` may name, and how the setting chooses one."""

from pathlib import Path

import pytest

from pipeline.engine.stage import Reads
from pipeline.sources.web.lists import InputError
from pipeline.tables.store import Store
from stages.crawl import Crawl
from stages.crawl.inputs import INPUTS, input_of
from stages.crawl.inputs.folder import Folder
from stages.crawl.inputs.links import Links
from stages.crawl.inputs.search import Search
from stages.crawl.inputs.theatre import Theatre


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a film in `videos` and a list of links."""
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "film.MP4").write_bytes(b"film")
    (tmp_path / "links.txt").write_text("https://example.org/film.mp4\nno link\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("setting", "kind"),
    [("videos", Folder), ("videos/film.MP4", Folder), ("links.txt", Links), ("search", Search), ("theatre", Theatre)],
)
def test_the_setting_chooses(setting: str, kind: type, files: Path) -> None:
    assert type(input_of(setting)) is kind
    assert kind in INPUTS


@pytest.mark.parametrize("name", ["search", "theatre"])
def test_a_folder_does_not_take_the_name_of_another_kind(name: str, files: Path) -> None:
    (files / name).mkdir()
    assert type(input_of(name)) is not Folder and type(input_of(f"./{name}")) is Folder


@pytest.mark.parametrize(
    ("setting", "said"),
    [("", "a folder of videos, a list of links, or `theatre`"), ("nowhere", "no file or folder nowhere")],
)
def test_a_setting_that_names_nothing_is_told(setting: str, said: str, files: Path) -> None:
    with pytest.raises(InputError, match=said):
        input_of(setting)


def test_units_and_those_that_can_only_be_refused(files: Path) -> None:
    store = Store(files / "run")
    assert input_of("videos").units(store) == input_of("videos/film.MP4").units(store) == {"film.MP4": ""}
    (link, line) = input_of("links.txt").units(store) or []
    assert link == "https://example.org/film.mp4"
    assert list(input_of("links.txt").refused()) == [line] and line.startswith("line 2")
    assert input_of("search").units(store) is None, "they are rows of a table"
    assert all(unit.startswith("theatre://") for unit in input_of("theatre").units(store) or [""])
    for setting in ("videos", "search", "theatre"):
        assert not input_of(setting).refused()


def test_the_stage_is_declared_from_its_inputs() -> None:
    assert Crawl.reads == (Reads("sources", ("speech_type", "language", "query", "query_rank")),)
    description = Crawl.model_fields["input"].description or ""
    assert all(kind.description in description for kind in INPUTS)


def test_the_demo_is_known_to_its_own_input_only() -> None:
    room = Path(__file__).parents[2] / "stages" / "crawl"
    naming = {path.relative_to(room).as_posix() for path in room.rglob("*.py") if "theatre" in path.read_text().lower()}
    assert naming == {"inputs/__init__.py", "inputs/theatre.py"}


def test_workers_import_what_fetches_for_inputs_that_are_fetched_alone(files: Path) -> None:
    assert Crawl(input=str(files)).preloads() == ()
    for fetched in ("theatre", "search"):
        assert Crawl(input=fetched).preloads() == ("stages.crawl.warm",)
