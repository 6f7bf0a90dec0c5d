"""A clip stored as a folder of numbered pictures, as sets for image animation often are: read on the 25-fps grid like a video."""

import hashlib
import math
import os
import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.base import hashes
from pipeline.base.reasons import Reason, Reject
from pipeline.base.units import FPS
from pipeline.media.still import read_picture

SUFFIXES = (".png", ".jpg", ".jpeg")

_NUMBER = re.compile(r"(\d+)\D*$", re.ASCII)


def is_frame(name: str) -> bool:
    """Whether a file of this name counts as a frame; other files may be in the folder."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def frames_in(folder: Path) -> list[Path]:
    """A folder's frames in the order of their numbers: the last digits of each name, so that 10.png comes after 2.png.

    Raises:
        Reject: BAD_LINK, a frame is a link that leads out of the folder; CORRUPT, a name without a number, a number that two
            frames have, or one that is missing; EMPTY_FILE, there is none.
    """
    with os.scandir(folder) as entries:
        pictures = [entry for entry in entries if is_frame(entry.name) and entry.is_file()]
    if not pictures:
        raise Reject(Reason.EMPTY_FILE, f"{folder} holds no frames")
    for entry in pictures:
        if entry.is_symlink() and not Path(entry).resolve().is_relative_to(folder.resolve()):
            raise Reject(Reason.BAD_LINK, f"{entry.name} is a link that leads out of its folder")
    numbered = sorted((_number(entry.name), entry.name) for entry in pictures)
    for (before, one), (after, other) in pairwise(numbered):
        if after == before:
            raise Reject(Reason.CORRUPT, f"{one} and {other} have one number: of which is the clip?")
        if after > before + 1:
            raise Reject(Reason.CORRUPT, f"frame {before + 1} is missing: after {one} comes {other}")
    return [folder / name for _, name in numbered]


def _number(name: str) -> int:
    match = _NUMBER.search(name.rpartition(".")[0])
    if not match:
        raise Reject(Reason.CORRUPT, f"{name} has no number: which frame is it?")
    return int(match[1])


def grid_frames(count: int, fps: float) -> int:
    """How many pictures of the 25-fps grid this many frames fill, at a rate in frames a second."""
    return max(1, math.floor(FPS * count / Fraction(fps) + Fraction(1, 2)))


def frame_shown(picture: int, fps: float) -> int:
    """Which frame a picture of the grid shows: the last whose time, k / fps, lies before picture / 25 + 1/50 s."""
    return math.ceil((2 * picture + 1) * Fraction(fps) / (2 * FPS)) - 1


def read_frames(folder: Path, pictures: int, fps: float) -> Iterator[NDArray[np.uint8]]:
    """Read a folder's frames on the 25-fps grid; the last one is repeated where frames run out.

    Args:
        folder: of frames.
        pictures: of the grid.
        fps: frames a second at which they were taken.

    Yields:
        (H, W, 3) RGB; pictures that show one frame share its array.

    Raises:
        Reject: what `frames_in` and `read_picture` raise; CORRUPT, where frames are not of one size.
    """
    frames = frames_in(folder)
    size: tuple[int, int] | None = None
    last = -1
    for number in range(pictures):
        at = min(frame_shown(number, fps), len(frames) - 1)
        if at != last:
            pixels, last = read_picture(frames[at]), at
            size = size or (pixels.shape[1], pixels.shape[0])
            if (pixels.shape[1], pixels.shape[0]) != size:
                wide, tall = pixels.shape[1], pixels.shape[0]
                raise Reject(
                    Reason.CORRUPT, f"{frames[at].name} has {wide}x{tall} pixels, those before {size[0]}x{size[1]}"
                )
        yield pixels


def sha256_of(folder: Path) -> str:
    """A hash of the names and contents of a folder's frames, in hex."""
    digest = hashlib.sha256()
    for path in frames_in(folder):
        digest.update(f"{path.name}\0".encode() + bytes.fromhex(hashes.sha256_of(path)))
    return digest.hexdigest()
