"""Reading a release that may come from strangers: its index, the files that it lists, and their tables a few rows at a time."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.base.hashes import sha256_of
from pipeline.shards.checked import damage_told, parquet_of
from pipeline.shards.footer import CODECS, ENCODINGS
from pipeline.shards.format import ShardError
from pipeline.shards.index import parsed
from pipeline.shards.opened import ShardFile, opened
from pipeline.shards.pages import DICTIONARY, BadPage, pages
from pipeline.shards.release import (
    CARD,
    CROISSANT,
    IDS,
    INDEX,
    LINKS,
    RELEASE_SPLITS,
    SKELETONS,
    SUMS,
    TABLES,
    VERSION,
    schemas,
)
from pipeline.shards.release.about import About, about_of

_AGAIN = "get the release again from where it came"
_MOST_INDEX_BYTES = 64 << 20
_TABLE = re.compile(rf"({'|'.join(TABLES)})/({'|'.join(RELEASE_SPLITS)})(-\d{{5}})?\.parquet", re.ASCII)
_BESIDE = frozenset({CARD, CROISSANT, LINKS, SUMS})
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MOST_ROWS = {SKELETONS: 16}  # in a row group: ours have 4, and 4,096 in other tables
_MOST_ROWS_OF_WORDS = 1 << 16
_COLUMN_BYTES = 128 << 20  # of a row group, unpacked; 16 clips of five minutes have 127 MB of keypoints
_REPEATED_BYTES = 128 << 20  # of words, were each the longest of its dictionary


@dataclass(frozen=True)
class Released:
    """A release whose index is whole.

    Attributes:
        folder: where it lies.
        about: what its index says of it.
        listed: path -> the index's entry, of every file but the index.
        sha256: of the index.
    """

    folder: Path
    about: About
    listed: Mapping[str, Mapping[str, Any]]
    sha256: str

    def files(self, table: str) -> list[str]:
        """The files of a table, in the order of the splits."""
        found = [path for path in sorted(self.listed) if path.partition("/")[0] == table]
        return sorted(found, key=lambda path: RELEASE_SPLITS.index(re.split(r"[-.]", path.partition("/")[2])[0]))

    def check(self, path: str) -> Path:
        """A listed file, if it is the one that the index means. Raises ShardError."""
        there, entry = self.folder / path, self.listed[path]
        inside = there.resolve() == self.folder.resolve() / path  # no link, also none on the way
        if (
            not inside
            or not there.is_file()
            or there.stat().st_size != entry["bytes"]
            or sha256_of(there) != entry["sha256"]
        ):
            raise ShardError(f"{there} is not the file that {INDEX} lists: {_AGAIN}")
        return there


def open_release(folder: Path) -> Released:
    """Open a release.

    Raises:
        ShardError: the folder holds none, or one whose index lists what no release has.
    """
    path = Path(folder) / INDEX
    if not path.is_file():
        raise ShardError(f"{path} is missing: {folder} is no release")
    index = parsed(path, _MOST_INDEX_BYTES, _AGAIN)
    version = index.get("version")
    if not isinstance(version, str) or version.split(".")[0] != VERSION.split(".")[0]:
        advice = "write it again (`csg405 release`)" if str(version).startswith("1.") else "update csg405"
        raise ShardError(f"{path} has another form than {VERSION}: {advice}")
    listed: dict[str, Mapping[str, Any]] = {}
    for number, entry in enumerate(index["files"] if isinstance(index.get("files"), list) else [None]):
        if not _is_entry(entry) or entry["path"] in listed:
            raise ShardError(f"{path} lists, as entry {number}, no file of a release: {_AGAIN}")
        listed[entry["path"]] = entry
    return Released(Path(folder), about_of(index, path), listed, sha256_of(path))


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("path"), str)
        and (entry["path"] in _BESIDE or _TABLE.fullmatch(entry["path"]) is not None)
        and type(entry.get("bytes")) is int
        and isinstance(entry.get("sha256"), str)
        and _HASH.fullmatch(entry["sha256"]) is not None
    )


def tables_of(path: Path, table: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Row groups of one file of a table, checked before they are decoded.

    Raises:
        ShardError: it is damaged, has other columns than the table, or would take more memory than a release's can.
    """
    layout = schemas()[table]
    with opened(path) as file, damage_told(path):
        parquet = parquet_of(file)
        stored = parquet.schema_arrow
        for name in stored.names:
            if name not in layout.names or not stored.field(name).type.equals(layout.field(name).type):
                raise ShardError(f"{path} has a column that {table} of a release has not: {_AGAIN}")
        if missing := [name for name in layout.names if name not in stored.names]:
            raise ShardError(f"{path} has no column {missing[0]}: {_AGAIN}")
        for number in range(parquet.metadata.num_row_groups):
            _check_group(file, parquet.metadata.row_group(number), table, f"{path}: row group {number}")
            rows = parquet.read_row_group(number, columns=columns, use_threads=False)
            if any(rows[name].null_count for name in IDS if name in rows.column_names):
                raise ShardError(f"{path} has rows without an id: {_AGAIN}")
            yield rows


def _check_group(file: ShardFile, group: Any, table: str, where: str) -> None:
    if not 0 <= group.num_rows <= _MOST_ROWS.get(table, _MOST_ROWS_OF_WORDS):
        raise ShardError(f"{where} has {group.num_rows} rows: no release has")
    repeated = 0
    for at in range(group.num_columns):
        column = group.column(at)
        name = column.path_in_schema.partition(".")[0]
        start = column.data_page_offset
        if column.dictionary_page_offset is not None and 0 < column.dictionary_page_offset < start:
            start = column.dictionary_page_offset
        stop = start + column.total_compressed_size
        if column.file_path or not 0 <= start <= stop <= file.body or column.compression not in CODECS:
            raise ShardError(f"{where}: column {name} lies where, or is packed as, none of a release is")
        try:
            found = list(pages(file.view(start, stop)))
        except BadPage as error:
            raise ShardError(f"{where}: column {name} {error}") from None
        words = sum(page.unpacked for page in found if page.kind == DICTIONARY)
        repeated += column.num_values * words if _are_words(column) else 0
        promised = max(sum(page.unpacked for page in found), 8 * sum(page.values for page in found))
        if (
            promised > 2 * _COLUMN_BYTES
            or repeated > _REPEATED_BYTES
            or any(p.encoding not in ENCODINGS for p in found)
        ):
            raise ShardError(f"{where}: column {name} would take more memory than any of a release")


def _are_words(column: Any) -> bool:
    return bool(column.physical_type == "BYTE_ARRAY")
