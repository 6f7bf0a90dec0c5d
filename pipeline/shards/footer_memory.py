"""What a Parquet footer takes in memory once Arrow has parsed it, bounded before it does.

Three bytes of a footer become 700 of a column chunk, so neither its length nor its share of the file says much: what it holds is
counted. A struct of Thrift's compact protocol ends with a byte of its own whose low half is 0; where as many structs as there are
such bytes would fit, nothing more is asked. Otherwise the lists are walked as Thrift's reader walks them. It takes the elements of
a list for what parquet.thrift says, whatever the list's head says, so the two have to agree.
"""

import hashlib

MOST_BYTES = 400 << 20  # 1,000 row groups of ours take 90 MB
_LARGE, _INNER = 700, 80  # bytes of a column chunk, the largest struct, and of structs in lists within one
_TEXT, _NUMBER = 32, 8  # elements of lists
_SMALL = 16  # of what is in no struct, a byte takes this at most: a text of a letter has two
_STOPS = bytes(range(0, 256, 16))
_DEPTH = 12
_BOOLEANS, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = (1, 2), 3, (4, 5, 6), 7, 8, (9, 10), 12
_FILE, _GROUP, _CHUNK, _META, _SIZES, _PLACES, _CRYPTO, _KEY, _OTHER = range(9)
_WITHIN = {  # struct and field -> the struct that stands there, where it has lists or leads to some
    (_FILE, 4): _GROUP,
    (_GROUP, 1): _CHUNK,
    (_CHUNK, 3): _META,
    (_CHUNK, 8): _CRYPTO,
    (_META, 16): _SIZES,
    (_META, 17): _PLACES,
    (_CRYPTO, 2): _KEY,
}
_ELEMENTS = {  # struct and field -> the type of the elements of a list
    _STRUCT: ((_FILE, 2), (_FILE, 4), (_FILE, 5), (_FILE, 7), (_GROUP, 1), (_GROUP, 4), (_META, 8), (_META, 13)),
    _BINARY: ((_META, 3), (_KEY, 1)),
    5: ((_META, 2), (_PLACES, 2)),
    6: ((_SIZES, 2), (_SIZES, 3)),
}
_ELEMENT = {place: kind for kind, places in _ELEMENTS.items() for place in places}
_MOST_FIELD = (1 << 15) - 1  # Thrift counts on from the other end beyond
_KEPT = 64  # footers that were walked; a reader of single rows opens its file for each
_walked: dict[bytes, None] = {}


class BadFooter(ValueError):
    """Raised for a footer that would take too much, or that does not parse."""


def check_memory(footer: memoryview, most: int = MOST_BYTES) -> None:
    """Raise BadFooter where Arrow would take more than so many bytes to parse a footer, its magic and length left out."""
    data = bytes(footer)
    stops = len(data) - len(data.translate(None, _STOPS))
    if stops * _LARGE + len(data) * _SMALL <= most:
        return
    digest = hashlib.sha256(data).digest() + most.to_bytes(8, "little")
    if digest in _walked:
        return
    try:
        _Walk(data, most).struct(0, _FILE, 0, 0)
    except IndexError:
        raise BadFooter("does not end") from None
    while len(_walked) >= _KEPT:
        del _walked[next(iter(_walked))]
    _walked[digest] = None


class _Walk:
    """One pass over a footer; `struct` and the others return where the next thing begins."""

    def __init__(self, data: bytes, most: int) -> None:
        self._data, self._left, self._most = data, most - len(data), most

    def struct(self, at: int, which: int, lists: int, depth: int) -> int:
        data, number = self._data, 0
        if depth > _DEPTH:
            raise BadFooter("is nested too deeply")
        while kind := (head := data[at]) & 15:
            at += 1
            if head >> 4:
                number += head >> 4
            else:
                number, at = self._varint(at)
                number = (number >> 1) ^ -(number & 1)
            if not 0 <= number <= _MOST_FIELD:
                raise BadFooter("has a field that no footer has")
            if kind in _INTEGERS:
                while data[at] > 127:
                    at += 1
                at += 1
            elif kind in _LISTS:
                at = self._list(at, (which, number), lists, depth)
            elif kind not in _BOOLEANS:  # whose value is the kind
                at = self._value(at, kind, _WITHIN.get((which, number), _OTHER), lists, depth)
        return at + 1

    def _list(self, at: int, place: tuple[int, int], lists: int, depth: int) -> int:
        head, at = self._data[at], at + 1
        count, kind = head >> 4, head & 15
        if count == 15:
            count, at = self._varint(at)
        if kind != _ELEMENT.get(place, kind):
            raise BadFooter("has a list of other things than footers have")
        size = (_LARGE if lists < 2 else _INNER) if kind == _STRUCT else _TEXT if kind == _BINARY else _NUMBER
        self._left -= count * size
        if self._left < 0:
            raise BadFooter(f"would take more than {self._most >> 20} MiB of memory")
        within = _WITHIN.get(place, _OTHER)
        for _ in range(count):
            at = self._value(at, kind, within, lists + 1, depth)
        return at

    def _value(self, at: int, kind: int, within: int, lists: int, depth: int) -> int:
        if kind == _STRUCT:
            return self.struct(at, within, lists, depth + 1)
        if kind == _BINARY:
            length, at = self._varint(at)
            return at + length
        if kind in _INTEGERS:
            return self._varint(at)[1]
        if kind in (_BYTE, *_BOOLEANS):
            return at + 1
        if kind == _DOUBLE:
            return at + 8
        raise BadFooter("holds what no footer holds")  # maps, lists of lists

    def _varint(self, at: int) -> tuple[int, int]:
        data, value, shift = self._data, 0, 0
        while (byte := data[at]) > 127:
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if shift > 63:
                raise BadFooter("holds a number without an end")
        return value | byte << shift, at + 1
