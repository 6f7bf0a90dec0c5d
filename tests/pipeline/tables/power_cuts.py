"""What a disk may hold after a power cut: the file operations of a piece of work, and every state that they may leave.

A file's bytes are there once it was flushed, an entry of a folder once the folder was; before that each may be there or not,
whatever came before it. A rename within a folder moves both of its entries or none, as file systems with a journal do; between two
folders each by itself. A file whose bytes were not flushed holds what it held before, nothing, half, or all of the new ones.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from pipeline.base import files

FOLDER = object()


@dataclass(eq=False)
class _File:
    """A file: what surely is on the disk, and what may be."""

    sure: bytes | None
    maybe: list[bytes] = field(default_factory=list)

    @property
    def choices(self) -> list[bytes]:
        last = self.maybe[-1:]
        torn = [
            b"" if self.sure is None else self.sure,
            *(text[: (len(self.sure or b"") + len(text)) // 2] for text in last),
        ]
        return list(dict.fromkeys([*torn, *last])) if last else [self.sure or b""]


class Disk:
    """Follows what is done to a folder, and enumerates what a power cut may leave of it at each moment."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sure: dict[Path, Any] = {
            path: _File(path.read_bytes()) if path.is_file() else FOLDER for path in sorted(root.rglob("*"))
        }
        self.now = dict(self.sure)
        self.pending: dict[Path, list[tuple[Path, Any]]] = {}
        self.renames: list[tuple[Path, Path, _File]] = []  # within a folder, not flushed: from, to, what
        self.states: dict[frozenset[tuple[str, bytes]], None] = {}
        self.operations = 0

    def enter(self, path: Path, what: Any) -> None:
        """An entry of a folder changes."""
        self.now[path] = what
        self.pending.setdefault(path.parent, []).append((path, what))

    def rename(self, path: Path, target: Path) -> None:
        """A file gets another name."""
        file = self.file(path)
        self.enter(target, file)
        self.enter(path, None)
        if path.parent == target.parent and not path.name.startswith(files.TEMPORARY):
            self.renames.append((path, target, file))

    def file(self, path: Path) -> _File:
        """The file of this name; one that was written by other means is new to the disk."""
        found = self.now.get(path)
        if not isinstance(found, _File):
            found = _File(None, [path.read_bytes()])
            self.enter(path, found)
        return found

    def sync(self, path: Path) -> None:
        """A flush of a file or folder."""
        if path.is_dir():
            self.sure.update(self.pending.pop(path, []))
            self.renames = [each for each in self.renames if each[0].parent != path]
        else:
            file = self.file(path)
            file.sure, file.maybe = path.read_bytes(), []

    def look(self) -> None:
        """Remember every state that a power cut at this moment may leave."""
        self.operations += 1
        names: dict[Path, list[Any]] = {}
        for path, what in (entry for entries in self.pending.values() for entry in entries):
            if not path.name.startswith(files.TEMPORARY):  # nobody reads those
                names.setdefault(path, [self.sure.get(path)]).append(what)
        for chosen in product(*names.values()):
            tree = {**self.sure, **dict(zip(names, chosen, strict=True))}
            if any((tree.get(new) is file) == (tree.get(old) is file) for old, new, file in self.renames):
                continue
            there = {path: what for path, what in tree.items() if what is not None and self._reached(path, tree)}
            held = [
                path for path, what in there.items() if isinstance(what, _File) and files.TEMPORARY not in path.name
            ]
            for texts in product(*(there[path].choices for path in held)):
                found = zip((path.relative_to(self.root).as_posix() for path in held), texts, strict=True)
                self.states[frozenset(found)] = None

    def _reached(self, path: Path, tree: dict[Path, Any]) -> bool:
        return path.parent == self.root or (tree.get(path.parent) is FOLDER and self._reached(path.parent, tree))


def recorded(
    monkeypatch: pytest.MonkeyPatch, root: Path, work: Callable[[], object], folders: tuple[str, ...] = ("tables",)
) -> Disk:
    """Do a piece of work, and follow what it does to these folders on the disk."""
    disk = Disk(root)
    with monkeypatch.context() as patch:
        _follow(patch, disk, folders)
        work()
    disk.look()
    return disk


def _follow(patch: pytest.MonkeyPatch, disk: Disk, folders: tuple[str, ...]) -> None:
    sync, replace, unlink, mkdir, write = files.sync, Path.replace, Path.unlink, Path.mkdir, os.write

    def inside(path: Path) -> bool:
        return path.is_relative_to(disk.root) and path.relative_to(disk.root).parts[:1] in [(name,) for name in folders]

    def on_sync(path: Path) -> None:
        disk.look()
        sync(path)
        if inside(Path(path)):
            disk.sync(Path(path))

    def on_replace(path: Path, target: Any) -> Path:
        if inside(path):
            disk.rename(path, Path(target))
        disk.look()
        return replace(path, target)

    def on_unlink(path: Path, missing_ok: bool = False) -> None:
        there = path.exists()
        unlink(path, missing_ok=missing_ok)
        if inside(path) and there:
            disk.enter(path, None)
            disk.look()

    def on_mkdir(path: Path, *args: Any, **kwargs: Any) -> None:
        there = path.exists()
        mkdir(path, *args, **kwargs)
        if inside(path) and not there and disk.now.get(path) is not FOLDER:
            disk.enter(path, FOLDER)
            disk.look()

    def on_write(handle: int, text: bytes) -> int:
        count = write(handle, text)
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if inside(path):
            file = disk.file(path)
            file.maybe.append(path.read_bytes())
            disk.look()
        return count

    patch.setattr(files, "sync", on_sync)
    patch.setattr(os, "write", on_write)
    for name, call in (("replace", on_replace), ("unlink", on_unlink), ("mkdir", on_mkdir)):
        patch.setattr(Path, name, call)


def laid_out(disk: Disk, folder: Path) -> Iterator[Path]:
    """Each state as a folder of its own; one at a time, because the caller may write into it."""
    for number, state in enumerate(disk.states):
        run = folder / f"{number:04d}"
        for name, text in sorted(state):
            (run / name).parent.mkdir(parents=True, exist_ok=True)
            (run / name).write_bytes(text)
        run.mkdir(parents=True, exist_ok=True)
        yield run
