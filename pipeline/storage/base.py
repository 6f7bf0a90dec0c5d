"""What a storage is."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from pipeline.base.files import DISCARDED

FOLDERS = ("raw", "clips", "previews", "shards")  # the first step of every key that a run puts


class Entry(NamedTuple):
    """A stored file, as a listing tells it. A tuple, because a listing makes a hundred thousand of them.

    Attributes:
        key: as in rows of tables, such as clips/ab/name.mp4.
        bytes: its size.
        modified: when it was written, seconds since 1970.
    """

    key: str
    bytes: int
    modified: float


class Edited(NamedTuple):
    """A folder whose files are changed together.

    Attributes:
        path: on this machine; files in it are replaced and removed, never written into.
        keep: makes what was changed so far lasting, in the order in which it was written.
    """

    path: Path
    keep: Callable[[], None]


def tombstone_of(key: str) -> str:
    """The key of what stands beside a file that was freed on purpose, so that it is not taken for lost."""
    return key + DISCARDED


def own_key(key: str) -> str:
    """A key of the run itself; ValueError for one that leads out of it."""
    pure = PurePosixPath(key)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise ValueError(f"{key!r} is no key of this run: it would be written or deleted outside of it")
    return str(pure)


class Storage(Protocol):
    """Files by key. A key is what rows of tables hold: a path relative to the run, with slashes.

    An absolute path is a key too: of a file that is used where it was found, which nobody puts or deletes.

    Attributes:
        remote: whether looking at one file asks a server: then listings are looked at in place of files.
    """

    remote: bool

    def local(self, key: str) -> Path:
        """A path on this machine at which a file can be read, until `release`; it need not exist where the file does not."""
        ...

    def folder(self, name: str) -> Path:
        """A folder on this machine that holds the files of one such as "shards", which are read together, until `release`."""
        ...

    def contained(self, key: str) -> Path | None:
        """As `local`, for a key that others wrote; None where it, or a link, leads out of the folder that it begins with."""
        ...

    def editing(self, name: str) -> AbstractContextManager[Edited]:
        """A folder such as "shards" to change; when the block ends well the changes last. One process at a time edits."""
        ...

    def release(self) -> None:
        """Say that nothing that `local` and `folder` gave this process is read any more."""
        ...

    def copied_bytes(self) -> int:
        """Bytes that copies of stored files take on this machine."""
        ...

    def named(self, key: str) -> str:
        """Where a file lies, in words for people: a path, or an address such as s3://bucket/prefix/clips/ab/name.mp4."""
        ...

    def size(self, key: str) -> int | None:
        """Bytes of a file; None where there is none."""
        ...

    def sizes(self, folder: str) -> Mapping[str, int]:
        """{key: bytes} of what `list` tells; may be some seconds old."""
        ...

    def sha256(self, key: str) -> str | None:
        """The hash of a file's bytes, in hex, read where it is stored; None where there is no file."""
        ...

    def read_text(self, key: str) -> str:
        """A small text. Raises FileNotFoundError, UnicodeDecodeError."""
        ...

    def exists(self, key: str) -> bool:
        """Whether the file is there."""
        ...

    def copy(self, key: str, target: Path) -> bool:
        """Copy a file to a path of this machine as it is, whatever was promised of it; whether it was there."""
        ...

    def put(self, path: Path, key: str) -> None:
        """Give a finished file of this machine its key; it is whole under the key or not there, and gone from `path`."""
        ...

    def writing(self, key: str) -> AbstractContextManager[Path]:
        """A path with the key's suffix to write to; when the block ends well the file gets its key, else nothing stays."""
        ...

    def claim(self, key: str, words: str) -> str:
        """Write a small text unless there is one under the key; the text that is there then, its own or another writer's."""
        ...

    def delete(self, key: str) -> bool:
        """Remove a file; whether it was there. ValueError for an absolute key."""
        ...

    def keep_deleted(self, keys: Iterable[str]) -> None:
        """Make the removal of these files lasting: after a power cut none of them is there again."""
        ...

    def forget_elsewhere(self) -> None:
        """Have other machines remove what they hold of people who opted out, when they next work on the run.

        That is copies of what is gone, and all downloads that were cut short: these say not whose they are.
        """
        ...

    def forget_here(self) -> None:
        """Remove what this machine holds of people who opted out while another one was at work."""
        ...

    def list(self, folder: str) -> Iterator[Entry]:
        """Every file below a folder such as "clips", in the order of keys, by one listing; none where there is no folder.

        Symbolic links are left out: nobody puts them, and what they point to is somebody else's.
        """
        ...

    def scratch(self, name: str) -> Path:
        """A folder of this machine for a file that is made in steps and then put, such as a download that may go on later."""
        ...

    def scratches(self) -> Iterator[Path]:
        """The scratch folders that are there: of work under way, or left by a kill."""
        ...
