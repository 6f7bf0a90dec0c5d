"""Hashes that decide what is pending: of payloads when they are written, of rows when a run is planned."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Hashes = npt.NDArray[np.uint64]


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
    if pa.types.is_list(kind) and pa.types.is_fixed_size_list(kind.value_type):
        array = np.ascontiguousarray(value, dtype=kind.value_type.value_type.to_pandas_dtype())
        return digest(str(array.shape), array.tobytes())
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return digest(json.dumps(list(value)))


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
        encoded = column.dictionary_encode()
        words = np.array([digest(word) for word in encoded.dictionary.to_pylist()] or [0], dtype=np.uint64)
        return words[encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)]
    numbers = column.cast(pa.uint8()) if pa.types.is_boolean(column.type) else column
    values = numbers.fill_null(0).to_numpy(zero_copy_only=False)
    wide = values.astype(np.float64) if values.dtype.kind == "f" else values.astype(np.int64, casting="unsafe")
    return mix(wide.view(np.uint64))


def row_hashes(table: pa.Table, columns: Sequence[str]) -> Hashes:
    """(rows,) hashes over the named columns. A null adds nothing, so that a schema may grow by nullable columns."""
    total = np.zeros(len(table), dtype=np.uint64)
    for name in columns:
        column = table[name].combine_chunks()
        with np.errstate(over="ignore"):
            hashes = mix(column_hashes(column) ^ np.uint64(digest(name)))
            total += np.where(np.asarray(column.is_valid()), hashes, np.uint64(0))
    return mix(total)


def unit_hashes(codes: npt.NDArray[np.int64], hashes: Hashes, units: int) -> Hashes:
    """(units,) sums of the row hashes of each unit: the order of rows does not matter, their number does."""
    total = np.zeros(units, dtype=np.uint64)
    with np.errstate(over="ignore"):
        np.add.at(total, codes, mix(hashes))
    return total
