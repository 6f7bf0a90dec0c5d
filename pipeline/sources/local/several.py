"""Several folders as one input: a text of one path a line, since a run has one input, which is a text."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

BETWEEN = "\n"


def joined(paths: Sequence[str]) -> str:
    """These paths as one input."""
    return BETWEEN.join(paths)


def each(text: str) -> list[str]:
    """The paths of an input; an input that is one path, of whatever name, is that one."""
    return [text] if BETWEEN not in text or _is_path(text) else [line for line in text.split(BETWEEN) if line]


def _is_path(text: str) -> bool:
    """Whether a path with line ends in it is there; several paths together may be longer than any path can be."""
    try:
        return Path(text).exists()
    except OSError:
        return False


def is_one(text: str) -> bool:
    """Whether an input is one path, or none, and not several."""
    return each(text) == [text]


def labels(roots: Sequence[Path]) -> dict[Path, str]:
    """A name for each folder, by which files of one name are told apart: its own, with a mark where two folders share it.

    A name is one step of a path, so that no file of one folder can have the name of a file of another.
    """
    counts = Counter(root.name for root in roots)
    return {
        root: root.name if counts[root.name] == 1 and root.name else f"{root.name}~{_mark(root)}"
        for root in dict.fromkeys(roots)
    }


def _mark(root: Path) -> str:
    return hashlib.sha256(str(root).encode("utf-8", "surrogateescape")).hexdigest()[:8]
