"""Where previews lie, relative to the run's folder."""

from pathlib import Path

from pipeline.base.ids import disk_name

FOLDER = "previews"
LOOP = ".loop.webp"  # beside a kept person's strip: pictures of the exported clip, with its skeleton
POSE = ".pose.js"  # the skeleton, as a script that the report loads when somebody looks
CLIP = ".mp4"
SUFFIXES = (".webp", POSE, CLIP)  # of all that this stage writes


def strip_path(identity: str) -> Path:
    """Where the strip of a person, clip or video lies, relative to the run folder; ValueError-free for valid ids."""
    return _path(identity, ".webp")


def loop_path(strip: Path) -> Path:
    """The row of pictures that belongs to a kept person's strip."""
    return strip.with_name(strip.name.removesuffix(".webp") + LOOP)


def pose_path(person_id: str) -> Path:
    """The script with a person's skeleton."""
    return _path(person_id, POSE)


def clip_path(identity: str) -> Path:
    """The small film of a clip, which all dropped people in it share, or of a video."""
    return _path(identity, CLIP)


def _path(identity: str, suffix: str) -> Path:
    name = disk_name(identity)
    return Path(FOLDER, name[-2:], name + suffix)
