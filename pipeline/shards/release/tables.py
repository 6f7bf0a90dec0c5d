"""Writing the tables of a release: Parquet as every reader takes it, and links as lines of JSON."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.base import files
from pipeline.shards.release import SKELETONS, schemas

ROWS_A_FILE = 1000  # of skeletons: about 450 MB of clips of ten seconds; the Hub asks for files of less than 5 GB
_ROWS_A_GROUP = {SKELETONS: 4}  # all read to look up one clip
_SPLIT_BYTES = tuple(f"{name}.list.element.list.element" for name in ("keypoints", "scores", "boxes"))
_LINE = (
    *(
        "name",
        "video_id",
        "url",
        "first_frame",
        "frames",
        "start_seconds",
        "end_seconds",
        "crop_box",
        "width",
        "height",
    ),
    *("person", "speech_type", "licence"),
)


class TableWriter:
    """Writes one file of a table, atomically; the same rows in the same pieces give the same bytes.

    Args:
        folder: of the release.
        table: its name.
        split: which the file is of.
        number: of the file, where a split has several; None where it has one.
        name: of the file instead, for one that is written anew.
    """

    def __init__(self, folder: Path, table: str, split: str = "", number: int | None = None, name: str = "") -> None:
        self.path = folder / table / (name or f"{split}{'' if number is None else f'-{number:05d}'}.parquet")
        self.layout, self.rows_a_group = schemas()[table], _ROWS_A_GROUP.get(table, 4096)
        self._encoding: dict[str, Any] = {"compression": "zstd"}
        if table == SKELETONS:
            self._encoding |= {"use_byte_stream_split": list(_SPLIT_BYTES), "use_dictionary": ["clip_id", "video_id"]}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        temporary = self._stack.enter_context(files.replacing(self.path))
        self._writer = self._stack.enter_context(pq.ParquetWriter(temporary, self.layout, **self._encoding))
        return self

    def write(self, table: pa.Table) -> None:
        """Write rows of the table's schema."""
        self._writer.write_table(table.cast(self.layout), row_group_size=self.rows_a_group)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def link_line(row: Mapping[str, Any]) -> str:
    """A row of `links` as a line that `make rebuild MANIFEST=` reads."""
    return json.dumps({name: row[name] for name in _LINE}, ensure_ascii=False) + "\n"
