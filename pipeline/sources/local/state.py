"""What the file system says of a file: enough to tell that it need not be read again."""

import errno
import functools
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self

EDGE_BYTES = 64 << 10
SETTLED_SECONDS = 5.0  # a file younger than this may change again within one tick of a coarse clock

# File systems of local disks, whose ctime no program can set. Elsewhere (exFAT, FUSE, NFS, SMB) it may be made up,
# or be that of a cache.
_KEEP_CTIME = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "bcachefs", "tmpfs", "ramfs", "overlay")
)


@dataclass(frozen=True, slots=True)
class FileState:
    """Size, times and inode of a file.

    Attributes:
        size: bytes.
        modified_ns: mtime, ns since 1970; programs may set it.
        changed_ns: ctime, ns since 1970; the file system alone sets it, where it knows one.
        inode: its number.
    """

    size: int
    modified_ns: int
    changed_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """The state of a regular file, links followed. Raises OSError, also for what is no regular file."""
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)

    def same(self, other: "FileState") -> bool:
        """Whether size and times are equal. Inodes are not compared: some network file systems make them up anew."""
        times = self.modified_ns == other.modified_ns and self.changed_ns == other.changed_ns
        return times and self.size == other.size

    def settled(self, now: float) -> bool:
        """Whether the last change lies so far back that another one would show."""
        return now - max(self.modified_ns, self.changed_ns) / 1e9 > SETTLED_SECONDS


def state_or_none(path: Path) -> FileState | None:
    """The state of a regular file; None where there is none, or it cannot be looked at."""
    try:
        return FileState.of(path)
    except OSError:
        return None


def edge_starts(size: int) -> tuple[int, ...]:
    """Where the three pieces of a file of so many bytes begin; each once, as those of a small file may be one."""
    return tuple(dict.fromkeys((0, max(0, size // 2 - EDGE_BYTES // 2), max(0, size - EDGE_BYTES))))


def edges_of(path: Path) -> str:
    """A hash of the first 64 kB, the last, and one in the middle. Raises OSError."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        for start in edge_starts(os.fstat(file.fileno()).st_size):
            file.seek(start)
            found.update(file.read(EDGE_BYTES))
    return found.hexdigest()


def ctime_means_something(path: Path) -> bool:
    """Whether a file lies on a file system whose ctime shows every change. Raises OSError."""
    return _kind_of(path.stat().st_dev) in _KEEP_CTIME


@functools.cache
def _kind_of(device: int) -> str:
    """The type of the file system with this device number, such as ext4; "" where it cannot be told."""
    return _mounted().get(f"{os.major(device)}:{os.minor(device)}", "")


def _mounted() -> dict[str, str]:
    """{device as "major:minor": type} of what is mounted; empty on systems that do not say."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    split = [(line.split(" ")[2], line.partition(" - ")[2].split(" ")[0]) for line in lines if " - " in line]
    return dict(split)
