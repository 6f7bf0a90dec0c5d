"""Where the links stand in a list of them: lines of text, a column of a table, a key of objects or a column of Parquet."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.sources.manifest import entries
from pipeline.sources.manifest.csv_rows import csv_rows
from pipeline.sources.manifest.linked import IDS, LINKS, object_entries
from pipeline.sources.manifest.parquet_rows import columns_of, parquet_rows

_COLUMNS = (*LINKS, "source", *IDS)

Cell = tuple[int, str, str]  # line, what should be a link or an id, what is wrong with its row


def text_cells(lines: list[str]) -> Iterator[Cell]:
    """The links of a text, one a line; `#` starts a comment."""
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield number, re.split(r"\s+#", text, maxsplit=1)[0].strip(), ""


def table_cells(text: str, unread: "Counter[str]") -> Iterator[Cell]:
    """The link of every row: of the column that is called so, else of the one that is called as ids are, else of the first."""
    column, first = 0, True
    for number, cells in csv_rows(text):
        if isinstance(cells, str):
            yield number, "", cells
            continue
        names = [cell.lower() for cell in cells]
        named = [name for name in _COLUMNS if name in names] if first else []
        first = False
        if named:
            column = names.index(named[0])
            unread.update(name for name in names if name and name not in named)
        elif any(names) and not names[0].startswith("#"):
            yield number, cells[column] if column < len(cells) else "", ""


def object_cells(text: str, unread: "Counter[str]") -> Iterator[Cell]:
    """The links of JSON objects: a list of them, or one a line or over several."""
    is_list = text.lstrip()[:1] == "["
    start = text.index("[") + 1 if is_list else 0
    _, pieces = entries.numbered(entries.entries(text, start, "]" if is_list else "", others=True))
    return _named(object_entries(pieces), unread)


def parquet_cells(path: Path, unread: "Counter[str]") -> Iterator[Cell]:
    """The links of a Parquet file."""
    names = [name.lower() for name in columns_of(path)]
    unread.update(name for name in names if name not in _COLUMNS)
    return _named(parquet_rows(path, set(_COLUMNS)), Counter())


def _named(rows: Iterable[tuple[int, Mapping[str, Any] | str]], unread: "Counter[str]") -> Iterator[Cell]:
    for number, row in rows:
        if isinstance(row, str):
            yield number, "", row
            continue
        unread.update(name for name in row if name not in _COLUMNS)
        found = (row[name] for name in _COLUMNS if isinstance(row.get(name), str))
        link = next(found, "")
        yield number, link, "" if link else "names no link and no id of a video"
