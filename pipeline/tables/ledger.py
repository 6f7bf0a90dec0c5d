"""The ledger of a table: which commits were made, so that a missing part of outcomes is told from one that never was.

`tables/<kind>/commits.txt` has a line a commit, "<generation> <commit> <CRC-32>", which is written after the commit's parts are on
the disk: what it names was there. A line counts while `generation.json` is of its generation, for a compaction joins all that was
there before. What a kill keeps from being written is written by the next commit, and a line that is torn counts for nothing, so
that losing the ledger loses no row: parts that it does not name count as well.
"""

import os
import zlib
from collections.abc import Iterable
from pathlib import Path

from pipeline.base import files

NAME = "commits.txt"


def commits(folder: Path, generation: int) -> set[str]:
    """The commits that are named for this generation."""
    try:
        lines = (folder / NAME).read_text(encoding="ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return set()
    found = set()
    mine = f"{generation} "
    for line in lines:
        if line.startswith(mine):
            commit, _, crc = line[len(mine) :].partition(" ")
            if crc == _crc(folder.name, generation, commit):
                found.add(commit)
    return found


def add(folder: Path, generation: int, names: Iterable[str]) -> None:
    """Name commits whose parts are on the disk; one write, flushed, so that several drivers may add at once."""
    path = folder / NAME
    lines = "".join(f"{generation} {name} {_crc(folder.name, generation, name)}\n" for name in names)
    fresh = not path.exists()
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        end = os.lseek(handle, 0, os.SEEK_END)
        torn = end > 0 and os.pread(handle, 1, end - 1) != b"\n"
        os.write(handle, (("\n" if torn else "") + lines).encode("ascii"))
    finally:
        os.close(handle)
    files.sync(path)
    if fresh:
        files.sync(folder)


def forget(folder: Path, names: Iterable[str]) -> None:
    """Take commits out whose parts are lost for good; nobody else may write to the table."""
    gone = set(names)
    try:
        lines = (folder / NAME).read_text(encoding="ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return
    kept = [line for line in lines if len(words := line.split(" ")) > 1 and words[1] not in gone]
    files.write_text(folder / NAME, "".join(f"{line}\n" for line in kept))


def _crc(kind: str, generation: int, commit: str) -> str:
    return f"{zlib.crc32(f'{kind} {generation} {commit}'.encode()):08x}"
