"""Rows and columns as Arrow: stored schemas, packing of a unit's rows, and lists over frames from and to numpy."""

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.tables.hashing import flat, payload_hash
from pipeline.tables.kinds import Kind

HASH = "__hash"
_AT_ONCE = 1 << 16


def stored_schema(kind: Kind) -> pa.Schema:
    """The kind's columns, plus a hash beside each heavy one, plus `unit` and `commit`."""
    hashes = [pa.field(name + HASH, pa.uint64()) for name in kind.heavy]
    return pa.schema([*kind.columns, *hashes, pa.field("unit", pa.string()), pa.field("commit", pa.string())])


def packed_schema(kind: Kind) -> pa.Schema:
    """`stored_schema` without `commit`, which is known only when a part is written."""
    schema = stored_schema(kind)
    return schema.remove(len(schema) - 1)


def pack_rows(kind: Kind, unit: str, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows of one unit as an Arrow table of `stored_schema` without `commit`.

    Lists over frames may be numpy arrays of shape (frames, width). Raises ValueError on unknown columns, missing or repeated keys.
    """
    _check(kind, unit, set().union(*rows), [row.get(kind.key) for row in rows])
    columns = {field.name: [row.get(field.name) for row in rows] for field in kind.columns}
    arrays = [to_arrow(columns[field.name], field.type) for field in kind.columns]
    hashes = [_payload_hashes(columns[name], kind.schema.field(name).type) for name in kind.heavy]
    return _packed(kind, unit, arrays, hashes)


def pack_table(kind: Kind, unit: str, rows: pa.Table) -> pa.Table:
    """Rows of one unit that come as columns, of some of the kind's, as `pack_rows` gives them; raises as it does."""
    there = set(rows.column_names)
    _check(kind, unit, there, rows[kind.key].to_pylist() if kind.key in there else [None] * len(rows))
    arrays = [
        flat(rows[field.name]).cast(field.type) if field.name in there else pa.nulls(len(rows), field.type)
        for field in kind.columns
    ]
    hashes = [
        _hashes_of(array, field.type)
        for field, array in zip(kind.columns, arrays, strict=True)
        if field.name in kind.heavy
    ]
    return _packed(kind, unit, arrays, hashes)


def _check(kind: Kind, unit: str, columns: set[str], keys: Sequence[str | None]) -> None:
    if unknown := columns - set(kind.schema.names):
        raise ValueError(f"{kind.name} has no column {', '.join(sorted(unknown))}")
    if not all(keys):
        raise ValueError(f"{unit} yields a row without a {kind.key}")
    if len(set(keys)) != len(keys):
        raise ValueError(f"{unit} yields a {kind.key} twice")


def _packed(kind: Kind, unit: str, arrays: list[pa.Array], hashes: list[pa.Array]) -> pa.Table:
    """The table of a unit's columns and the hashes of its heavy ones."""
    units = pa.array([unit] * len(arrays[0]), pa.string())
    return pa.Table.from_arrays([*arrays, *hashes, units], schema=packed_schema(kind))


def _payload_hashes(values: list[Any], kind: pa.DataType) -> pa.Array:
    """(rows,) hashes of a heavy column; of lists of words, such as reasons, each is looked up once."""
    if not _is_words(kind):
        return pa.array([payload_hash(value, kind) for value in values], pa.uint64())
    keys = [None if value is None else tuple(value) for value in values]
    known = {key: payload_hash(key, kind) for key in set(keys)}
    return pa.array([known[key] for key in keys], pa.uint64())


def _hashes_of(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """(rows,) hashes of a heavy column; of lists of words those that are empty, as nearly all, are not made to Python's."""
    if not _is_words(kind):
        return _payload_hashes(to_python(column, kind), kind)
    some = pc.fill_null(pc.greater(pc.list_value_length(column), 0), True)
    told = _payload_hashes(column.filter(some).to_pylist(), kind)
    empty = pa.array([payload_hash([], kind)] * len(column), pa.uint64())
    return pc.replace_with_mask(empty, some, told)


def _is_words(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) and pa.types.is_string(kind.value_type))


def to_arrow(values: list[Any], kind: pa.DataType) -> pa.Array:
    """Python or numpy values as an Arrow array; (frames, width) arrays become lists over frames without a copy a number."""
    if pa.types.is_list(kind) and pa.types.is_fixed_size_list(kind.value_type):
        width, leaf = kind.value_type.list_size, kind.value_type.value_type
        parts, offsets, mask = [], [0], []
        for value in values:
            array = np.zeros((0, width), leaf.to_pandas_dtype()) if value is None else np.asarray(value)
            if array.ndim != 2 or array.shape[1] != width:
                raise ValueError(f"expected an array of shape (frames, {width}), got {array.shape}")
            parts.append(array.astype(leaf.to_pandas_dtype(), copy=False).reshape(-1))
            offsets.append(offsets[-1] + len(array))
            mask.append(value is None)
        flat = pa.array(np.concatenate(parts) if parts else np.zeros(0, leaf.to_pandas_dtype()), leaf)
        inner = pa.FixedSizeListArray.from_arrays(flat, width)
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), inner, mask=pa.array(mask, pa.bool_())).cast(
            kind
        )
    return pa.array([v.tolist() if isinstance(v, np.ndarray) else v for v in values], kind)


def to_python(array: pa.Array, kind: pa.DataType) -> list[Any]:
    """The reverse of `to_arrow`: lists over frames come back as (frames, width) arrays, lists of numbers as 1-D arrays."""
    if pa.types.is_list(kind) and pa.types.is_fixed_size_list(kind.value_type):
        width = kind.value_type.list_size
        return [
            None if not v.is_valid else v.values.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
            for v in array
        ]
    if pa.types.is_list(kind) and pa.types.is_floating(kind.value_type):
        return [None if not v.is_valid else v.values.to_numpy(zero_copy_only=False) for v in array]
    values: list[Any] = array.to_pylist()
    return values


def filtered(rows: pa.Table, wanted: pa.ChunkedArray) -> pa.Table:
    """The rows for which `wanted` is true; where that is all of them, as nearly always, without a copy."""
    return rows if pc.all(wanted, skip_nulls=False).as_py() else rows.filter(wanted)


def numbers(values: npt.NDArray[Any]) -> pa.Array:
    """A numpy array as an Arrow array. Unlike `pa.array`, this does not import pandas, which takes half a second."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


class Ids(Sequence[str]):
    """Strings that stay as Arrow holds them: ten million ids take almost a gigabyte as Python's text.

    Args:
        values: none of them null.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: pa.Array) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> list[str]: ...

    def __getitem__(self, at: int | slice) -> str | list[str]:
        found: str | list[str] = self.values[at].to_pylist() if isinstance(at, slice) else self.values[int(at)].as_py()
        return found

    def __iter__(self) -> Iterator[str]:
        for first in range(0, len(self.values), _AT_ONCE):
            yield from self.values.slice(first, _AT_ONCE).to_pylist()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(other) == len(self) and list(other) == list(self)


def strings(values: Sequence[str | None]) -> pa.Array:
    """Strings as an Arrow array, None as null, without pandas likewise."""
    if isinstance(values, Ids):
        return values.values
    encoded = [(value or "").encode() for value in values]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(word) for word in encoded], out=offsets[1:])
    known = np.packbits(np.array([value is not None for value in values], bool), bitorder="little")
    buffers = [pa.py_buffer(known), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.large_string(), len(encoded), buffers).cast(pa.string())
