"""Notes of what was fetched: a kill before the row is committed, or another filter, costs no second download.

A note is written before the file moves into its place and counts only once the file is there. Where there is none, a video is
fetched again: notes may be deleted at any time.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pipeline.base import files
from pipeline.base.units import Row
from pipeline.storage import storage_of

FOLDER = "fetched"
ABOUT = ("duration", "language", "license", "live_status", "is_live")  # what `Wanted` looks at


def write(run: Path, unit: str, how: str, row: Row, info: dict[str, Any]) -> None:
    """Note a unit's row, how it was fetched, and what its site said of it."""
    about = {name: info[name] for name in ABOUT if isinstance(info.get(name), str | int | float)}
    files.write_text(_path(run, unit), json.dumps({"unit": unit, "how": how, "row": row, "about": about}))


def read(run: Path, unit: str, how: str) -> tuple[Row, dict[str, Any]] | None:
    """(row, what its site said) of a unit whose file, fetched in this way, is in its place; else None."""
    try:
        note = json.loads(_path(run, unit).read_text(encoding="utf-8"))
        row, about = dict(note["row"]), dict(note["about"])
        there = note["unit"] == unit and note["how"] == how and storage_of(run).size(row["path"]) == row["bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (row, about) if there else None


def forget(run: Path, unit: str) -> None:
    """Keep no note of a unit."""
    _path(run, unit).unlink(missing_ok=True)


def _path(run: Path, unit: str) -> Path:
    name = hashlib.sha256(unit.encode()).hexdigest()[:24]
    return run / FOLDER / name[:2] / f"{name}.json"
