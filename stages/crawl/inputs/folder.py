"""A folder of video files, or one file: nothing is copied, rows name them where they are."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote_from_bytes, unquote_to_bytes

from pipeline.base.hashes import sha256_of
from pipeline.base.reasons import Reason, Reject
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from stages.crawl.inputs.base import Fetcher, Input
from stages.crawl.inputs.left_out import left_out

if TYPE_CHECKING:
    from pipeline.tables.store import Store

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

    @classmethod
    def matches(cls, text: str) -> bool:
        path = Path(text)
        return bool(text) and (path.is_dir() or (path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES))

    def units(self, store: "Store | None" = None) -> list[str]:
        return folder_units(self.text)

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        yield {"same_size": same_size(self.text, self.units())}

    def left_out(self) -> str:
        return left_out(Path(self.text), VIDEO_SUFFIXES)

    def nothing(self) -> str:
        beside = self.left_out()
        return f"crawl.input: the folder {self.text} holds no video" + (f"; left out: {beside}" if beside else "")

    def row(self, unit: Unit, worker: Fetcher) -> Row:
        from pipeline.media.video import probe
        from stages.crawl import place, record

        path, run = local_path(self.text, unit.id), worker.run
        if str(path).encode("utf-8", "replace") != os.fsencode(path):
            raise Reject(
                Reason.BAD_LINK, f"its name is not UTF-8, which tables cannot hold: rename it ({unit.id[:80]})"
            )
        probed = probe(path, worker.limits)
        sha256 = sha256_of(path)
        video_id = place.file_id(sha256)
        if place.owner_of(run, video_id) is None:
            # Of copies that nobody owns yet the first by name wins, whichever worker comes first.
            for other in worker.given.get("same_size", {}).get(unit.id, ()):
                if _is_copy(local_path(self.text, other), sha256):
                    raise Reject(Reason.DUPLICATE, f"the same video as {other}")
        place.claim(run, video_id, unit.id)
        return {**record.row(video_id, unit.id, path, sha256, probed), "title": record.clean(path.stem, 300)}


def folder_units(text: str) -> list[str]:
    """Videos of a folder and its subfolders as paths relative to it, with `/`; one file stands for itself.

    Names with control characters or without a Unicode reading are percent-encoded. Hidden files and folders are left out.
    """
    root = Path(text)
    if root.is_file():
        return [_encoded(root.name)]
    units = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES:
                units.append(_encoded((Path(folder) / name).relative_to(root).as_posix()))
    return units


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


def same_size(text: str, units: list[str]) -> dict[str, list[str]]:
    """For each unit, those before it (in order of their names) of the same size in bytes: what it may be a copy of."""
    by_size: dict[int, list[str]] = defaultdict(list)
    for unit in sorted(units):
        try:
            by_size[local_path(text, unit).stat().st_size].append(unit)
        except (OSError, Reject):
            continue  # process() says what is wrong with it
    groups = (group for size, group in by_size.items() if size > 0 and len(group) > 1)
    return {unit: group[:at] for group in groups for at, unit in enumerate(group) if at}


def _encoded(name: str) -> str:
    """A name that every table can hold: itself where it is plain text, percent-encoded where it is not."""
    if name.isprintable() and not re.search("[\ud800-\udfff]", name):
        return name
    return quote_from_bytes(os.fsencode(name), safe="/")


def _is_copy(path: Path, sha256: str) -> bool:
    try:
        return sha256_of(path) == sha256
    except OSError:
        return False
