"""The page's data, made a column at a time: each value as `json.dumps` writes it, and safe inside a script."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.tables.store import Store
from stages.report import cards, gather, page, text
from stages.report.gather import Preview
from stages.report.settings import ReportSettings
from tests.stages import fake_run

WORDS = [
    "",
    "a",
    'an "apple"',
    "back\\slash",
    "<b>&</b>",
    "\u2028 \u00e9 \u4e2d \U0001f600",
    "tab\tline\nend",
    "\x00\x7f",
    None,
]


def expected(value: Any) -> str:
    plain = json.dumps(value, separators=(",", ":"))
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def test_numbers_are_written_as_json_does() -> None:
    rng = np.random.default_rng(405)
    edges = [0.0, -0.0, 1.0, -1.0, 0.1, 0.3, 1e-4, 9.99999e-5, 999_999.0, 999_999.5, 1e6, 1e15, 1e16, 5e-324, 1.7e308]
    values = np.concatenate(
        [
            np.array([*edges, np.nan, np.inf, -np.inf]),
            rng.normal(0, 1, 20_000) * 10.0 ** rng.integers(-12, 20, 20_000),
            np.round(rng.normal(0, 500, 5_000)),
            rng.integers(-1_000_000, 1_000_000, 5_000) / 1000,
        ]
    )
    for one in (values, text.six_digits(values)):
        assert text.numbers(one).to_pylist() == [json.dumps(v) if math.isfinite(v) else "null" for v in one.tolist()]


def test_six_digits_are_those_of_the_format() -> None:
    rng = np.random.default_rng(406)
    values = rng.normal(0, 1, 20_000) * 10.0 ** rng.integers(-12, 15, 20_000)
    assert text.six_digits(values).tolist() == [float(f"{value:.6g}") for value in values.tolist()]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (WORDS, "str"),
        (WORDS, object),
        ([WORDS[:3], [], WORDS[3:-1], ["x"]], object),
        ([[1, -2, 3], None, []], object),
        ([True, False, None], object),
        ([True, False], bool),
        ([3, -4, 1 << 60], "int64"),
        ([0.5, None, 2.0], "float64"),
        ([None, None], object),
        ([1, "two", [3.5], {"four": None}, None], object),
        ([[0.25, 1e-7], None], object),
    ],
)
def test_columns_of_every_kind(values: list[Any], dtype: Any) -> None:
    assert text.column(pd.Series(values, dtype=dtype)).to_pylist() == [expected(value) for value in values]


def test_slices_of_columns() -> None:
    whole = pa.array([["a"], ["<", "b"], None, ["c"]])
    assert text.arrow(whole.slice(1, 2)).to_pylist() == ['["\\u003c","b"]', "null"]
    assert text.strings(pa.array(WORDS).slice(3, 2)).to_pylist() == [expected(word) for word in WORDS[3:5]]


@pytest.fixture
def tables(tmp_path: Path) -> gather.RunTables:
    """Nine people with every kind of link and film."""
    store = Store(tmp_path / "run")
    urls = [
        "https://www.youtube.com/watch?v=abc&t=5#there",
        "https://youtu.be/x",
        "https://example.org/a?b=1&c",
        "javascript:alert(1)",
        None,
    ]
    with fake_run.together(store):
        for number, url in enumerate(urls, 1):
            fake_run.kept(store, number, 0, 300, url=url, title=WORDS[number])
        fake_run.add_person(store, 5, 600, keep=False, reasons=["side_view", "static_pose"], details=["< 1 deg", "x"])
    found = gather.gather(store)
    people = found.people["person_id"].tolist()
    previews = {
        people[0]: Preview("previews/a.webp"),
        people[1]: Preview("previews/b.webp", "previews/l.webp", 7, None, "previews/p.js"),
        people[-1]: Preview("previews/c.webp", None, 5, "previews/c.mp4", None),
    }
    return replace(found, previews=previews)


def record(row: dict[str, Any], tables: gather.RunTables) -> dict[str, Any]:
    """A card made by itself, from a row of the frame."""
    preview, sample = tables.previews.get(row["person_id"]), row["sample"]
    still = None if preview is None else preview.loop
    if preview and not still and sample:
        still = preview.path.replace(".webp", ".loop.webp")
    film = sample or (preview.clip if preview else None)
    paths = {"p": preview and preview.path, "l": still, "v": film, "z": preview and preview.pose}
    found = {key: path and f"../{path}" for key, path in paths.items()}
    return {
        "i": row["person_id"], "t": row["title"] or row["video_id"], "c": row["channel"],
        "u": cards.link(row["url"], row["start_seconds"]), "s": row["start_seconds"], "n": row["seconds"],
        "p": found["p"], "h": preview and preview.tiles, "l": found["l"], "v": found["v"], "z": found["z"],
        "k": row["keep"], "o": row["overridden"], "r": row["reasons"], "d": row["details"], "q": row["unmeasured"],
        "b": row["crop_box"], "a": [row["speech_type"], row["licence"]],
        "m": [row[field.name] for field in gather.measures()],
    }  # fmt: skip


@pytest.mark.parametrize("size", [1, 4, 100])
def test_cards_are_the_rows_of_the_frame_one_by_one(tables: gather.RunTables, size: int, monkeypatch) -> None:
    monkeypatch.setattr(cards, "_AT_ONCE", 5)
    pieces = list(cards.pieces(tables, size))
    rows = [record(row, tables) for row in page._dicts(tables.people)]
    assert len(rows) == 11
    assert pieces == [text.json_of(rows[first : first + size]) for first in range(0, len(rows), size)]
    links = {json.loads(piece)[0]["u"] for piece in cards.pieces(tables, 1)}
    assert "https://www.youtube.com/watch?v=abc&t=12s#there" in links and "https://youtu.be/x?t=12s" in links
    assert None in links and "javascript:alert(1)" not in links


def test_data_that_stays_the_same_is_not_written_again(tables: gather.RunTables, tmp_path: Path) -> None:
    """Of ten pieces, the one whose card changed is another file afterwards."""
    folder, settings = tmp_path / "report", ReportSettings(clips_a_file=10)
    small = settings.model_copy(update={"clips_a_file": 1})
    page.write(folder, tables, small)
    before = {path.name: path.stat().st_ino for path in (folder / "data").glob("people-*.js")}
    kept = tables.people["keep"].tolist()
    kept[3] = not kept[3]
    page.write(folder, replace(tables, people=tables.people.assign(keep=kept)), small)
    after = {path.name: path.stat().st_ino for path in (folder / "data").glob("people-*.js")}
    assert {name for name in before if after[name] != before[name]} == {"people-3.js"}
    assert len(before) == 11
