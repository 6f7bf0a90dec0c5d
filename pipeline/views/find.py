"""Finds units of a run by what people know of them: an id or its beginning, a link, a file's name, a part of a title."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow.compute as pc

from pipeline.base.links import video_id_of
from pipeline.tables.store import Store

_CONTAINERS = ("videos", "clips", "persons")  # what has a story of its own, the larger before the smaller
_FILES = {"samples": ("person_id", "video"), "previews": ("video_id", "path")}  # files that a run makes of them


@dataclass(frozen=True)
class Match:
    """A unit that was meant, perhaps.

    Attributes:
        unit: its id, or the source that failed before it had one.
        title: of its video; "" where none is known.
        source: the link or file that was asked for; "" likewise.
    """

    unit: str
    title: str = ""
    source: str = ""


def find(store: Store, words: str) -> list[Match]:
    """What somebody means by these words; the first way of naming that names anything counts.

    An id; a link; the name of a file (the source's, or one of a clip or preview of the run), with or without its ending; the
    beginning of an id; a part of a title, a file's name or a source, whatever its case.
    """
    videos = store.read("videos", ["video_id", "source", "url", "path", "title"]).to_pylist()
    ways: tuple[Callable[[], Iterable[str]], ...] = (
        lambda: _ids(store, words),
        lambda: _linked(store, videos, words),
        lambda: _named(store, videos, words),
        lambda: _begun(store, words),
        lambda: _partly(store, videos, words),
    )
    for way in ways:
        if found := list(dict.fromkeys(way())):
            return _described(found, videos)
    return []


def _ids(store: Store, words: str) -> Iterator[str]:
    if _holds(store.opted_out, words) or any(_holds(store.keys(kind), words) for kind in _CONTAINERS):
        yield words


def _linked(store: Store, videos: list[dict[str, Any]], words: str) -> Iterator[str]:
    if (video := video_id_of(words)) and (_holds(store.keys("videos"), video) or _holds(store.opted_out, video)):
        yield video
    if found := [row["video_id"] for row in videos if words in (row["source"], row["url"], row["path"])]:
        yield from found
    elif any(_holds(store.outcomes(kind)["unit"], words) for kind in store.kinds):
        yield words  # a source that failed or was rejected


def _named(store: Store, videos: list[dict[str, Any]], words: str) -> Iterator[str]:
    name = _folded(PurePosixPath(words).name)
    yield from (row["video_id"] for row in videos if name in _names(row["source"], row["path"]))
    for kind, (unit, column) in _FILES.items():
        rows = store.read(kind, [unit, column]).to_pylist()
        yield from (row[unit] for row in rows if name in _names(row[column]))
    yield from (unit for unit in _sources_without_video(store, videos) if name in _names(unit))


def _begun(store: Store, words: str) -> Iterator[str]:
    for kind in _CONTAINERS:
        keys = store.keys(kind)
        if found := keys.filter(pc.starts_with(keys, words)).to_pylist():
            yield from found
            return


def _partly(store: Store, videos: list[dict[str, Any]], words: str) -> Iterator[str]:
    part = _folded(words)
    for row in videos:
        if any(part in _folded(row[column] or "") for column in ("title", "source")):
            yield row["video_id"]
    yield from (unit for unit in _sources_without_video(store, videos) if part in _folded(unit))


def _described(units: list[str], videos: list[dict[str, Any]]) -> list[Match]:
    by_id = {row["video_id"]: row for row in videos}
    rows = [(unit, by_id.get(unit.partition("/")[0], {})) for unit in units]
    return [Match(unit, row.get("title") or "", row.get("source") or "") for unit, row in rows]


def _holds(texts: Any, words: str) -> bool:
    """Whether an Arrow array holds a text."""
    return bool(pc.any(pc.equal(texts, words)).as_py())


def _sources_without_video(store: Store, videos: list[dict[str, Any]]) -> list[str]:
    """Sources that failed or were rejected: the others are found by their videos."""
    made = {row["source"] for row in videos}
    units: list[str] = store.outcomes("videos")["unit"].to_pylist()
    return [unit for unit in units if unit not in made]


def _names(*paths: str | None) -> set[str]:
    """The names of files, as they are and without their endings."""
    found = [PurePosixPath(path) for path in paths if path]
    return {_folded(name) for path in found for name in (path.name, path.stem)}


def _folded(text: str) -> str:
    """A text as people compare it: without case, composed and decomposed letters alike."""
    return unicodedata.normalize("NFKC", text).casefold()
