"""A folder of video files, or one file: nothing is copied, rows name them where they are.

A file is its content (see `contents`): a unit is named after the first name under which its content was met, and keeps it.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar
from urllib.parse import quote_from_bytes, unquote_to_bytes

import click

from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.text import clean
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.sources.local.several import is_one
from pipeline.sources.local.state import state_or_none
from pipeline.tables.store import Store
from stages.crawl import place, record
from stages.crawl.inputs.base import Fetcher, Input
from stages.crawl.inputs.contents import MARK, UNREAD, Found, Survey
from stages.crawl.inputs.left_out import left_out
from stages.crawl.inputs.look import look
from stages.crawl.inputs.reading import Reading

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "ts"),
        *("m2ts", "mts", "flv", "wmv", "asf", "ogv", "3gp", "vob"),
    )
)


class Folder(Input):
    """Files of a folder and its subfolders; a unit is a path relative to the folder."""

    description: ClassVar[str] = "folder of videos"
    modules: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def matches(cls, text: str) -> bool:
        path = Path(text)
        return (
            bool(text)
            and is_one(text)
            and (path.is_dir() or (path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES))
        )

    def units(self, store: Store) -> Mapping[str, str]:
        """Its units; those that moved since their row was made with the path of their file."""
        return Survey(self.files(), store).units()

    def look(self, store: Store) -> None:
        """Read what cannot be told from names and times alone, and say what moved, was replaced, grew or is gone."""
        for line in look(self.files(), store):
            click.echo(f"crawl: {line}", err=True)

    def files(self) -> list[Found]:
        """The files, in the order of the folder."""
        found = walked(Path(self.text).absolute())
        return [Found(name, path, state_or_none(path) if is_utf8(path) else None) for name, path in found]

    def path_of(self, unit: str) -> Path:
        """Where the file of a new unit lies. Raises Reject where that would be outside of what was given."""
        return local_path(self.text, unit)

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        yield {"files": Survey(self.files(), Store(context.run, context.opt_out)).given()}

    def left_out(self) -> str:
        return left_out(Path(self.text), VIDEO_SUFFIXES)

    def nothing(self) -> str:
        beside = self.left_out()
        return f"crawl.input: the folder {self.text} holds no video" + (f"; left out: {beside}" if beside else "")

    def row(self, unit: Unit, worker: Fetcher) -> Row:
        if unit.id.endswith(f"{MARK}{UNREAD}"):
            raise Failure(
                Reason.SOURCE_CHANGED, f"{unit.id.rpartition(MARK)[0]} could not be read as long as it changes"
            )
        given = worker.given.get("files", {}).get(unit.id)
        path, run = Path(given.path) if given else self.path_of(unit.id), worker.run
        if not is_utf8(path):
            raise Reject(
                Reason.BAD_LINK, f"its name is not UTF-8, which tables cannot hold: rename it ({unit.id[:80]})"
            )
        read = Reading(path, given, worker.left_out)
        try:
            probed = worker.probed(path)
        except Reject:
            read.keep(run, unit.id)
            raise
        sha256 = read.keep(run, unit.id)
        if given and given.copy_of:
            raise Reject(Reason.DUPLICATE, f"the same video as {given.copy_of}")
        video_id = place.file_id(sha256)
        place.claim(run, video_id, unit.id)
        title = given.title if given and given.title else clean(path.stem, 300)  # it stays when a file is renamed
        return {**record.row(video_id, unit.id, path, sha256, probed), "title": title}


def folder_units(text: str) -> list[str]:
    """Videos of a folder and its subfolders as paths relative to it, with `/`; one file stands for itself.

    Names with control characters or without a Unicode reading are percent-encoded. Hidden files and folders are left out.
    """
    return [name for name, _ in walked(Path(text))]


def walked(root: Path) -> Iterator[tuple[str, Path]]:
    """(name as a unit, path) of each video of a folder, or of one file."""
    if root.is_file():
        yield encoded(root.name), root
        return
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES:
                path = Path(folder) / name
                yield encoded(path.relative_to(root).as_posix()), path


def local_path(text: str, unit: str) -> Path:
    """The absolute path of a folder's unit; Reject(BAD_LINK) when it would lead out of the folder."""
    root = Path(text).absolute()
    root = root.parent if root.is_file() else root
    for name in (unit, os.fsdecode(unquote_to_bytes(unit))):
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts or "\0" in name:
            raise Reject(Reason.BAD_LINK, f"leads out of the folder: {unit[:80]!r}")
        path = root / parts
        if path.exists():
            return path
    return root / unit


def is_utf8(path: Path) -> bool:
    """Whether tables can hold a path."""
    return str(path).encode("utf-8", "replace") == os.fsencode(path)


def encoded(name: str) -> str:
    """A name that every table can hold: itself where it is plain text, percent-encoded where it is not."""
    if name.isprintable() and not re.search("[\ud800-\udfff]", name):
        return name
    return quote_from_bytes(os.fsencode(name), safe="/")
