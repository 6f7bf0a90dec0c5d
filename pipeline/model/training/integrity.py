"""Whether a cache on disk is still what was written: checksums of its index, its list of clips, and of each clip's frames.

A cache may take 72 GB, too much to read at each start. When it is opened, sizes, the index and the list are checked; the frames
of a clip are checked when it is first used, so that no flipped bit is trained on.
"""

import contextlib
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.base import files
from pipeline.base.hashes import sha256_of
from pipeline.model.training import TrainingError

CHECKSUM = "checksum"  # of an index, over all its other keys


class CacheError(TrainingError):
    """Raised for shards that cannot be trained on; the message says why, and what to do."""


class DamagedCache(CacheError):
    """Raised for a cache that is not what was written, or whose shards are others by now."""


def damaged(path: Path, problem: str) -> DamagedCache:
    """The error for a file of a cache, with its remedy."""
    return DamagedCache(f"{path} {problem}: delete {path.parent} and run again")


def write_index(path: Path, index: Mapping[str, Any]) -> None:
    """Write a cache's index atomically, with its checksum."""
    content = {**index, CHECKSUM: _checksum(index)}
    files.write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def read_index(path: Path) -> dict[str, Any]:
    """A cache's index. Raises DamagedCache where it is not what was written."""
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        said = index.pop(CHECKSUM)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise damaged(path, "is not what was written") from None
    if said != _checksum(index):
        raise damaged(path, "is not what was written (its checksum differs)")
    return dict(index)


def is_checked(path: Path) -> bool:
    """Whether an index carries a checksum: those of caches that were written before do not, and their shards were not compared."""
    return f'"{CHECKSUM}"' in path.read_text(encoding="utf-8", errors="replace")


def _checksum(index: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in index.items() if name != CHECKSUM}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def states_of(paths: Iterable[Path]) -> dict[str, list[int]]:
    """File -> size, inode, and times of content and of inode, ns: while they are the same, so are the bytes."""
    found = {path.name: path.stat() for path in paths}
    return {name: [at.st_size, at.st_ino, at.st_mtime_ns, at.st_ctime_ns] for name, at in found.items()}


def compare_shards(path: Path, index: Mapping[str, Any], shards: Sequence[Path]) -> None:
    """Compare today's shards with those that a cache was built from; only files that look touched since are read.

    Args:
        path: of the cache's index, which is written anew with today's states where the bytes are the same; where it cannot be,
            the next start reads the files again.
        index: what it says.
        shards: of the split.

    Raises:
        DamagedCache: a shard holds other bytes by now.
    """
    today = states_of(shards)
    for shard in shards:
        if today[shard.name] != index["states"].get(shard.name) and sha256_of(shard) != index["shards"][shard.name]:
            raise DamagedCache(
                f"{shard} holds other bytes than when {path.parent} was built from it: get it again, or write the shards again"
            )
    if today != index["states"]:
        with contextlib.suppress(OSError):
            write_index(path, {**index, "states": today})


def checksum_of(arrays: Iterable[NDArray[Any]]) -> int:
    """CRC-32 over the bytes of a clip's arrays, in the order given."""
    found = 0
    for values in arrays:
        found = zlib.crc32(np.ascontiguousarray(values).data, found)
    return found
