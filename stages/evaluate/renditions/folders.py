"""Where videos of pairs lie in an evaluation's folder, and what is left of a back-end's work."""

import shutil
from pathlib import Path

from pipeline.tables import people

VIDEOS, WORK = "videos", "work"


def keep_log(work: Path) -> None:
    """Of a back-end's inputs and outputs keep what it said: drawn pictures of a test set fill a disk."""
    for path in sorted(work.glob("*")) if work.is_dir() else []:
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "log.txt":
            path.unlink()
    if work.is_dir() and not any(work.iterdir()):
        people.delete(work)
