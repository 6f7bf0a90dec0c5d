"""Rows as they are read: good ones, and for the others what is wrong with them."""

from collections.abc import Callable, Iterator
from typing import Any

from pipeline.base.reasons import Reject
from pipeline.sources.manifest.rows import BadRow, ManifestRow

Rows = Iterator[tuple[int, ManifestRow | str]]  # (line, row or what is wrong with it)


def checked(make: Callable[..., ManifestRow], line: int, *what: Any) -> tuple[int, ManifestRow | str]:
    """The row that `make(line, *what)` returns, or what it says is wrong."""
    try:
        return line, make(line, *what)
    except BadRow as bad:
        return line, str(bad)
    except Reject as reject:  # of a link
        return line, reject.detail
