"""What the table `shards` says of the row groups of a shard: by it they are known again."""

import json
from collections.abc import Sequence
from typing import NamedTuple


class Stored(NamedTuple):
    """A row group by which it is found again: its size, and the checksum of what it holds."""

    bytes: int
    crc32: int


class Written(NamedTuple):
    """A row group that was written.

    Attributes:
        stored: by what it is found again.
        rows: a hash of what each row was made of, in hex.
    """

    stored: Stored
    rows: tuple[str, ...]


def as_text(groups: Sequence[Written]) -> str:
    """JSON, [[bytes, CRC-32, hashes of rows], ...]."""
    return json.dumps([[*group.stored, " ".join(group.rows)] for group in groups], separators=(",", ":"))


def from_text(text: str) -> list[Written]:
    """The reverse of `as_text`."""
    return [Written(Stored(size, crc32), tuple(rows.split())) for size, crc32, rows in json.loads(text)]
