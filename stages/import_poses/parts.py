"""A file that came in parts, read as one without copying it together."""

import io
import os
import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path

from pipeline.base.errors import StageError

_PART = re.compile(r"(.+\.part[-_.]?)([0-9]+|[a-z]+)", re.ASCII | re.IGNORECASE)


def parts_of(path: Path) -> list[Path]:
    """All parts of an archive, in order, when `path` is its first one, or a name that only its parts have; else [path].

    Raises StageError when a part in between is missing.
    """
    path = Path(path)
    part = _PART.fullmatch(path.name)
    stem = part[1] if part else f"{path.name}.part"
    if not part and path.exists():
        return [path]
    beside = path.parent.iterdir() if path.parent.is_dir() else iter(())
    suffixes = {match[2]: p for p in beside if (match := _PART.fullmatch(p.name)) and match[1].startswith(stem)}
    ordered = sorted(suffixes, key=_number)
    if not ordered or (part and not path.exists()):
        raise StageError(f"{path}: no such archive of poses")
    if len({name.isdigit() for name in ordered}) > 1 or len({suffixes[n].name[: -len(n)] for n in ordered}) > 1:
        raise StageError(
            f"{path.parent} holds parts of two archives: {', '.join(suffixes[n].name for n in ordered[:6])}"
        )
    first = _number(ordered[0])
    if first > 1 or (first == 1 and ordered[0].isalpha()):
        raise StageError(f"{suffixes[ordered[0]]} is not the first part of its archive: one before it is missing")
    for before, after in pairwise(ordered):
        if _number(after) != _number(before) + 1:
            raise StageError(f"parts are missing between {suffixes[before].name} and {suffixes[after].name}")
    return [suffixes[name] for name in ordered]


def _number(suffix: str) -> int:
    """The place of a part: 003 and 3 are 3; aa, ab ... as `split` counts, from 0."""
    if suffix.isdigit():
        return int(suffix)
    place = 0
    for letter in suffix.lower():
        place = place * 26 + ord(letter) - ord("a")
    return place


class JoinedFile(io.RawIOBase):
    """Files read one after the other as one seekable file.

    Args:
        paths: the parts, in order.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files = [Path(path).open("rb", buffering=0) for path in paths]  # noqa: SIM115 - closed by close()
        sizes = [os.fstat(file.fileno()).st_size for file in self._files]
        self._ends = list(accumulate(sizes))
        self._at = 0

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self._ends[-1]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise OSError(22, "seek before the beginning")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override] # of any writable buffer
        number = bisect_right(self._ends, self._at)
        if number == len(self._files) or not len(buffer):
            return 0
        begin = self._ends[number - 1] if number else 0
        view = memoryview(buffer).cast("B")[: self._ends[number] - self._at]
        self._files[number].seek(self._at - begin)
        count = self._files[number].readinto(view) or 0
        self._at += count
        return count

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()


def open_joined(paths: Sequence[Path]) -> io.BufferedReader:
    """The parts as one file whose `read(n)` goes on over their borders."""
    return io.BufferedReader(JoinedFile(paths))
