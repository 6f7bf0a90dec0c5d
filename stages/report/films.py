"""What a card plays: where its pictures, film and skeleton lie, as seen from the page."""

from pathlib import PurePosixPath
from typing import Any

from stages.report.gather import Preview

_STRIP = ".webp"


def film_of(preview: Preview | None, sample: str | None = None) -> dict[str, Any]:
    """The short keys of a record that the player reads; all null where there is nothing to look at.

    p: strip; h: how many pictures it has; l: still of the exported clip; v: film, with sound; z: the film's skeleton.

    Args:
        sample: the exported clip of a kept person.
    """
    if preview is None:
        return {"p": None, "h": None, "l": None, "v": up(sample), "z": None}
    still = preview.loop or (PurePosixPath(preview.path).with_suffix(".loop" + _STRIP).as_posix() if sample else None)
    return {
        "p": up(preview.path),
        "h": preview.tiles,
        "l": up(still),
        "v": up(sample or preview.clip),
        "z": up(preview.pose),
    }


def up(path: str | None) -> str | None:
    """A path of the run folder as seen from the report's folder."""
    return None if path is None else f"../{path}"
