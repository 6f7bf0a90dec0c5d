"""Headers of Parquet pages: what a page will allocate, known before it is decompressed.

The footer's sizes are a stranger's word, and Arrow allocates by the headers of the pages themselves. They are Thrift structs in the
compact protocol (https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md); fields by number as in
parquet.thrift.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

DATA, DICTIONARY, DATA_V2 = 0, 2, 3
_TYPE, _UNPACKED, _PACKED = 1, 2, 3
_BODY = {DATA: 5, DICTIONARY: 7, DATA_V2: 8}
_ENCODING_FIELD = {DATA: 2, DICTIONARY: 2, DATA_V2: 4}
_BOOLEANS, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, 12
_DEPTH = 4
_MOST_PAGES = 10_000  # of a column in a row group of some MB: ours have one to three
_LONGEST = 1 << 16  # of a header; statistics may hold two values of a column


class BadPage(ValueError):
    """Raised for bytes that are no page header."""


@dataclass(frozen=True)
class Page:
    """What a header says.

    Attributes:
        kind: DATA, DICTIONARY or DATA_V2.
        packed, unpacked: bytes as stored, and as they are allocated.
        values: how many, nulls and empty lists included.
        encoding: number in parquet.thrift.
    """

    kind: int
    packed: int
    unpacked: int
    values: int
    encoding: int


def pages(chunk: memoryview) -> Iterator[Page]:
    """Pages of a column chunk, in order.

    Raises BadPage where a header does not parse or leads out of the chunk, and for more pages than any writer makes.
    """
    at = count = 0
    while at < len(chunk):
        if (count := count + 1) > _MOST_PAGES:
            raise BadPage(f"has more than {_MOST_PAGES} pages")
        fields, length = _struct(chunk[at : at + _LONGEST], 0, 0)
        try:
            kind = int(fields[_TYPE])
            body = fields[_BODY[kind]]
            values, encoding = int(body[1]), int(body[_ENCODING_FIELD[kind]])
            page = Page(kind, int(fields[_PACKED]), int(fields[_UNPACKED]), values, encoding)
        except (KeyError, TypeError, ValueError):
            raise BadPage("a page header lacks what it must say") from None
        at += length + page.packed
        if min(page.packed, page.unpacked, page.values) < 0 or at > len(chunk):
            raise BadPage("a page leads out of its column")
        yield page


def _struct(data: memoryview, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """Fields of the struct that begins at `at`, and where it ends; strings and lists are passed over."""
    if depth > _DEPTH:
        raise BadPage("a page header is nested too deeply")
    fields: dict[int, Any] = {}
    number = 0
    try:
        while (head := data[at]) != 0:
            at += 1
            kind = head & 15
            if head >> 4:
                number += head >> 4
            else:
                number, at = _integer(data, at)
            fields[number], at = _value(data, at, kind, depth)
        return fields, at + 1
    except IndexError:
        raise BadPage("a page header does not end") from None


def _value(data: memoryview, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in _BOOLEANS:
        return kind == _BOOLEANS[0], at
    if kind == _BYTE:
        return data[at], at + 1
    if kind in _INTEGERS:
        return _integer(data, at)
    if kind == _DOUBLE:
        return None, at + 8
    if kind == _BINARY:
        length, at = _varint(data, at)
        return None, at + length
    if kind == _STRUCT:
        return _struct(data, at, depth + 1)
    raise BadPage("a page header holds a field that no page header has")  # lists and maps among them


def _integer(data: memoryview, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise BadPage("a page header holds a number without an end")
