"""Searching a folder for ids: in the names of files, in their bytes, and in what Parquet files hold once they are decoded.

Names of manifest rows are any text, such as `12` or `e`, which stands everywhere: they are compared with whole cells and JSON
values alone, and not with those that hold words of the format.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.shards.release import INDEX, LINKS
from pipeline.shards.release.wanted import Gone

_PIECE = 8 << 20
_LONGEST = 4096  # of what is searched for
# Columns and keys whose values are of the format, or say the same of many: nobody's name.
_OF_ROWS = ("split", "speech_type", "language", "licence", "state", "reason", "looked", "pose_space", "worst_joint")
_VOCABULARY = frozenset((*_OF_ROWS, "version", "published"))


class Traces:
    """Finds what names somebody who is gone.

    Args:
        gone: whose ids, links and names are searched for; those that others share are not.
    """

    def __init__(self, gone: Gone) -> None:
        bare = {video.partition(":")[2] for video in gone.videos}
        words = sorted({*gone.persons, *gone.clips, *bare, *gone.urls}, key=len, reverse=True)
        # an id that ends in a number is not the beginning of another one
        pattern = b"|".join(re.escape(word.encode("utf-8", "replace")) + rb"(?![0-9])" for word in words if word)
        self._pattern = re.compile(pattern or rb"(?!)")
        self._names = gone.names

    def found(self, folder: Path) -> Iterator[str]:
        """A line for each file that names one of them."""
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if self._pattern.search(name.encode("utf-8", "replace")):
                yield f"the name of a file of {name.partition('/')[0]} names who was taken out"
            elif path.is_file() and (self._in_bytes(path) or self._in_values(path, name)):
                yield f"{name} names who was taken out"

    def _in_bytes(self, path: Path) -> bool:
        tail = b""
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                if self._pattern.search(tail + piece):
                    return True
                tail = piece[-_LONGEST:]
        return False

    def _in_values(self, path: Path, name: str) -> bool:
        """Whether a value of the file is a name; in Parquet files, also whether a cell holds an id."""
        if path.suffix == ".parquet":
            return self._in_cells(path)
        if name == LINKS:
            with path.open(encoding="utf-8") as lines:
                return any(self._is_named(_texts(json.loads(line))) for line in lines)
        if name == INDEX:  # the rest of it is counts, paths and hashes
            return self._is_named(_texts(json.loads(path.read_text(encoding="utf-8")).get("about")))
        return False

    def _in_cells(self, path: Path) -> bool:
        file = pq.ParquetFile(path)
        names = [field.name for field in file.schema_arrow if pa.types.is_string(field.type)]
        for number in range(file.metadata.num_row_groups):
            table = file.read_row_group(number, columns=names, use_threads=False)
            for column in names:
                words = [word for word in table[column].unique().to_pylist() if word]
                if any(self._pattern.search(word.encode()) for word in words):
                    return True
                if column not in _VOCABULARY and self._is_named(words):
                    return True
        return False

    def _is_named(self, words: Iterable[str]) -> bool:
        return not self._names.isdisjoint(words)


def _texts(value: Any) -> Iterator[str]:
    """Every text of a JSON value, but for keys and words of the format."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from () if key in _VOCABULARY else _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
