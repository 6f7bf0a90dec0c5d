"""Packing of a unit's rows: as columns they come out as they do one by one."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.tables import arrow
from pipeline.tables.arrow import Ids, pack_rows, pack_table, strings
from pipeline.tables.kinds import KINDS

IDS = {"clip_id": "file:0/0+250", "video_id": "file:0"}


def verdicts() -> list[dict[str, Any]]:
    words: list[list[str] | None] = [[], ["side_view"], ["side_view", "no_audio"], None, ["\u00e9 < \u4e2d", ""]]
    return [
        {"person_id": f"file:0/0+250#{at}", **IDS, "keep": not said, "reasons": said, "details": said, "unmeasured": []}
        for at, said in enumerate(words)
    ]


def samples() -> list[dict[str, Any]]:
    rng = np.random.default_rng(405)
    points = rng.normal(size=(2, 5, 266)).astype(np.float32)
    points[0, 2, :4] = np.nan
    audio = (b"sound", None)
    return [
        {
            "person_id": f"file:0/0+250#{at}",
            **IDS,
            "keypoints": points[at],
            "audio": audio[at],
            "crop_box": [0, -1, 5, 4],
        }
        for at in range(2)
    ]


def same(first: pa.Table, second: pa.Table) -> bool:
    """Equality in which NaN equals NaN."""
    return first.schema.equals(second.schema) and repr(first.to_pylist()) == repr(second.to_pylist())


@pytest.mark.parametrize(("kind", "rows"), [("verdicts", verdicts()), ("samples", samples())])
def test_columns_are_packed_as_rows_are(kind: str, rows: list[dict[str, Any]]) -> None:
    spec = KINDS[kind]
    one_by_one = pack_rows(spec, "all", rows)
    columns = one_by_one.select([name for name in spec.schema.names if name in rows[0]])
    assert same(pack_table(spec, "all", columns), one_by_one)
    halves = pa.concat_tables([columns.slice(0, 1), columns.slice(1)])
    assert same(pack_table(spec, "all", halves), one_by_one), "in chunks"


def test_no_rows_are_packed_as_no_rows() -> None:
    spec = KINDS["verdicts"]
    assert pack_table(spec, "all", spec.schema.empty_table()).equals(pack_rows(spec, "all", []))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"person_id": ["a", "b"], "colour": ["red", "blue"]}, "has no column colour"),
        ({"person_id": ["a", None]}, "without a person_id"),
        ({"person_id": ["a", ""]}, "without a person_id"),
        ({"clip_id": ["a", "b"]}, "without a person_id"),
        ({"person_id": ["a", "a"]}, "a person_id twice"),
    ],
)
def test_what_is_no_row_of_the_kind_is_refused(columns: dict[str, list[Any]], said: str) -> None:
    table = pa.table(columns)
    for pack, given in ((pack_table, table), (pack_rows, table.to_pylist())):
        with pytest.raises(ValueError, match=said):
            pack(KINDS["verdicts"], "all", given)  # type: ignore[operator]


def test_ids_are_as_a_list_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "_AT_ONCE", 2)
    words = ["", "a", "\u4e2d", "b", "a"]
    ids = Ids(strings(["not of them", *words]).slice(1))
    assert ids == words and ids == Ids(strings(words)) and ids != words[1:] and ids != "a" and ids != 5
    assert list(ids) == words and len(ids) == 5 and ids[2] == words[2] and ids[-1] == "a" and ids[1:3] == words[1:3]
    assert "b" in ids and "c" not in ids and strings(ids) is ids.values and not Ids(strings([]))
    with pytest.raises(IndexError):
        ids[5]
