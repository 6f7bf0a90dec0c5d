"""Rows of a Parquet file of links or clips. It comes from outside: what it declares is checked before it is read."""

from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.sources.manifest.rows import ManifestError

_MAX_ROWS = 50_000_000
_MAX_PLAIN_BYTES = 4 << 30  # of the columns that are read, unpacked
_BATCH_ROWS = 4096


def columns_of(path: Path) -> list[str]:
    """Names of the columns. Raises ManifestError."""
    with _opened(path) as file:
        return list(file.schema_arrow.names)


def parquet_rows(path: Path, wanted: Set[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number of the row from 1, its values by name in lower case) for the wanted columns, given in lower case.

    Raises ManifestError where the file does not read, or declares more than fits.
    """
    with _opened(path) as file:
        names = [name for name in file.schema_arrow.names if name.lower() in wanted]
        plain = _plain_bytes(file.metadata, names)
        if file.metadata.num_rows > _MAX_ROWS or plain > _MAX_PLAIN_BYTES:
            raise ManifestError(
                f"{path}: {file.metadata.num_rows:,} rows, {plain >> 20:,} MiB unpacked, which is more than a list holds"
            )
        number = 0
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=names, use_threads=False):
            for row in batch.to_pylist():
                number += 1
                yield number, {name.lower(): value for name, value in row.items()}


def _plain_bytes(metadata: pq.FileMetaData, names: list[str]) -> int:
    groups = (metadata.row_group(n) for n in range(metadata.num_row_groups))
    chunks = (group.column(n) for group in groups for n in range(group.num_columns))
    return sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in names)


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ManifestError(f"{path}: not a Parquet file that can be read: {str(error)[:120]}") from error
