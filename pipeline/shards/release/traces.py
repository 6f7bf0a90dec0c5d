"""Searching a folder for ids: in the names of files, in their bytes, and in what Parquet files hold once they are decoded."""

import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.shards.release.wanted import Gone

_PIECE = 8 << 20
_LONGEST = 4096  # of what is searched for


class Traces:
    """Finds what names somebody who is gone.

    Args:
        gone: whose ids, links and names are searched for; those that others share are not.
    """

    def __init__(self, gone: Gone) -> None:
        bare = {video.partition(":")[2] for video in gone.videos}
        words = sorted({*gone.persons, *gone.clips, *bare, *gone.urls, *gone.names}, key=len, reverse=True)
        # an id that ends in a number is not the beginning of another one
        pattern = b"|".join(re.escape(word.encode("utf-8", "replace")) + rb"(?![0-9])" for word in words if word)
        self._pattern = re.compile(pattern or rb"(?!)")

    def found(self, folder: Path) -> Iterator[str]:
        """A line for each file that names one of them."""
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if self._pattern.search(name.encode("utf-8", "replace")):
                yield f"the name of a file of {name.partition('/')[0]} names who was taken out"
            elif path.is_file() and (self._in_bytes(path) or (path.suffix == ".parquet" and self._in_words(path))):
                yield f"{name} names who was taken out"

    def _in_bytes(self, path: Path) -> bool:
        tail = b""
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                if self._pattern.search(tail + piece):
                    return True
                tail = piece[-_LONGEST:]
        return False

    def _in_words(self, path: Path) -> bool:
        file = pq.ParquetFile(path)
        names = [field.name for field in file.schema_arrow if pa.types.is_string(field.type)]
        for number in range(file.metadata.num_row_groups):
            for column in file.read_row_group(number, columns=names, use_threads=False).columns:
                if any(word and self._pattern.search(word.encode()) for word in column.unique().to_pylist()):
                    return True
        return False
