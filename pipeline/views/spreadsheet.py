"""A table as cells of a spreadsheet: lists as JSON, and no text that a spreadsheet would run as a formula."""

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.tables.kinds import Kind

# What Excel, LibreOffice and Google Sheets take for the beginning of a formula (OWASP, "CSV Injection"). Titles, channels and
# file names come from elsewhere. A leading apostrophe makes a cell text; numbers have columns of their own and keep their signs.
_FORMULA = "^[=+\\-@\t\r\n]"


def cell_columns(kind: Kind) -> list[str]:
    """The columns that fit into cells: all but sound and what is a number a frame, or a vector, stored as small floats."""
    return [field.name for field in kind.schema if _fits(field.type)]


def _fits(kind: pa.DataType) -> bool:
    nested = pa.types.is_nested(kind)
    while pa.types.is_nested(kind):
        kind = kind.value_type
    return not pa.types.is_binary(kind) and not (nested and (pa.types.is_float32(kind) or pa.types.is_float16(kind)))


def as_cells(rows: pa.Table, *, verbatim: bool = False) -> pa.Table:
    """The same rows with one text, number, time or truth value a cell; null stays null.

    Args:
        rows: of columns as `cell_columns` lists them.
        verbatim: leave text as it is, for programs; a spreadsheet may run what begins with `=`, `+`, `-` or `@`.
    """
    for place, field in enumerate(rows.schema):
        cells = rows.column(place)
        if pa.types.is_nested(field.type):
            cells = _as_json(cells.to_pylist())
        elif pa.types.is_string(field.type) and not verbatim:
            cells = _harmless(cells)
        rows = rows.set_column(place, field.name, cells)
    return rows


def _as_json(values: Sequence[object]) -> pa.Array:
    texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
    return pa.array(texts, pa.string())


def _harmless(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    formula = pc.match_substring_regex(cells, _FORMULA)
    return pc.if_else(formula, pc.binary_join_element_wise("'", cells, ""), cells)
