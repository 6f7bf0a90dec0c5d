"""Parquet footers as strangers could write them: Thrift's compact protocol, put together by hand."""

from collections.abc import Sequence

from tests.pipeline.shards.hostile import varint

CHUNK = b"\x26\x00\x00"  # a column chunk that says where it lies, and nothing more
STRUCTS = 12
_ROOT = b"\x48\x04root\x15\x02\x00"  # of a schema: its name, and one child
_COLUMN = b"\x15\x04\x25\x00\x18\x01a\x00"  # 64-bit integers, called a
_ROWS = b"\x16\x00"


def head(count: int, kind: int = STRUCTS) -> bytes:
    """Of a list."""
    return bytes([count << 4 | kind]) if count < 15 else bytes([0xF0 | kind]) + varint(count)


def group(chunks: bytes, count: int, kind: int = STRUCTS) -> bytes:
    """What a footer says of a row group with so many column chunks."""
    return b"\x19" + head(count, kind) + chunks + b"\x16\x00\x16\x00\x00"


def footer(groups: Sequence[bytes], field: bytes = b"\x19") -> bytes:
    """A footer with these row groups; `field` is the head of the field that holds them."""
    schema = b"\x19" + head(2) + _ROOT + _COLUMN
    return b"\x15\x02" + schema + _ROWS + field + head(len(groups)) + b"".join(groups) + b"\x00"


def as_file(data: bytes) -> bytes:
    """A file of this footer alone."""
    return b"PAR1" + data + len(data).to_bytes(4, "little") + b"PAR1"
