"""Where everything lies in an archive of poses: built once by the driver, mapped into memory by every worker."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.tables.hashing import digest

SUFFIXES = (".npy", ".npz")
PICKLES = (".pkl", ".pickle", ".pt", ".pth")
_CLOCK = r"\d\d_\d\d_\d\d_\d{1,6}"
_NAME = re.compile(rf"[A-Za-z0-9_-]{{11}}_\d{{1,4}}_{_CLOCK}_{_CLOCK}(?!\d)", re.ASCII)
_SAFE = re.compile(r"(?!/|[A-Za-z]:(?:/|$))[^\\\x00-\x1f]+")
_DTYPE = np.dtype(
    [
        ("key", "<u8"),
        ("offset", "<u8"),
        ("packed", "<u8"),
        ("size", "<u8"),
        ("name_at", "<u8"),
        ("name_bytes", "<u4"),
        ("crc", "<u4"),
        ("method", "<u2"),
        ("state", "<u2"),
    ]
)


class State(IntEnum):
    """Whether a member may be read, and if not, why."""

    FINE = 0
    UNSAFE_NAME = 1
    LINK = 2
    ENCRYPTED = 3
    TOO_LARGE = 4
    BOMB = 5
    UNKNOWN_METHOD = 6
    OVERLAPS = 7
    TWICE = 8
    PICKLE = 9

    @property
    def sentence(self) -> str:
        return _SENTENCES[self]


_SENTENCES = {
    State.FINE: "",
    State.UNSAFE_NAME: "its name leads out of the archive",
    State.LINK: "it is a link",
    State.ENCRYPTED: "it is encrypted",
    State.TOO_LARGE: "it is larger than the limit",
    State.BOMB: "it is packed so tightly that it must be a bomb",
    State.UNKNOWN_METHOD: "it is packed by a method other than deflate",
    State.OVERLAPS: "its bytes are another member's too",
    State.TWICE: "two members have its name",
    State.PICKLE: "it is a pickle, which is never read",
}


class Entry(NamedTuple):
    """A member: its name, where its header begins, its sizes in bytes, its CRC-32, how it is packed, whether it may be read."""

    name: str
    offset: int = 0
    packed: int = 0
    size: int = 0
    crc: int = 0
    method: int = 0
    state: State = State.FINE


def canonical(name: str) -> str:
    """A clip's name with `_` for `:` and `.`, without folder and suffix: the form under which both forms of a name meet."""
    stem = name
    while stem.lower().endswith((*SUFFIXES, *PICKLES, ".mp4")):
        stem = stem[: stem.rindex(".")]
    stem = re.sub("[:.]", "_", stem)
    match = _NAME.match(stem)
    return match[0] if match else stem


def key_of_member(name: str) -> str:
    """The clip that a member is of: by its own name, else by the folder that it lies in."""
    parts = [part for part in re.split(r"[/\\]", name) if part]
    own = canonical(parts[-1]) if parts else ""
    folder = canonical(parts[-2]) if len(parts) > 1 else ""
    return folder if not _NAME.fullmatch(own) and _NAME.fullmatch(folder) else own


def safe(name: str) -> bool:
    """Whether a member's name stays in its archive on every system."""
    return _SAFE.fullmatch(name) is not None and ".." not in name.split("/")


@dataclass(frozen=True)
class Index:
    """Entries by key.

    Attributes:
        rows: sorted by key; rows of one key in the order in which they were given.
        names: UTF-8, one after the other.
    """

    rows: NDArray[np.void]
    names: NDArray[np.uint8]

    @classmethod
    def of(cls, entries: Iterable[tuple[str, Entry]], *, unique: bool = True) -> "Index":
        """Entries with the key of each; with `unique`, those of one key are marked as being there twice."""
        records, blob, at = [], bytearray(), 0
        for key, entry in entries:
            name = entry.name.encode("utf-8", "surrogateescape")
            records.append((digest(key), *entry[1:4], at, len(name), *entry[4:]))
            blob += name
            at += len(name)
        rows = np.array(records, _DTYPE)
        rows = rows[np.argsort(rows["key"], kind="stable")]
        same = rows["key"][1:] == rows["key"][:-1]
        if unique and same.any():
            rows["state"][1:][same] = rows["state"][:-1][same] = State.TWICE
        return cls(rows, np.frombuffer(bytes(blob), np.uint8))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if len(self.rows):  # nothing cannot be mapped into memory
            np.save(folder / "rows.npy", self.rows)
            np.save(folder / "names.npy", self.names)

    @classmethod
    def load(cls, folder: Path) -> "Index":
        """Mapped into memory: workers share its pages."""
        if not (folder / "rows.npy").is_file():
            return cls(np.zeros(0, _DTYPE), np.zeros(0, np.uint8))
        return cls(np.load(folder / "rows.npy", mmap_mode="r"), np.load(folder / "names.npy", mmap_mode="r"))

    @cached_property
    def _keys(self) -> NDArray[np.uint64]:
        return np.ascontiguousarray(self.rows["key"])

    def find(self, key: str) -> list[Entry]:
        """Every entry of a key, in the order in which they were given."""
        wanted = np.uint64(digest(key))
        first, last = (int(np.searchsorted(self._keys, wanted, side)) for side in ("left", "right"))
        return [self._entry(row) for row in self.rows[first:last]]

    def _entry(self, row: np.void) -> Entry:
        at, length = int(row["name_at"]), int(row["name_bytes"])
        name = bytes(self.names[at : at + length]).decode("utf-8", "surrogateescape")
        offset, packed, size, crc, method = (int(row[c]) for c in ("offset", "packed", "size", "crc", "method"))
        return Entry(name, offset, packed, size, crc, method, State(int(row["state"])))

    def refused(self) -> dict[State, int]:
        """How many members may not be read, by why."""
        states, counts = np.unique(self.rows["state"], return_counts=True)
        return {State(int(s)): int(c) for s, c in zip(states, counts, strict=True) if s != State.FINE}

    def __len__(self) -> int:
        return len(self.rows)
