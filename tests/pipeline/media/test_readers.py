"""Versions of the reader: which rows of `videos` each concerns."""

import pyarrow as pa
import pytest

from pipeline.media import readers
from pipeline.media.readers import Reader, every_file
from pipeline.tables.kinds import KINDS

COLUMNS = ("video_id", "reader_version", "clock", "container", "combed")
MENDED = '{"turns": {}, "zero": "1"}'
ROWS = (
    ("of before", None, None, "mpegts", None),
    ("one", 1, None, "mov", None),
    ("two", 2, None, "mov", None),
    ("two, mended clock", 2, MENDED, "mpegts", None),
    ("two, telecine", 2, None, "mov", "tff partly"),
    ("three", 3, MENDED, "mpegts", "tff"),
)


def found() -> list[str]:
    """The rows that today's readers concern."""
    table = pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in ROWS])
    return (
        table.cast(pa.schema([KINDS["videos"].schema.field(n) for n in COLUMNS]))
        .filter(readers.concerned())["video_id"]
        .to_pylist()
    )


def test_today_s_readers_concern_every_row_of_an_older_one() -> None:
    assert readers.READER_VERSION == len(readers.READERS) == 2, "raised: see which rows the new one concerns, here too"
    assert found() == ["of before", "one"]
    assert readers.news_since(1) == [readers.READERS[1].news] and readers.news_since(2) == []


@pytest.mark.parametrize(
    ("next_one", "of_two"),
    [
        (every_file, ["two", "two, mended clock", "two, telecine"]),
        (lambda column: column("clock").is_valid(), ["two, mended clock"]),
        (lambda column: column("container") == "mpegts", ["two, mended clock"]),
        (
            lambda column: column("clock").is_valid() | column("combed").is_valid(),
            ["two, mended clock", "two, telecine"],
        ),
        (lambda column: column("combed") != "tff", ["two", "two, mended clock", "two, telecine"]),
    ],
    ids=["every file", "mended clocks", "one container", "either", "null is met: nobody knows"],
)
def test_the_next_version_is_a_line_that_concerns_the_files_it_may_touch(
    monkeypatch: pytest.MonkeyPatch, next_one: readers.Condition, of_two: list[str]
) -> None:
    """Rows of readers before the last one are concerned by what came in between, whatever the next one asks."""
    monkeypatch.setattr(readers, "READERS", (*readers.READERS, Reader("the next", next_one)))
    assert found() == ["of before", "one", *of_two]
    assert readers.news_since(1) == [readers.READERS[1].news, "the next"]
