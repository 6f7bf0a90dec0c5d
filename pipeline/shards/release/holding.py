"""Which versions of a release held which works."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.shards.format import ShardError
from pipeline.shards.release import ALL_LINKS, INDEX
from pipeline.shards.release.reading import open_release, tables_of


def releases_in(folder: Path) -> Iterator[Path]:
    """The releases that a folder is, or holds: a version each."""
    for path in (folder, *sorted(folder.iterdir())) if folder.is_dir() else ():
        if (path / INDEX).is_file():
            yield path


def versions_holding(folders: Iterable[Path], works: frozenset[str]) -> tuple[dict[str, dict[Path, str]], list[str]]:
    """Works by the releases that hold them, and what could not be looked into.

    Args:
        folders: of releases, which may come from others.
        works: video ids.

    Returns: {video: {folder: version}}, and a line for each release that is damaged.
    """
    held: dict[str, dict[Path, str]] = {work: {} for work in works}
    trouble = []
    for folder in folders:
        try:
            release = open_release(folder)
            tables = (
                table
                for path in release.files(ALL_LINKS)
                for table in tables_of(release.check(path), ALL_LINKS, ["video_id"])
            )
            videos = {video for table in tables for video in table["video_id"].to_pylist()}
        except ShardError as error:
            trouble.append(f"{folder} was not looked into: {error}")
            continue
        for work in works & videos:
            held[work][folder] = release.about.version
    return held, trouble
