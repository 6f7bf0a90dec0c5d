"""Sound tracks on disk as they were decoded: 32-bit samples that are read by index, each block with its checksum.

A file is a header, the checksums of its blocks, and the samples. It is read, not mapped: of a disk that fails, or a file that
somebody cuts short, the reader gets an error that it can act on, where a mapping would end its process.
"""

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BLOCK_SAMPLES = 1 << 16
_SAMPLE_BYTES = 4
_MAGIC = b"CSGWAVE1"
_HEADER = struct.Struct("<8s?xxxIQ")  # magic, whether there is a track, checksum of that and all checksums, samples


class DamagedWave(ValueError):
    """Raised for a file that is not what was written."""


def write(path: Path, wave: NDArray[np.float32] | None) -> None:
    """Write a track, (samples,) float32; None where a file has none that decodes, which is worth remembering too."""
    samples = np.zeros(0, np.float32) if wave is None else np.ascontiguousarray(wave, "<f4")
    blocks = [samples[at : at + BLOCK_SAMPLES] for at in range(0, len(samples), BLOCK_SAMPLES)]
    sums = np.array([zlib.crc32(block.data) for block in blocks], "<u4").tobytes()
    with path.open("wb") as file:
        file.write(_HEADER.pack(_MAGIC, wave is not None, _seal(sums, wave is not None), len(samples)))
        file.write(sums)
        file.write(samples.data)


def read(path: Path, begin: int = 0, end: int | None = None) -> NDArray[np.float32] | None:
    """Samples [begin, end) of a track, as far as it has them; None where there is no track.

    Args:
        path: of the file.
        begin, end: samples; below 0 there are none. None: to the end.

    Returns:
        (at most end - begin,) float32.

    Raises:
        DamagedWave: the file is not what was written, there where it was read. OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
        if len(head) != _HEADER.size or head[: len(_MAGIC)] != _MAGIC:
            raise DamagedWave(f"{path.name} is no sound track")
        _, heard, promised, length = _HEADER.unpack(head)
        count = -(-length // BLOCK_SAMPLES)
        if path.stat().st_size != _HEADER.size + 4 * count + _SAMPLE_BYTES * length:
            raise DamagedWave(f"{path.name} is cut short")
        sums = file.read(4 * count)
        if _seal(sums, heard) != promised:
            raise DamagedWave(f"{path.name}: its list of checksums is damaged")
        if not heard:
            return None
        begin, end = max(begin, 0), length if end is None else max(min(end, length), 0)
        first, last = begin // BLOCK_SAMPLES, -(-end // BLOCK_SAMPLES)
        if end <= begin:
            return np.zeros(0, np.float32)
        file.seek(_HEADER.size + 4 * count + _SAMPLE_BYTES * first * BLOCK_SAMPLES)
        data = file.read(_SAMPLE_BYTES * (min(last * BLOCK_SAMPLES, length) - first * BLOCK_SAMPLES))
    _check(path, data, np.frombuffer(sums, "<u4")[first:last])
    return np.frombuffer(data, "<f4")[begin - first * BLOCK_SAMPLES : end - first * BLOCK_SAMPLES]


def _seal(sums: bytes, heard: bool) -> int:
    return zlib.crc32(sums, int(heard))


def _check(path: Path, data: bytes, sums: NDArray[np.uint32]) -> None:
    """Compare whole blocks with their checksums."""
    view, size = memoryview(data), _SAMPLE_BYTES * BLOCK_SAMPLES
    for number, promised in enumerate(sums.tolist()):
        if zlib.crc32(view[number * size : (number + 1) * size]) != promised:
            raise DamagedWave(f"{path.name}: samples are damaged")
