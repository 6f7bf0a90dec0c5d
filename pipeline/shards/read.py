"""Reading shards as numpy arrays.

A row is one person in one clip. Any Parquet reader opens a shard; `open_shards` adds array shapes, checks the version and
refuses a folder whose index does not fit its files.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from numpy.typing import NDArray

from pipeline.shards import removal
from pipeline.shards.format import SPLITS, ShardError, check_version, file_version
from pipeline.shards.index import INDEX, read_index
from pipeline.skeleton.layout import K
from pipeline.tables.arrow import to_python


@dataclass(frozen=True)
class Shards:
    """The shards of a run, or of one split.

    Attributes:
        folder: where `_index.json` lies.
        paths: the Parquet files, in order.
        index: what `_index.json` says.
    """

    folder: Path
    paths: tuple[Path, ...]
    index: Mapping[str, Any]

    def __len__(self) -> int:
        names = {path.name for path in self.paths}
        return sum(entry["rows"] for entry in self.index["files"] if entry["path"] in names)

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Rows as dicts: keypoints and local (F, 133, 2), scores (F, 133), neck (F, 2), other lists (F, width), FLAC bytes."""
        for path in self.paths:
            file = pq.ParquetFile(path, memory_map=True)
            check_version(file_version(path), path)
            names = [name for name in file.schema_arrow.names if columns is None or name in columns]
            for group in range(file.num_row_groups):
                yield from _rows_of(file.read_row_group(group, columns=names, use_threads=False))


def _rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    values = {field.name: to_python(table[field.name].combine_chunks(), field.type) for field in table.schema}
    for name in ("keypoints", "local"):
        if name in values:
            values[name] = [value.reshape(-1, K, 2) for value in values[name]]
    for number in range(len(table)):
        yield {name: column[number] for name, column in values.items()}


def open_shards(folder: Path, split: str | None = None) -> Shards:
    """Open a folder of shards.

    Args:
        folder: `runs/<run>/shards`.
        split: train, validation or test; all three by default.

    A removal of opted-out clips that was cut short is brought to its end first.

    Raises:
        ShardError: there is no index, its major version is not ours, or a file is missing or not the one it lists.
    """
    folder = Path(folder)
    removal.complete(folder)
    index = read_index(folder)
    if split is not None and split not in SPLITS:
        raise ShardError(f"no split is called {split!r}: there are {', '.join(SPLITS)}")
    entries = [entry for entry in index["files"] if split in (None, entry["split"])]
    for entry in entries:
        path = folder / entry["path"]
        if not path.is_file() or path.stat().st_size != entry["bytes"]:
            raise ShardError(f"{path} is not the file that {INDEX} lists: a run was cut short, run `shards` again")
    return Shards(folder, tuple(folder / entry["path"] for entry in entries), index)


def decode_audio(flac: bytes) -> NDArray[np.float32]:
    """(samples,) mono wave in -1..1 of a row's `audio`, 16 kHz."""
    wave, _ = soundfile.read(io.BytesIO(flac), dtype="float32")
    return np.asarray(wave, np.float32)
