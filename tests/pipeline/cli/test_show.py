"""`show` by what people know of a unit, `failed` and `availability` for programs, and tables for spreadsheets."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from pipeline.cli import main as cli
from pipeline.tables.kinds import KINDS
from pipeline.tables.opt_out import OptOut
from pipeline.tables.store import Store
from pipeline.views.find import find
from pipeline.views.spreadsheet import as_cells, cell_columns
from tests.pipeline.cli.toy_run import ToyRun

VIDEOS = [
    {
        "video_id": "yt:aaaaaaaaaaa",
        "source": "https://www.youtube.com/watch?v=aaaaaaaaaaa",
        "title": "Cafe\u0301 talk, part 1",
    },
    {
        "video_id": "yt:bbbbbbbbbbb",
        "source": "https://www.youtube.com/watch?v=bbbbbbbbbbb",
        "title": "Café talk, part 2",
    },
    {
        "video_id": "file:0123456789abcdef",
        "source": "day 1/Keynote.MP4",
        "title": "Keynote",
        "path": "/films/day 1/Keynote.MP4",
    },
    {
        "video_id": "file:0123999999999999",
        "source": "keynote-2.mkv",
        "title": "=HYPERLINK(1)",
        "path": "raw/ab/file_0123.mkv",
    },
]


class Known:
    """A store in which only this is known."""

    def __init__(self, opt_out: OptOut | None = None) -> None:
        self.opt_out = opt_out or OptOut()
        self.kinds = ["videos", "clips"]
        self.opted_out = pa.array(sorted(self.opt_out.videos), pa.string())

    def read(self, kind: str, columns: list[str]) -> pa.Table:
        rows = {
            "videos": VIDEOS,
            "samples": [{"person_id": "yt:aaaaaaaaaaa/0+250#0", "video": "clips/ab/yt_aaa_0_250_0_77.mp4"}],
        }.get(kind, [])
        return pa.Table.from_pylist([{name: row.get(name) for name in columns} for row in rows])

    def keys(self, kind: str) -> pa.Array:
        known = {
            "videos": [row["video_id"] for row in VIDEOS],
            "clips": ["yt:aaaaaaaaaaa/0+250"],
            "persons": ["yt:aaaaaaaaaaa/0+250#0", "yt:aaaaaaaaaaa/0+250#1"],
        }
        return pa.array(known[kind], pa.string())

    def outcomes(self, kind: str) -> pa.Table:
        units = [*(row["source"] for row in VIDEOS), "broken talk.avi"] if kind == "videos" else ["all"]
        return pa.table({"unit": pa.chunked_array([pa.array(units)])})


@pytest.mark.parametrize(
    ("words", "units"),
    [
        ("yt:aaaaaaaaaaa", ["yt:aaaaaaaaaaa"]),
        ("yt:aaaaaaaaaaa/0+250#1", ["yt:aaaaaaaaaaa/0+250#1"]),
        ("yt:aaaaaaaaaaa/0+250", ["yt:aaaaaaaaaaa/0+250"]),  # and not what is in it
        ("https://youtu.be/bbbbbbbbbbb?t=12", ["yt:bbbbbbbbbbb"]),
        ("https://www.youtube.com/watch?v=bbbbbbbbbbb", ["yt:bbbbbbbbbbb"]),
        ("/films/day 1/Keynote.MP4", ["file:0123456789abcdef"]),
        ("./keynote.mp4", ["file:0123456789abcdef"]),
        ("KEYNOTE", ["file:0123456789abcdef"]),  # a whole name before a part of one
        ("keynote-", ["file:0123999999999999"]),
        ("yt_aaa_0_250_0_77.mp4", ["yt:aaaaaaaaaaa/0+250#0"]),
        ("file:0123", ["file:0123456789abcdef", "file:0123999999999999"]),
        ("CAFÉ", ["yt:aaaaaaaaaaa", "yt:bbbbbbbbbbb"]),  # composed and not
        ("part 2", ["yt:bbbbbbbbbbb"]),
        ("broken talk.avi", ["broken talk.avi"]),
        ("broken", ["broken talk.avi"]),
        ("nobody", []),
    ],
)
def test_how_people_name_a_unit(words: str, units: list[str]) -> None:
    assert [one.unit for one in find(Known(), words)] == units  # type: ignore[arg-type]


def test_who_opted_out_is_found_by_id_and_link() -> None:
    store = Known(OptOut(frozenset({"yt:ccccccccccc"})))
    for words in ("yt:ccccccccccc", "https://youtu.be/ccccccccccc"):
        assert [one.unit for one in find(store, words)] == ["yt:ccccccccccc"]  # type: ignore[arg-type]


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyRun:
    made = ToyRun(tmp_path, monkeypatch, '["a", "b", "raise"]')
    made.all(code=3)
    return made


def test_show_lists_several_and_tells_one(toys: ToyRun) -> None:
    said = toys("show", "file:")
    assert "2 match 'file:':" in said and "  file:a\n" in said and "  file:b\n" in said
    told = json.loads(toys("show", "a", "--json"))
    assert told["unit"] == "file:a" and told["chapters"][0]["outcome"]["stage"] == "toy_crawl"
    assert told["chapters"][0]["outcome"]["at"].endswith("+00:00") and told["damages"] == []
    assert json.loads(toys("show", "file:", "--json"))["unit"] is None
    assert [one["unit"] for one in json.loads(toys("show", "file:", "--json"))["matches"]] == ["file:a", "file:b"]
    assert (
        json.loads(CliRunner().invoke(cli.main, ["show", "x", "y", "--json", "--run", str(toys.run)]).stdout)["matches"]
        == []
    )
    assert "knows nothing of x y" in toys("show", "x", "y", code=1)


def test_failures_for_programs(toys: ToyRun) -> None:
    told = json.loads(toys("failed", "--json"))
    (one,) = told["failed"]
    assert told["count"] == 1 and (one["stage"], one["unit"], one["reason"]) == ("toy_crawl", "raise", "exception")
    assert one["attempt"] == 1 and one["at"] and "as asked" in one["detail"]
    assert json.loads(toys("failed", "--json", "--limit", "0")) == {"failed": [], "count": 1, "damages": []}


def test_availability_for_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toys = ToyRun(tmp_path, monkeypatch)
    (tmp_path / "links.txt").write_text("yt:aaaaaaaaaaa\nyt:bbbbbbbbbbb\n")
    found = CliRunner().invoke(cli.main, ["availability", "--json", "-m", "links.txt", "-r", str(toys.run)])
    assert found.exit_code == 0 and json.loads(found.stdout)["videos"]["total"] == 2


def test_a_csv_keeps_reasons_and_lists(toys: ToyRun, tmp_path: Path) -> None:
    assert "only in .parquet: keypoints" in toys("table", "persons", "--out", str(tmp_path / "persons.csv"))
    toys("table", "verdicts", "--out", str(tmp_path / "verdicts.csv"))
    with (tmp_path / "verdicts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    stored = Store(toys.run).read("verdicts").to_pylist()
    assert [json.loads(row["reasons"]) for row in rows] == [row["reasons"] for row in stored]
    assert set(rows[0]) == set(KINDS["verdicts"].schema.names)
    said = toys("table", "verdicts", "--out", str(tmp_path / "verdicts.xlsx"), code=2)
    assert "is written as .parquet or .csv" in said


def test_cells_are_no_formulas_and_numbers_stay_numbers() -> None:
    hostile = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "a=1", "", None, "'=1"]
    rows = pa.table({"title": hostile, "loudness_dbfs": [-23.5] * 10, "reasons": pa.array([["=1"]] * 9 + [None])})
    cells = as_cells(rows)
    assert cells["title"].to_pylist() == ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\t=1", "'\r=1", "a=1", "", None, "'=1"]
    assert cells["loudness_dbfs"].to_pylist() == [-23.5] * 10
    assert cells["reasons"].to_pylist() == ['["=1"]'] * 9 + [None]
    assert as_cells(rows, verbatim=True)["title"].to_pylist() == hostile


def test_which_columns_fit_into_cells() -> None:
    left = {name: set(kind.schema.names) - set(cell_columns(kind)) for name, kind in KINDS.items()}
    assert {name: columns for name, columns in left.items() if columns} == {
        "clips": {"motion_print", "scene_print"},
        "persons": {"keypoints", "scores", "boxes", "face_sharpness"},
        "overlaps": {"voice_scores"},
        "samples": {"keypoints", "scores", "local", "neck", "audio"},
        "attributes": {"identity"},
        "audio_features": {"audio_features"},
        "subjects": {"keypoints", "scores", "audio"},
        "renditions": {"keypoints", "scores"},
        "scores": {"fid_features", "fvd_features"},
        "sound_fingerprints": {"fingerprint"},
    }
