"""Parts of decoded pictures on disk, to the bit: what a later stage needs of pictures that an earlier one had in hand.

A patch is a rectangle. Its rows are stored as differences to the row above, red and blue as differences to green, by zstd: of faces
in coded films a sixth to a quarter of the bytes, at a fifth of what decoding the picture again costs.
"""

import functools
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.base.arrays import Picture
from pipeline.base.units import Box

PATCHES_VERSION = 1  # another one when the same pictures are stored otherwise
_LEVEL = 1  # of zstd
_MAGIC = b"CSGPATCH"
_HEADER = struct.Struct("<8sIIII")  # magic, pictures, width, height, patches
_ENTRY = struct.Struct("<IIIIIII")  # of each patch: n, x, y, width, height, bytes, their checksum
_SUM = struct.Struct("<I")  # of the header and all entries


class DamagedPatches(ValueError):
    """Raised for a file that is not what was written."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A rectangle of one picture.

    Attributes:
        n: the picture's number.
        x, y: the rectangle's left upper corner, pixels of the picture.
        width, height: pixels, at least one each.
        data: its pixels, compressed.
    """

    n: int
    x: int
    y: int
    width: int
    height: int
    data: bytes

    @classmethod
    def of(cls, n: int, picture: Picture, box: Box | None = None) -> "Patch":
        """What of a box lies in a picture (H, W, 3); None: all of it. ValueError where nothing does."""
        high, wide = picture.shape[:2]
        x1, y1, x2, y2 = inside(box or (0, 0, wide, high), (wide, high))
        if x2 <= x1 or y2 <= y1:
            raise ValueError(f"box {box} is outside of a picture of {wide}x{high}")
        return cls(n, x1, y1, x2 - x1, y2 - y1, _packed(picture[y1:y2, x1:x2]))

    def covers(self, box: Box) -> bool:
        """Whether all of a box lies in it."""
        x1, y1, x2, y2 = box
        return self.x <= x1 and self.y <= y1 and x2 <= self.x + self.width and y2 <= self.y + self.height

    def pixels(self) -> Picture:
        """(height, width, 3) as they were in the picture."""
        raw = _codec().decompress(self.data, 3 * self.height * self.width, asbytes=True)
        planes = np.frombuffer(raw, np.uint8).reshape(3, self.height, self.width)
        planes = np.add.accumulate(planes, axis=1, dtype=np.uint8)  # wraps, as the differences did
        planes[::2] += planes[1]
        return np.asarray(cv2.merge(list(planes)), np.uint8)


@dataclass(frozen=True)
class Patches:
    """Patches of the pictures of a clip.

    Attributes:
        pictures: how many of the clip's pictures decode.
        size: (width, height) of each, pixels.
        patches: of some of them, in any order; of a picture there may be several.
    """

    pictures: int
    size: tuple[int, int]
    patches: tuple[Patch, ...]

    def covering(self, n: int, box: Box) -> Patch | None:
        """A patch that shows all that picture n holds of a box; None where there is none."""
        within = inside(box, self.size)
        return next((patch for patch in self._of(n) if patch.covers(within)), None)

    def whole(self, n: int) -> Picture | None:
        """Picture n, where all of it was kept; None where it was not."""
        width, height = self.size
        patch = self.covering(n, (0, 0, width, height))
        return None if patch is None else patch.pixels()

    def around(self, n: int, box: Box) -> Picture | None:
        """Picture n, right where the box is and black elsewhere; None where not all of the box was kept."""
        patch = self.covering(n, box)
        if patch is None:
            return None
        canvas = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        canvas[patch.y : patch.y + patch.height, patch.x : patch.x + patch.width] = patch.pixels()
        return canvas

    def _of(self, n: int) -> Sequence[Patch]:
        return self._by_number.get(n, ())

    @functools.cached_property
    def _by_number(self) -> dict[int, list[Patch]]:
        found: dict[int, list[Patch]] = {}
        for patch in self.patches:
            found.setdefault(patch.n, []).append(patch)
        return found

    @property
    def bytes(self) -> int:
        """What they take on a disk, nearly."""
        return sum(len(patch.data) + _ENTRY.size for patch in self.patches)


def inside(box: Box, size: tuple[int, int]) -> Box:
    """The part of a box that lies in a picture of (width, height); empty where none does."""
    x1, y1, x2, y2 = box
    return max(x1, 0), max(y1, 0), min(x2, size[0]), min(y2, size[1])


def write(path: Path, patches: Patches) -> None:
    """Write a file of patches."""
    head = _HEADER.pack(_MAGIC, patches.pictures, *patches.size, len(patches.patches))
    entries = [_ENTRY.pack(p.n, p.x, p.y, p.width, p.height, len(p.data), zlib.crc32(p.data)) for p in patches.patches]
    head += b"".join(entries)
    with path.open("wb") as file:
        file.write(head + _SUM.pack(zlib.crc32(head)))
        file.writelines(patch.data for patch in patches.patches)


def read(path: Path) -> Patches:
    """Read a file of patches.

    Raises:
        DamagedPatches: it is not what was written. OSError: it cannot be read.
    """
    content = path.read_bytes()
    if len(content) < _HEADER.size or content[: len(_MAGIC)] != _MAGIC:
        raise DamagedPatches(f"{path.name} is no file of patches")
    _, pictures, width, height, count = _HEADER.unpack_from(content)
    at = _HEADER.size + count * _ENTRY.size
    if len(content) < at + _SUM.size or _SUM.unpack_from(content, at)[0] != zlib.crc32(content[:at]):
        raise DamagedPatches(f"{path.name}: its list of patches is damaged")
    entries = list(_ENTRY.iter_unpack(content[_HEADER.size : at]))
    at += _SUM.size
    patches = []
    for n, x, y, wide, high, size, promised in entries:
        data = content[at : at + size]
        if len(data) != size or zlib.crc32(data) != promised:
            raise DamagedPatches(f"{path.name}: pixels are damaged")
        patches.append(Patch(n, x, y, wide, high, data))
        at += size
    return Patches(pictures, (width, height), tuple(patches))


@functools.lru_cache(maxsize=1)
def _codec() -> pa.Codec:
    return pa.Codec("zstd", compression_level=_LEVEL)


def _packed(part: Picture) -> bytes:
    """A rectangle (h, w, 3) as compressed differences, a plane after the other."""
    planes: NDArray[np.uint8] = np.stack(cv2.split(part)).astype(np.uint8, copy=False)
    planes[::2] -= planes[1]
    steps = planes.copy()
    steps[:, 1:] -= planes[:, :-1]
    return bytes(_codec().compress(steps, asbytes=True))
