"""Reading shards as numpy arrays.

A row is one person in one clip. Any Parquet reader opens a shard; `open_shards` adds array shapes, checks the version and
refuses a folder whose index does not fit its files.
"""

import io
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import soundfile
from numpy.typing import NDArray

from pipeline.base.hashes import sha256_of
from pipeline.base.text import printable
from pipeline.shards import removal
from pipeline.shards.checked import Reader
from pipeline.shards.format import SPLITS, ShardError
from pipeline.shards.index import INDEX, check_same, read_index
from pipeline.shards.item import Item
from pipeline.shards.rows import whole
from pipeline.skeleton.layout import K
from pipeline.tables.arrow import to_python

if TYPE_CHECKING:
    from pipeline.shards.torch_dataset import ShardDataset


_HELD = 2  # row groups of up to 4 clips, 6 MB each, so that a walk over neighbours decodes each once


@dataclass(frozen=True)
class Shards:
    """The shards of a run, or of one split: iterated and indexed, they give an `Item` a row.

    An index fetches a row group of up to 4 clips, and the whole file is hashed once before its first: whoever shuffles millions of
    times wants `pipeline.model.training.cache`.

    Attributes:
        folder: where `_index.json` lies.
        paths: the Parquet files, in order.
        index: what `_index.json` says.
        read: file -> sha256 of its bytes, of those that were read to their end by now.
    """

    folder: Path
    paths: tuple[Path, ...]
    index: Mapping[str, Any]
    read: dict[str, str] = field(default_factory=dict, compare=False)
    _held: dict[tuple[str, int, Any], list[dict[str, Any]]] = field(default_factory=dict, compare=False, repr=False)
    _ends: dict[str, list[int]] = field(default_factory=dict, compare=False, repr=False)

    def __iter__(self) -> Iterator[Item]:
        """Items, in the order of the files. Raises ShardError as `rows`."""
        return (Item(row, self.folder) for row in self.rows())

    def __getitem__(self, number: int) -> Item:
        """The item at a place, from the end when negative. Raises IndexError, and ShardError as `rows`."""
        return Item(self.row(number), self.folder)

    def row(self, number: int, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """One row, as `rows` gives them. Raises IndexError, and ShardError as `rows`."""
        place = number + len(self) if number < 0 else number
        if not 0 <= place < len(self):
            raise IndexError(f"item {number} of {len(self)}")
        listed = {entry["path"]: entry for entry in self.index["files"]}
        for path in self.paths:
            if place < listed[path.name]["rows"]:
                return self._row(path, place, listed[path.name], None if columns is None else tuple(columns))
            place -= listed[path.name]["rows"]
        raise AssertionError(number)

    def unread(self) -> "Shards":
        """The same without what was read of it so far: to be sent to another process."""
        return Shards(self.folder, self.paths, self.index)

    def torch(self, columns: Sequence[str] = ("keypoints", "scores", "sound")) -> "ShardDataset":
        """A map-style torch Dataset of these items; see `pipeline.shards.torch_dataset`."""
        from pipeline.shards.torch_dataset import ShardDataset

        return ShardDataset(self, columns)

    def _row(self, path: Path, place: int, entry: Mapping[str, Any], columns: tuple[str, ...] | None) -> dict[str, Any]:
        reader = Reader(path, entry["rows"])
        if path.name not in self._ends:
            check_same(path, sha256_of(path), entry["sha256"])
            self._ends[path.name] = list(accumulate(reader.group_rows()))
        ends = self._ends[path.name]
        group = bisect_right(ends, place)
        key = (path.name, group, columns)
        if key not in self._held:
            while len(self._held) >= _HELD:
                del self._held[next(iter(self._held))]
            self._held[key] = [row for table in reader.group(group, columns) for row in as_rows(table)]
        return self._held[key][place - (ends[group - 1] if group else 0)]

    def __len__(self) -> int:
        names = {path.name for path in self.paths}
        return sum(entry["rows"] for entry in self.index["files"] if entry["path"] in names)

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Rows as dicts: keypoints and local (F, 133, 2), scores (F, 133), neck (F, 2), other lists (F, width), FLAC bytes.

        Where lists over frames or the sound are asked for, a file's sha256 is compared at its end, and kept in `read`.

        Raises:
            ShardError: a file is damaged, or does not hold what the format promises; rows before it have been given.
        """
        listed = {entry["path"]: entry for entry in self.index["files"]}
        seen: set[str] = set()
        for path in self.paths:
            reader = Reader(path, listed[path.name]["rows"], seen)
            for table in reader.tables(columns):
                yield from as_rows(table if columns is None else _only(table, columns))
            if reader.sha256:
                check_same(path, reader.sha256, listed[path.name]["sha256"])
                self.read[path.name] = reader.sha256


def _only(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    return table.select([name for name in table.column_names if name in columns])


def as_rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Rows of a table of the shards' columns, as `Shards.rows` gives them; nothing is checked."""
    values = {field.name: to_python(whole(table[field.name]), field.type) for field in table.schema}
    for name in ("keypoints", "local"):
        if name in values:
            values[name] = [value.reshape(-1, K, 2) for value in values[name]]
    for number in range(len(table)):
        yield {name: column[number] for name, column in values.items()}


def open_shards(folder: str | Path, split: str | None = None) -> Shards:
    """Open a folder of shards.

    Args:
        folder: `runs/<run>/shards`.
        split: train, validation or test; all three by default.

    Raises:
        ShardError: a removal of opted-out clips was cut short, the index is missing or its major version is not ours, or a file
            is missing or not the one that the index lists.
    """
    folder = Path(folder)
    removal.check_finished(folder)
    index = read_index(folder)
    if split is not None and split not in SPLITS:
        raise ShardError(f"no split is called {split!r}: there are {', '.join(SPLITS)}")
    entries = [entry for entry in index["files"] if split in (None, entry["split"])]
    for entry in entries:
        _check_file(folder, entry)
    return Shards(folder, tuple(folder / entry["path"] for entry in entries), index)


def _check_file(folder: Path, entry: Mapping[str, Any]) -> None:
    path = folder / entry["path"]
    if not path.is_file() or path.stat().st_size != entry["bytes"]:
        raise ShardError(f"{path} is not the file that {INDEX} lists: a run was cut short, run `shards` again")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ShardError(f"{path} is a link that leads out of its folder: put the file itself there")


def decode_audio(flac: bytes) -> NDArray[np.float32]:
    """(samples,) mono wave in -1..1 of a row's `audio`, 16 kHz.

    Raises:
        ShardError: it does not decode, or to fewer samples than it promises.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(flac)) as file:
            promised = file.frames
            wave = file.read(dtype="float32")
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
        raise ShardError(f"the sound of a clip does not decode ({printable(str(error))[:200]})") from error
    if len(wave) != promised:
        raise ShardError(f"the sound of a clip ends after {len(wave)} of {promised} samples: get its shard again")
    return np.asarray(wave, np.float32)
