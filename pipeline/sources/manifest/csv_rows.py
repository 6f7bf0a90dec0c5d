"""Rows of a CSV text, of which a bad one costs itself alone: a quote that nobody closes does not swallow those after it."""

import csv
from collections.abc import Iterator

_MAX_ROW_LINES = 200  # of a cell's text
_MAX_ROW_CHARS = 256 << 10

CsvRow = tuple[int, list[str] | str]  # number of its first line, cells or what is wrong with it


def csv_rows(text: str) -> Iterator[CsvRow]:
    """(line, cells without white space around them) of each row that is not empty, the header among them.

    A row goes on over lines while a quote is open, if it then has as many cells as the first row and none of the lines
    between is a whole row by itself. Cells are separated by tabs where the first row has tabs and no commas.
    """
    if separator_of(text) == "\t":
        yield from tab_rows(text)
        return
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    odd = [line.count('"') % 2 == 1 for line in lines]
    width, at = 0, 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        cells, taken = _row(lines, odd, at, width), 1
        if isinstance(cells, int):
            taken = cells - at + 1
            cells = _cells("\n".join(lines[at : cells + 1]))
        yield at + 1, cells
        width = width or (0 if isinstance(cells, str) else len(cells))
        at += taken


def separator_of(text: str) -> str:
    """What separates the cells of a table, by its first row that is not empty."""
    first = text.lstrip().split("\n", 1)[0]
    return "\t" if "\t" in first and "," not in first else ","


def tab_rows(text: str) -> Iterator[CsvRow]:
    """The same of a table of tabs, in which a quote is a character like others and a row is a line."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, [_unquoted(cell.strip()) for cell in line.removesuffix("\r").split("\t")]


def _unquoted(cell: str) -> str:
    """A cell without the quotes that many programs put around one with commas or quotes in it."""
    quoted = len(cell) > 1 and cell[0] == cell[-1] == '"'
    return cell[1:-1].replace('""', '"') if quoted else cell


def _row(lines: list[str], odd: list[bool], at: int, width: int) -> list[str] | str | int:
    """The cells of a line, what is wrong with it, or the last of the lines that are one row with it."""
    alone = _cells(lines[at])
    if not isinstance(alone, str) or not odd[at]:
        return alone
    length = 0
    for last in range(at + 1, min(len(lines), at + _MAX_ROW_LINES)):
        length += len(lines[last])
        if length > _MAX_ROW_CHARS:
            break
        if odd[last]:  # the quotes are even again
            whole = _cells("\n".join(lines[at : last + 1]))
            fits = not isinstance(whole, str) and (not width or len(whole) == width)
            return last if fits and not any(_is_row(lines[n], width) for n in range(at + 1, last)) else alone
    return alone


def _is_row(line: str, width: int) -> bool:
    cells = _cells(line)
    return not isinstance(cells, str) and width > 1 and len(cells) == width and any("://" in cell for cell in cells)


def _cells(line: str) -> list[str] | str:
    """The cells of one row, or what is wrong with it."""
    try:
        rows = list(csv.reader([line], strict=True))
    except csv.Error as error:
        return f"not a row of CSV: {error}"
    return [cell.strip() for cell in rows[0]] if len(rows) == 1 else "not a row of CSV: more than one row"
