"""Hashes that decide what is pending: of payloads when they are written, of rows when a run is planned."""

import hashlib
import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Hashes = npt.NDArray[np.uint64]
STRINGS_AT_ONCE = 1 << 16
TERM = "__term"  # behind the name of a column: what it adds to the hashes of its rows


def digest(*parts: bytes | str) -> int:
    """A 64-bit number from the BLAKE2b of the parts, lengths included."""
    state = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little") + data)
    return int.from_bytes(state.digest(), "little")


def payload_hash(value: Any, kind: pa.DataType) -> int | None:
    """The hash of a heavy value (list, array or bytes) by content; null stays null."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return digest(value)
    inner = kind.value_type.value_type if pa.types.is_nested(kind.value_type) else kind.value_type
    if (pa.types.is_floating(inner) or pa.types.is_integer(inner)) and not _has_null(value):
        array = np.ascontiguousarray(value, dtype=inner.to_pandas_dtype())  # as it will be stored
        return digest(str(array.shape), _plain(array).tobytes())
    return digest(json.dumps(list(value), default=str))


def _has_null(value: Any) -> bool:
    return not isinstance(value, np.ndarray) and any(item is None for item in value)


def _plain(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One bit pattern for every NaN, one for zero."""
    return np.where(np.isnan(values), values.dtype.type(np.nan), values + 0) if values.dtype.kind == "f" else values


def mix(values: Hashes) -> Hashes:
    """The finaliser of splitmix64: spreads every input bit over the output (Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = values + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def column_hashes(column: pa.Array) -> Hashes:
    """(rows,) hashes of a light column (numbers, booleans, strings, times); those of nulls mean nothing."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return string_hashes(column)
    numbers = column.cast(pa.uint8()) if pa.types.is_boolean(column.type) else column
    values = raw(numbers)
    wide = _plain(values.astype(np.float64)) if values.dtype.kind == "f" else values.astype(np.int64, casting="unsafe")
    return mix(wide.view(np.uint64))


def string_hashes(column: pa.Array) -> Hashes:
    """(rows,) hashes of strings by their UTF-8 bytes: eight bytes at a time, all strings of one length together."""
    column = column.cast(pa.large_string())
    _, offsets, content = column.buffers()
    if not len(column):
        return np.zeros(0, dtype=np.uint64)
    starts = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    data = np.frombuffer(content or b"", np.uint8)
    lengths = np.diff(starts)
    hashes = mix(lengths.astype(np.uint64))
    order = np.argsort(lengths, kind="stable")
    edges = np.flatnonzero(np.diff(lengths[order], prepend=-1, append=-1))
    for first, last in pairwise(edges.tolist()):
        for begin in range(first, last, STRINGS_AT_ONCE):
            rows = order[begin : min(last, begin + STRINGS_AT_ONCE)]
            length = int(lengths[rows[0]])
            for at in range(0, length, 8):
                word = np.zeros((len(rows), 8), np.uint8)
                here = min(8, length - at)
                word[:, :here] = data[starts[rows, None] + np.arange(at, at + here)]
                hashes[rows] = mix(hashes[rows] ^ word.view("<u8")[:, 0])
    return hashes


def raw(column: pa.Array) -> npt.NDArray[Any]:
    """The numbers of a column; anything may stand where it is null. `fill_null` would import pandas."""
    data = np.frombuffer(column.buffers()[1] or b"", column.type.to_pandas_dtype())
    return data[column.offset : column.offset + len(column)]


def valid(column: pa.Array) -> npt.NDArray[np.bool_]:
    """(rows,) whether a value is there, read from the bitmap: Arrow's own way to numpy imports pandas."""
    bitmap = column.buffers()[0]
    if bitmap is None or not len(column):
        return np.ones(len(column), dtype=bool)
    bits = np.unpackbits(np.frombuffer(bitmap, np.uint8), bitorder="little")
    return bits[column.offset : column.offset + len(column)].astype(bool)


def flat(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array. Arrow's own way imports pandas where the column is empty, which takes half a second."""
    return column.combine_chunks() if column.num_chunks else pa.nulls(0, column.type)


def row_hashes(table: pa.Table, columns: Sequence[str]) -> Hashes:
    """(rows,) hashes over the named columns. A null adds nothing, so that a schema may grow by nullable columns.

    Where the table has the term of a column, that column itself need not be read.
    """
    total = np.zeros(len(table), dtype=np.uint64)
    there = set(table.column_names)
    for name in columns:
        known = name + TERM in there
        with np.errstate(over="ignore"):
            total += raw(flat(table[name + TERM])) if known else term(flat(table[name]), name)
    return mix(total)


def term(column: pa.Array, name: str) -> Hashes:
    """(rows,) what a column of this name adds to the hashes of its rows, before these are mixed."""
    hashes = mix(column_hashes(column) ^ np.uint64(digest(name)))
    return np.where(valid(column), hashes, np.uint64(0))


def unit_hashes(codes: npt.NDArray[np.int64], hashes: Hashes, units: int) -> Hashes:
    """(units,) sums of the row hashes of each unit: the order of rows does not matter, their number does."""
    total = np.zeros(units, dtype=np.uint64)
    with np.errstate(over="ignore"):
        np.add.at(total, codes, mix(hashes))
    return total
