"""Where previews lie, relative to the run's folder."""

from pathlib import Path

from pipeline.base.ids import disk_name

FOLDER = "previews"
LOOP = ".loop.webp"  # beside a kept person's strip: the exported clip, with its skeleton, as a row of pictures


def strip_path(identity: str) -> Path:
    """Where the strip of a person, clip or video lies, relative to the run folder; ValueError-free for valid ids."""
    name = disk_name(identity)
    return Path(FOLDER, name[-2:], f"{name}.webp")


def loop_path(strip: Path) -> Path:
    """The row of pictures that belongs to a kept person's strip."""
    return strip.with_name(strip.name.removesuffix(".webp") + LOOP)
