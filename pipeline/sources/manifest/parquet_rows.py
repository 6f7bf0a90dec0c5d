"""Rows of a Parquet file of links or clips. It comes from outside: what it declares is checked before it is read."""

from collections.abc import Collection, Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.sources.manifest.rows import ManifestError

_MAX_VALUES = 100_000_000  # in the columns that are read
_MAX_CHARS = 64 << 10  # of one text
_MAX_LIST = 10_000  # entries of one list
_BATCH_ROWS = 4096


def columns_of(path: Path) -> list[str]:
    """Names of the columns. Raises ManifestError."""
    with _opened(path) as file:
        return list(file.schema_arrow.names)


def holds_lists(path: Path, names: Collection[str]) -> bool:
    """Whether one of these columns, given in lower case, holds lists, or text that may be of lists. Raises ManifestError."""
    with _opened(path) as file:
        kinds = [field.type for field in file.schema_arrow if field.name.lower() in names]
    return any(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_string(kind) for kind in kinds)


def parquet_rows(path: Path, wanted: Set[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number of the row from 1, its values by name in lower case) for the wanted columns, given in lower case.

    Raises ManifestError where the file does not read, or declares more than fits.
    """
    with _opened(path) as file:
        names = [name for name in file.schema_arrow.names if name.lower() in wanted]
        values, texts = _values(file.metadata, names)
        if values > _MAX_VALUES:
            raise ManifestError(f"{path}: {values:,} values, which is more than a list holds")
    number = 0
    with _opened(path, texts) as file:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=names, use_threads=False):
            if any(_is_huge(column) for column in batch.columns):
                raise ManifestError(f"{path}: a text or a list after row {number:,} is longer than any of a list")
            for row in batch.to_pylist():
                number += 1
                yield number, {name.lower(): value for name, value in row.items()}


def _values(metadata: pq.FileMetaData, names: list[str]) -> tuple[int, list[str]]:
    """(values in these columns, the paths of those that hold text)."""
    columns = (metadata.schema.column(n) for n in range(metadata.num_columns))
    wanted = [n for n, column in enumerate(columns) if column.path.split(".")[0] in names]
    values = sum(metadata.row_group(g).column(n).num_values for g in range(metadata.num_row_groups) for n in wanted)
    texts = [n for n in wanted if metadata.schema.column(n).physical_type == "BYTE_ARRAY"]
    return values, [metadata.schema.column(n).path for n in texts]


def _is_huge(array: pa.Array) -> bool:
    """Whether a text or list in it is longer than any of an honest list: a small file can hold one many times over."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return bool((pc.max(pc.binary_length(array.dictionary)).as_py() or 0) > _MAX_CHARS)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return bool((pc.max(pc.list_value_length(array)).as_py() or 0) > _MAX_LIST) or _is_huge(array.flatten())
    return pa.types.is_struct(kind) and any(_is_huge(field) for field in array.flatten())


@contextmanager
def _opened(path: Path, texts: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    """The file, columns of text as dictionaries: each text is in memory once, however many rows hold it."""
    try:
        with pq.ParquetFile(path, read_dictionary=list(texts) or None) as file:
            yield file
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ManifestError(f"{path}: not a Parquet file that can be read: {str(error)[:120]}") from error
