"""What a file is: the hash of its bytes, taken while nobody writes to it."""

import hashlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.ids import safe_video_id
from pipeline.base.pulse import beat
from pipeline.base.reasons import Failure, Reason
from pipeline.sources.local.state import EDGE_BYTES, FileState, edge_starts

_PIECE_BYTES = 1 << 20


class Stopped(Exception):
    """Raised inside a hash that is no longer wanted."""


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a file, and the state in which it was read.

    Attributes:
        sha256: of all bytes, hex.
        edges: of the first 64 kB, the last, and one in the middle; for file systems whose times mean little.
        state: before and after reading.
        settled: the file had not been changed for some seconds: the state alone shows another change.
    """

    sha256: str
    edges: str
    state: FileState
    settled: bool

    @property
    def video_id(self) -> str:
        return video_id_of(self.sha256)


def video_id_of(sha256: str) -> str:
    """The video id of content that no site names."""
    return safe_video_id(f"file:{sha256[:16]}")


def content_of(path: Path, stop: threading.Event | None = None) -> Content:
    """Read a file once and say what it is.

    Args:
        path: of the file.
        stop: once set, reading ends.

    Raises:
        Failure: SOURCE_CHANGED when somebody writes to it meanwhile.
        OSError: when it cannot be read.
        Stopped: when `stop` was set.
    """
    now, before = time.time(), FileState.of(path)
    sha256, edges = _read(path, before.size, stop)
    check_unchanged(path, before)
    return Content(sha256, edges, before, before.settled(now))


def check_unchanged(path: Path, before: FileState) -> None:
    """Raise Failure(SOURCE_CHANGED) where a file is not in this state any more, or gone. Raises OSError."""
    try:
        same = FileState.of(path).same(before)
    except FileNotFoundError:
        same = False
    if not same:
        problem = f"{path.name} changed while it was read: it is done once nobody writes to it"
        raise Failure(Reason.SOURCE_CHANGED, problem)


def begins_as(path: Path, size: int, sha256: str) -> bool:
    """Whether the first `size` bytes of a file have this hash. Raises OSError."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        left = size
        while left and (piece := file.read(min(left, _PIECE_BYTES))):
            found.update(piece)
            left -= len(piece)
    return found.hexdigest() == sha256


def _read(path: Path, size: int, stop: threading.Event | None) -> tuple[str, str]:
    """(sha256, edges as of `edges_of`) of a file of so many bytes, in one pass."""
    whole, piece = hashlib.sha256(), memoryview(bytearray(_PIECE_BYTES))
    edges, at = {start: bytearray() for start in edge_starts(size)}, 0
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(piece):
            whole.update(piece[:count])
            for start, edge in edges.items():
                edge += piece[:count][max(0, start - at) : max(0, start + EDGE_BYTES - at)]
            at += count
            beat(read=count)
            if stop is not None and stop.is_set():
                raise Stopped
    return whole.hexdigest(), hashlib.sha256(b"".join(edges.values())).hexdigest()
