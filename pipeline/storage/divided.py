"""A run of which a part lies elsewhere: raw videos, clips, previews and shards in a storage, all else in its own folder."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from pipeline.storage.base import FOLDERS, Edited, Entry, Storage
from pipeline.storage.disk import DiskStorage


class Divided:
    """Asks by the first step of a key.

    Args:
        stored: of the folders that lie elsewhere.
        run: the run's folder, of everything else, such as pages of its report.
    """

    def __init__(self, stored: Storage, run: Path) -> None:
        self.stored, self.run = stored, DiskStorage(run)
        self.remote = stored.remote

    def _of(self, key: str) -> Storage:
        return self.stored if key.partition("/")[0] in FOLDERS else self.run

    def local(self, key: str) -> Path:
        """A path to read."""
        return self._of(key).local(key)

    def folder(self, name: str) -> Path:
        """A folder to read."""
        return self._of(name).folder(name)

    def contained(self, key: str) -> Path | None:
        """A path to read, for a key that others wrote."""
        return self._of(key).contained(key)

    def editing(self, name: str) -> AbstractContextManager[Edited]:
        """A folder to change."""
        return self._of(name).editing(name)

    def release(self) -> None:
        """Nothing is read any more."""
        self.stored.release()

    def copied_bytes(self) -> int:
        """Bytes of copies."""
        return self.stored.copied_bytes()

    def named(self, key: str) -> str:
        """Where a file lies."""
        return self._of(key).named(key)

    def size(self, key: str) -> int | None:
        """Bytes of a file."""
        return self._of(key).size(key)

    def sizes(self, folder: str) -> Mapping[str, int]:
        """Sizes of a folder's files."""
        return self._of(folder).sizes(folder)

    def sha256(self, key: str) -> str | None:
        """A file's hash."""
        return self._of(key).sha256(key)

    def read_text(self, key: str) -> str:
        """A small text."""
        return self._of(key).read_text(key)

    def exists(self, key: str) -> bool:
        """Whether there is a file."""
        return self._of(key).exists(key)

    def copy(self, key: str, target: Path) -> bool:
        """Copy a file as it is."""
        return self._of(key).copy(key, target)

    def put(self, path: Path, key: str) -> None:
        """Give a finished file its key."""
        self._of(key).put(path, key)

    def writing(self, key: str) -> AbstractContextManager[Path]:
        """A path to write to."""
        return self._of(key).writing(key)

    def claim(self, key: str, words: str) -> str:
        """Write a small text unless there is one."""
        return self._of(key).claim(key, words)

    def delete(self, key: str) -> bool:
        """Remove a file."""
        return self._of(key).delete(key)

    def keep_deleted(self, keys: Iterable[str]) -> None:
        """Make removals lasting."""
        listed = list(keys)
        for storage in (self.stored, self.run):
            storage.keep_deleted(key for key in listed if self._of(key) is storage)

    def forget_elsewhere(self) -> None:
        """Of other machines' copies."""
        self.stored.forget_elsewhere()

    def forget_here(self) -> None:
        """Of this machine's copies."""
        self.stored.forget_here()

    def list(self, folder: str) -> Iterator[Entry]:
        """A folder's files."""
        return self._of(folder).list(folder)

    def scratch(self, name: str) -> Path:
        """A folder for work in steps."""
        return self.stored.scratch(name)

    def scratches(self) -> Iterator[Path]:
        """Those that are there."""
        return self.stored.scratches()
