"""What a storage is."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
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


def tombstone_of(key: str) -> str:
    """The key of what stands beside a file that was freed on purpose, so that it is not taken for lost."""
    return key + DISCARDED


class Storage(Protocol):
    """Files by key. A key is what rows of tables hold: a path relative to the run, with slashes.

    An absolute path is a key too: of a file that is used where it was found, which nobody puts or deletes.
    """

    def local(self, key: str) -> Path:
        """A path on this machine at which a file can be read, or a folder whose files are read together, such as "shards".

        It need not exist where the file does not.
        """
        ...

    def exists(self, key: str) -> bool:
        """Whether the file is there."""
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
