"""What to crawl: a folder of videos, a list of links, a manifest of clips, or the demo's takes, as unit ids."""

import os
import re
from collections import defaultdict
from pathlib import Path, PurePosixPath
from urllib.parse import quote_from_bytes, unquote_to_bytes

from pipeline.reasons import Reason, Reject
from pipeline.web.lists import InputError, LinkList, read_list, reason_of

__all__ = ["InputError", "LinkList", "folder_units", "kind_of", "local_path", "read_list", "reason_of", "same_size"]

THEATRE = "theatre"
THEATRE_PREFIX = "theatre://"
VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("mp4", "m4v", "mov", "mkv", "webm", "avi", "mpg", "mpeg", "ts"),
        *("m2ts", "mts", "flv", "wmv", "asf", "ogv", "3gp", "vob"),
    )
)


def kind_of(text: str) -> str:
    """`theatre`, `folder` or `list`; InputError when there is no such thing."""
    if text == THEATRE:
        return THEATRE
    if not text:
        raise InputError("crawl.input is not set: a folder of videos, a list of links, or `theatre`")
    path = Path(text)
    if path.is_dir() or (path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES):
        return "folder"
    if path.is_file():
        return "list"
    raise InputError(f"crawl.input: no file or folder {text}")


def folder_units(text: str) -> list[str]:
    """Videos of a folder and its subfolders as paths relative to it, with `/`; one file stands for itself.

    Names with control characters or without a Unicode reading are percent-encoded. Hidden files and folders are left out.
    """
    root = Path(text)
    if root.is_file():
        return [_encoded(root.name)]
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES:
                found.append(_encoded((Path(folder) / name).relative_to(root).as_posix()))
    return found


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
