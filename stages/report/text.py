"""Columns as the JSON that a page's script reads, a column at a time: there may be ten million values.

Text is as `json.dumps` writes it, and safe inside a script: no `<`, `>` or `&`, no line separators, ASCII alone.
"""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

NULL = "null"
_AS_IT_IS = r"^[ !#-\[\]-~]*$"  # strings that need no escapes but those of a script
_IN_SCRIPTS = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
_DECIMALS = 1e9
_MOST = (
    1e6  # of numbers below it six digits before the point and nine behind are all there are: 15 are exact in a double
)
_LEAST = 1e-4  # smaller ones are written with an exponent


def json_of(value: Any) -> str:
    """JSON of a value. Raises ValueError for NaN."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character, escape in _IN_SCRIPTS.items():
        text = text.replace(character, escape)
    return text


def column(values: "pd.Series[Any]") -> pa.Array:
    """(rows,) JSON of each value of a data frame's column; floats to six digits, what is missing is null."""
    if values.dtype.kind == "f":
        return numbers(six_digits(values.to_numpy("float64")))
    try:
        return arrow(_flat(pa.array(values, from_pandas=True)))
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # values of several kinds
        return _each(values)


def arrow(values: pa.Array) -> pa.Array:
    """(rows,) JSON of each value of an Arrow column, floats with all their digits."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return strings(values)
    if pa.types.is_integer(kind):
        return _known(values.cast(pa.string()))
    if pa.types.is_boolean(kind):
        return _known(pc.if_else(values, "true", "false"))
    if pa.types.is_list(kind):
        return _lists(values)
    return _each(values.to_pylist())


def strings(values: pa.Array) -> pa.Array:
    """(rows,) JSON of strings."""
    values = values.cast(pa.string())
    quoted = pc.binary_join_element_wise('"', values, '"', "")
    for character, escape in _IN_SCRIPTS.items():
        quoted = pc.replace_substring(quoted, character, escape)
    odd = pc.invert(pc.match_substring_regex(values, _AS_IT_IS))
    if pc.any(odd).as_py():
        escaped = [json_of(value) for value in values.filter(odd).to_pylist()]
        quoted = pc.replace_with_mask(quoted, _flat(pc.fill_null(odd, False)), pa.array(escaped, pa.string()))
    return _known(quoted)


def joined(*parts: Any) -> pa.Array:
    """(rows,) text of several columns and constants, one behind the other."""
    return _flat(pc.binary_join_element_wise(*parts, ""))


def numbers(values: npt.NDArray[np.float64]) -> pa.Array:
    """(rows,) JSON of floats, the shortest that reads as the same number; null for those that are not finite."""
    size = np.abs(values)
    with np.errstate(all="ignore"):
        whole = np.rint(size * _DECIMALS)
        plain = (size < _MOST) & ((size >= _LEAST) | (size == 0)) & (whole / _DECIMALS == size)
    known = np.isfinite(values)
    words = _digits(np.where(plain, whole, 0).astype(np.int64))
    words[:, 0] |= np.where(np.signbit(values), np.uint32(ord("-")), np.uint32(0))
    words[~plain] = 0
    words[~known, 0] = np.frombuffer(NULL.encode(), "<u4")[0]
    found = _strings_of(words.view(np.uint8).reshape(len(values), -1))
    odd = known & ~plain
    if odd.any():
        rest = [float.__repr__(value) for value in values[odd].tolist()]
        found = pc.replace_with_mask(found, pa.array(odd), pa.array(rest, pa.string()))
    return found


def six_digits(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rounded to six significant digits."""
    with np.errstate(all="ignore"):
        size = np.floor(np.log10(np.abs(values)))
        digits = np.where(np.isfinite(size), 5 - size, 0).clip(-290, 290)
        # of up and down one is 1, so that each quotient is rounded once
        up, down = 10.0 ** digits.clip(0), 10.0 ** (-digits).clip(0)
        return np.asarray(np.round(values * up / down) / up * down)


def _digits(whole: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """(rows, 5) four characters each, zero bytes between them: billionths as decimal numbers, without zeros at either end."""
    units, behind = np.divmod(whole, 1_000_000_000)
    high, low = np.divmod(units.astype(np.uint32), np.uint32(1000))
    first, rest = np.divmod(behind.astype(np.uint32), np.uint32(1_000_000))
    second, third = np.divmod(rest, np.uint32(1000))
    words = np.empty((len(whole), 5), np.uint32)
    words[:, 0] = _LEADING[high] << np.uint32(8)  # behind the sign
    words[:, 1] = np.where(high > 0, _FULL[low], _UNITS[low]) | np.uint32(ord(".") << 24)
    words[:, 2] = np.where(rest > 0, _FULL[first], _TENTHS[first])
    words[:, 3] = np.where(third > 0, _FULL[second], _TRAILING[second])
    words[:, 4] = _TRAILING[third]
    return words


def _table(words: list[str]) -> npt.NDArray[np.uint32]:
    """Three characters and a zero byte each, as a number."""
    return np.frombuffer(b"".join(word.encode().ljust(4, b"\0") for word in words), "<u4")


_FULL = _table([f"{number:03d}" for number in range(1000)])
_LEADING = _table([str(number) if number else "" for number in range(1000)])
_UNITS = _table([str(number) for number in range(1000)])
_TRAILING = _table([f"{number:03d}".rstrip("0") for number in range(1000)])
_TENTHS = _table([f"{number:03d}".rstrip("0") or "0" for number in range(1000)])


def _strings_of(characters: npt.NDArray[np.uint8]) -> pa.Array:
    """Rows of characters as strings, without zero bytes."""
    there = characters != 0
    offsets = np.zeros(len(characters) + 1, np.int32)
    np.cumsum(_counted(there), out=offsets[1:])
    return pa.StringArray.from_buffers(len(characters), pa.py_buffer(offsets), pa.py_buffer(characters[there]))


def _counted(there: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint32]:
    """(rows,) how many of a row's characters are there: four at a time, a column of them behind the other."""
    ones = there.view("<u4")
    fours = ones[:, 0].copy()
    for at in range(1, ones.shape[1]):
        fours += ones[:, at]  # each byte counts those at its place
    return (fours * np.uint32(0x01010101)) >> np.uint32(24)


def _lists(values: pa.Array) -> pa.Array:
    """(rows,) JSON of lists."""
    inner = values.flatten()
    items = arrow(inner)
    lengths = pc.fill_null(pc.list_value_length(values), 0)
    offsets = np.concatenate([[0], np.cumsum(lengths.to_numpy(zero_copy_only=False))]).astype(np.int32)
    text = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), items), ",")
    return _known(pc.if_else(values.is_valid(), joined("[", text, "]"), None))


def _each(values: Any) -> pa.Array:
    """(rows,) JSON of values of any kind."""
    plain = (value.tolist() if isinstance(value, np.ndarray | np.generic) else value for value in values)
    gone = pd.Series(values, dtype=object).isna()
    texts = [NULL if missing else json_of(value) for value, missing in zip(plain, gone, strict=True)]
    return pa.array(texts, pa.string())


def _known(texts: pa.Array) -> pa.Array:
    return _flat(pc.fill_null(texts, NULL))


def _flat(values: Any) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
