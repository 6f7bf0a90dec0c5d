"""Versions of the reader: what each decides otherwise than the one before it, and which files that concerns.

A rule that is mended is one line more in `READERS`; its place is its version. Rows of `videos` say which reader looked at their
file, and those that a newer one may read otherwise are offered to be read again, from where they lie.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow.compute as pc

Condition: TypeAlias = Callable[[Callable[[str], pc.Expression]], pc.Expression]
"""Of a row, given the columns by name, such as `lambda column: column("clock").is_valid()`."""


def every_file(column: Callable[[str], pc.Expression]) -> pc.Expression:
    """The condition that all rows meet."""
    return pc.scalar(True)


@dataclass(frozen=True)
class Reader:
    """One version of the rules that decide how files are read.

    Attributes:
        news: what it does that the one before did not, as a clause.
        concerns: which rows of `videos`, by the columns that the reader before wrote; null counts as met. A version that writes a
            new column concerns every file: rows of before hold null in it, whatever their file is like.
    """

    news: str
    concerns: Condition


READERS: tuple[Reader, ...] = (
    Reader("clocks are mended, HDR is tone-mapped, the track with the voice is heard", every_file),
    Reader("combed pictures, HDR midway and changing shapes of pixels are found by looking", every_file),
)
READER_VERSION = len(READERS)
"""Of today's rules; it stands in each row of `videos` that they make."""


def concerned() -> pc.Expression:
    """The condition on rows of `videos` under which a reader after the one that looked at their file may read it otherwise."""
    version, found = pc.field("reader_version"), pc.scalar(False)
    for number, reader in enumerate(READERS, 1):
        older = version.is_null() | (version < number)  # null in rows of before there were versions
        met = reader.concerns(pc.field)
        found = found | (older & (met.is_null() | met))
    return found


def news_since(version: int) -> list[str]:
    """What readers after this version do that it did not."""
    return [reader.news for reader in READERS[version:]]
