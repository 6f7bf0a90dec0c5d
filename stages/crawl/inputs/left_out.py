"""What a folder holds and a crawl of it leaves out, in a line."""

import os
from collections import Counter
from pathlib import Path

from pipeline.base.text import printable

_NAMED = 8  # of each kind


def left_out(root: Path, suffixes: frozenset[str]) -> str:
    """Files that are no videos by their names, and links to folders, which are not followed; "" where there are none.

    Args:
        root: the folder; hidden files and folders count for nothing.
        suffixes: of videos, such as `.mp4`.
    """
    others: Counter[str] = Counter()
    links: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links += [
            str((Path(folder) / name).relative_to(root)) for name in folders if (Path(folder) / name).is_symlink()
        ]
        kinds = [Path(name).suffix.lower() for name in names if not name.startswith(".")]
        others.update(kind or "without a suffix" for kind in kinds if kind not in suffixes)
    said = []
    if others:
        kinds_said = ", ".join(f"{count} {kind}" for kind, count in others.most_common(_NAMED))
        more = ", ..." if len(others) > _NAMED else ""
        said.append(f"{_counted(others.total(), 'file')} by name no video ({kinds_said}{more})")
    if links:
        more = ", ..." if len(links) > _NAMED else ""
        said.append(
            f"{_counted(len(links), 'link')} to folders, which are not followed ({', '.join(links[:_NAMED])}{more}): "
            "name such a folder as the input"
        )
    return printable("; ".join(said))


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
